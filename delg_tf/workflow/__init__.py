"""Commands that users type, run in a row, each once."""
