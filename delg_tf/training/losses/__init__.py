"""One loss a file; each returns one value an example."""
