"""The index, the global search, and re-ranking."""
