"""Labels of images that a random flip has mirrored: left becomes right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from seg2knet.dataset.sides import Sides


@TRANSFORMS.register_module()
class SwapSides(BaseTransform):
    """Swaps the labels of sided classes where ``RandomFlip``, the step before, has flipped an image horizontally.

    Changes ``gt_bboxes_labels`` (N,), ``gt_seg_map`` (H, W) uint8 and the categories of ``segments_info``, for mmdet's
    and mmseg's pipelines. ``pairs`` are names of ``classes`` that a mirror image turns into one another.
    """

    def __init__(self, pairs: Sequence[Sequence[str]], classes: Sequence[str]) -> None:
        swapped = Sides(tuple((left, right) for left, right in pairs)).swapped(list(classes))
        self.table = np.arange(max(256, len(swapped)))  # beyond the classes, 255 for example, labels stay
        self.table[: len(swapped)] = swapped

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        # "diagonal" flips in both directions, which is a rotation: sides stay.
        if not results.get("flip") or results.get("flip_direction") == "diagonal":
            return results
        for key in ("gt_bboxes_labels", "gt_seg_map"):
            if results.get(key) is not None:
                results[key] = self.table[results[key]].astype(results[key].dtype)
        for segment in results.get("segments_info") or ():
            segment["category"] = int(self.table[segment["category"]])
        return results
