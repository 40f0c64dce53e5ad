"""Better rankings from global descriptors: what the paper leaves open."""
