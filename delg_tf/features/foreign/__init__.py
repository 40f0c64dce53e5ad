"""Features that other programs have made."""
