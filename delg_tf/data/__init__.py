"""Data sets: sources, TFRecords, input pipelines, ground truth."""
