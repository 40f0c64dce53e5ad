"""Local features in few bytes: codes, packed files, the single-file store."""
