"""Indexes of images, the global search, and re-ranking."""
