"""Labelbox exports."""
