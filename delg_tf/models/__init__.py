"""Networks: backbones, heads, and their geometry."""
