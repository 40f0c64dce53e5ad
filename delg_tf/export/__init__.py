"""SavedModels with the official signatures, and files for other programs."""
