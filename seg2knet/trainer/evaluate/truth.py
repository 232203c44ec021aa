"""What the data say of a picture, in the form of a prediction: for pictures of truth beside prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from seg2knet.trainer.openmmlab.datasets import NOTHING, read_panoptic_png
from seg2knet.trainer.predict.inference import Prediction


def truth_of(dataset: Any, index: int) -> Prediction:
    """The truth of a data set's picture; crowds are left out.

    Args:
        dataset: ``InstanceData``, ``PanopticData`` or ``SemanticData``.
        index: place in it.
    """
    info = dataset.get_data_info(index)
    path = Path(info["img_path"])
    if "segments_info" in info:
        return _panoptic(info, path)
    if info.get("seg_map_path"):
        return _semantic(info, path, len(dataset.metainfo["classes"]))
    return _instances(info, path)


def _prediction(path: Path, height: int, width: int, labels: list[int], masks: list[np.ndarray]) -> Prediction:
    stacked = np.stack(masks).astype(bool) if masks else np.zeros((0, height, width), bool)
    return Prediction(path, width, height, np.array(labels, np.int64), np.ones(len(labels), np.float32), stacked)


def _instances(info: dict[str, Any], path: Path) -> Prediction:
    from pycocotools import mask as coco_mask

    height, width = info["height"], info["width"]
    labels, masks = [], []
    for instance in info.get("instances", []):
        if instance["ignore_flag"]:
            continue
        outline = instance["mask"]
        if isinstance(outline, list):
            outline = coco_mask.merge(coco_mask.frPyObjects(outline, height, width))
        elif isinstance(outline["counts"], list):
            outline = coco_mask.frPyObjects(outline, height, width)
        labels.append(instance["bbox_label"])
        masks.append(coco_mask.decode(outline))
    return _prediction(path, height, width, labels, masks)


def _panoptic(info: dict[str, Any], path: Path) -> Prediction:
    ids = read_panoptic_png(info["seg_map_path"])
    segments = [segment for segment in info["segments_info"] if not segment["iscrowd"]]
    masks = [ids == segment["id"] for segment in segments]
    height, width = ids.shape
    return _prediction(path, height, width, [segment["category"] for segment in segments], masks)


def _semantic(info: dict[str, Any], path: Path, classes: int) -> Prediction:
    from seg2knet.dataset.images import decode_labels

    # 0 is unlabelled and classes count from 1: 0 wraps around to 255, which is nothing.
    labelmap = (decode_labels(info["seg_map_path"]).astype(np.int64) - 1) % 256
    labelmap[labelmap >= classes] = NOTHING
    labels = [label for label in np.unique(labelmap).tolist() if label != NOTHING]
    height, width = labelmap.shape
    found = _prediction(path, height, width, labels, [labelmap == label for label in labels])
    return Prediction(path, found.width, found.height, found.labels, found.scores, found.masks, labelmap)
