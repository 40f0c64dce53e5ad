"""SavedModels with the official signatures."""
