"""How long extraction takes on this machine, and what its features weigh."""
