"""Experiments of several training runs: their plan, results and charts."""
