"""SA-1B (Segment Anything)."""
