"""Aggregation of local features: codebooks, VLAD, ASMK, inverted file."""
