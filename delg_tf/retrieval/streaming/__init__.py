"""Places in whole rankings of millions of images, in bounded memory."""
