"""Losses, schedules, the training loop, its checkpoints and summaries."""
