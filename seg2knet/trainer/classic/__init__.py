"""The authors' own stack: mmcv 1.3, mmdet 2 or mmseg 0, with a checkout of K-Net; :mod:`.run` is what is called."""
