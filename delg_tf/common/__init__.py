"""What every room needs: errors, files, progress, command lines."""
