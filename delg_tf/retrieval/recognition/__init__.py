"""Recognition: the class of a query, by votes of the images it found."""
