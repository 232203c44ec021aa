"""ISAT JSON."""
