"""Indexes of images: in memory, in a folder; filters and metadata."""
