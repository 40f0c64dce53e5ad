"""DELG image retrieval (deep local and global features) in TensorFlow 2."""

__version__ = "0.1.0"
