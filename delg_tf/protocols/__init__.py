"""Whole evaluations by the public protocols, a data set at a time."""
