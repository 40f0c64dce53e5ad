"""From image files to feature files."""
