"""Where a conversion writes: the staging folder, the images, the record of the run, the final check."""
