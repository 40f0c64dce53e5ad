"""An index on Milvus: on one machine as a file, or on a cluster."""
