"""The truth of a data set's image as a :class:`Prediction`, to be drawn beside what a model predicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from seg2knet.dataset.images import decode_labels
from seg2knet.dataset.label_image import read_ids
from seg2knet.dataset.sample import Rle
from seg2knet.judge.objects import rle_of
from seg2knet.trainer.predict.prediction import UNLABELLED, Prediction


def truth_of(dataset: Any, index: int) -> Prediction:
    """The truth of an image of ``InstanceData``, ``PanopticData`` or ``SemanticData``; crowds are left out."""
    info = dataset.get_data_info(index)
    path, masks = Path(info["img_path"]), []
    if info.get("segments_info") is not None:
        ids = read_ids(info["seg_map_path"])
        (height, width), key = ids.shape, "category"
        objects = [segment for segment in info["segments_info"] if not segment["iscrowd"]]
        masks = [ids == segment["id"] for segment in objects]
    elif info.get("seg_map_path"):
        # 0 is unlabelled and classes count from 1: 0 wraps around to 255.
        labelmap = (decode_labels(info["seg_map_path"]).astype(np.int64) - 1) % 256
        labelmap[labelmap >= len(dataset.metainfo["classes"])] = UNLABELLED
        return Prediction.of_labelmap(path, labelmap)
    else:
        height, width, key = info["height"], info["width"], "bbox_label"
        objects = [instance for instance in info.get("instances", []) if not instance.get("ignore_flag")]
        masks = [as_rle(instance["mask"], height, width) for instance in objects]
    labels = np.array([entry[key] for entry in objects], np.int64)
    return Prediction(path, width, height, labels, np.ones(len(labels), np.float32), masks)


def as_rle(outline: Any, height: int, width: int) -> Rle:
    """A segmentation of a COCO file."""
    code = rle_of(outline, height, width)["counts"]
    return Rle(code.encode() if isinstance(code, str) else code, height, width)
