"""Metrics and evaluation of checkpoints."""
