"""A flipped image has its left and right swapped: instances, segments and semantic maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("mmdet")

from seg2knet.trainer.openmmlab import packages as openmmlab

openmmlab.load(semantic=True)

from mmdet.registry import TRANSFORMS as DETECTION  # noqa: E402
from mmdet.structures.bbox import HorizontalBoxes  # noqa: E402
from mmdet.structures.mask import BitmapMasks  # noqa: E402
from mmseg.registry import TRANSFORMS as SEGMENTATION  # noqa: E402

import seg2knet.trainer.openmmlab.flipping  # noqa: E402, F401  registers the transform

CLASSES = ("hood", "door_right", "door_left")
SWAP = {"type": "SwapSides", "pairs": [("door_right", "door_left")], "classes": CLASSES}


def car(detection: bool = True) -> dict[str, Any]:
    """A car of 4x6 pixels: hood in the middle, its right door at the left of the image."""
    labels = np.full((4, 6), 255, np.uint8)
    labels[1:3, 0:2], labels[1:3, 2:4], labels[1:3, 4:5] = 1, 0, 2
    masks = BitmapMasks([labels == label for label in (0, 1, 2)], 4, 6)
    image = {"img": np.zeros((4, 6, 3), np.uint8), "img_shape": (4, 6), "gt_seg_map": labels}
    if not detection:
        return {**image, "seg_fields": ["gt_seg_map"]}
    return {
        **image, "gt_masks": masks, "gt_bboxes": HorizontalBoxes(masks.get_bboxes("hbox").tensor),
        "gt_bboxes_labels": np.array([0, 1, 2]), "segments_info": [{"id": 9, "category": 1, "iscrowd": 0}],
    }  # fmt: skip


def flipped(registry: Any, prob: float, direction: str = "horizontal") -> dict[str, Any]:
    results = registry.build({"type": "RandomFlip", "prob": prob, "direction": direction})(car(registry is DETECTION))
    return registry.build(SWAP)(results)


@pytest.mark.parametrize("registry", [DETECTION, SEGMENTATION], ids=["mmdet", "mmseg"])
def test_a_mirror_image_has_its_doors_swapped(registry: Any) -> None:
    results = flipped(registry, 1.0)
    mirrored = car()["gt_seg_map"][:, ::-1]
    assert (results["gt_seg_map"][mirrored == 1] == 2).all()
    assert (results["gt_seg_map"][mirrored == 2] == 1).all()
    assert (results["gt_seg_map"][mirrored == 255] == 255).all()
    assert results["gt_seg_map"].dtype == np.uint8
    if registry is DETECTION:
        assert results["gt_bboxes_labels"].tolist() == [0, 2, 1]
        assert results["segments_info"] == [{"id": 9, "category": 2, "iscrowd": 0}]
        for label, mask in zip(results["gt_bboxes_labels"], results["gt_masks"].masks):
            assert (results["gt_seg_map"][mask > 0] == label).all(), "instances and map agree"


def test_what_is_not_mirrored_stays() -> None:
    for results in (flipped(DETECTION, 0.0), flipped(DETECTION, 1.0, "diagonal")):
        assert results["gt_bboxes_labels"].tolist() == [0, 1, 2]
        assert results["segments_info"][0]["category"] == 1
