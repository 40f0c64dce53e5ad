"""Retrieval metrics by the public protocols."""
