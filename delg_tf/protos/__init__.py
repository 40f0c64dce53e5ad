"""Code generated from protos/*.proto by tools/generate_protos.sh."""
