"""Prediction with a checkpoint, and its output files."""
