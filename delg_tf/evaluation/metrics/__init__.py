"""Metrics of the public protocols, one a module; needs NumPy only."""
