"""Mask images."""
