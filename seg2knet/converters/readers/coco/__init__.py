"""COCO instances and panoptic."""
