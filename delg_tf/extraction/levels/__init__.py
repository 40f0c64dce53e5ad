"""Programs that run a network on levels of the pyramid."""
