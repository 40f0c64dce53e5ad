"""What features of images are, and where they lie."""
