"""The whole way, from photographs to the report."""
