"""Loops that Numba compiles, for what NumPy needs too many passes for."""
