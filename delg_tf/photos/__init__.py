"""The user's own photographs: indexing, searching, duplicates, clusters."""
