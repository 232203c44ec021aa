"""LabelMe JSON."""
