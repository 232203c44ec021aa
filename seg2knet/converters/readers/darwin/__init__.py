"""V7 Darwin JSON."""
