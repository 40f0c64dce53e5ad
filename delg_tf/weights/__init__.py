"""Pre-trained weights of other programs: reading, mapping, loading."""
