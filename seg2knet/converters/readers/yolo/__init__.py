"""YOLO segmentation labels."""
