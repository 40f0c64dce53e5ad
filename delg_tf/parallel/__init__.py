"""One function over many shards: in threads, processes or on machines."""
