"""The index in a folder: files that never change, and a manifest."""
