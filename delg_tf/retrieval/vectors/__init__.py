"""Descriptors on disk, searched by inner product: exact and approximate."""
