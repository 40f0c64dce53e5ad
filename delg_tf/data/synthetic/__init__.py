"""A landmark data set made of photographs and a simulated camera."""
