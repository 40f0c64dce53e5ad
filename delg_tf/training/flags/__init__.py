"""Command-line flags of training, a group a file.

Flags that the official trainer has too keep its names and defaults.
"""
