"""Repairs: edits of annotation files and image files."""
