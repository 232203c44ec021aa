"""OpenImages masks."""
