"""Local features without a network, for comparison."""
