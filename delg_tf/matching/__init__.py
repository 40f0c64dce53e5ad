"""Putative matches and geometric verification of two images."""
