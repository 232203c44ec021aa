"""Which split an image belongs to, and its name there."""
