"""VIA (VGG Image Annotator)."""
