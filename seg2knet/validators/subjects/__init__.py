"""What a rule is shown: files as columns, image files, masks, panoptic PNGs."""
