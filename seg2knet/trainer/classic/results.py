"""What models of mmdet 2 answer with, as plain objects and maps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from seg2knet.errors import DataError

INSTANCE_OFFSET = 1000
"""A panoptic map of mmdet 2 holds ``label + INSTANCE_OFFSET * number``."""


def packed(result: Any) -> Any:
    """One image's result with its masks as run-length codes, as they are kept until all images are done."""
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], (list, tuple)):
        from mmdet.core import encode_mask_results

        return result[0], encode_mask_results(result[1])
    return result


def objects(result: Any) -> Iterator[tuple[int, float, dict[str, Any]]]:
    """Label, score and run-length code (``counts`` as text) of every object in one image's packed result."""
    boxes, masks = result
    scores = None
    if isinstance(masks, tuple):  # mask scoring models give scores of their own
        masks, scores = masks
    for label, (of_boxes, of_masks) in enumerate(zip(boxes, masks)):
        for number, rle in enumerate(of_masks):
            score = scores[label][number] if scores is not None else of_boxes[number][4]
            counts = rle["counts"]
            text = counts.decode() if isinstance(counts, bytes) else counts
            yield label, float(score), {"size": [int(side) for side in rle["size"]], "counts": text}


def panoptic_map(result: Any) -> np.ndarray:
    """The map (H, W) of ``label + 1000 * number`` in one image's result.

    Args:
        result: the map itself; a dict with it under ``pan_results``; or the map with other results in a tuple.

    Raises:
        DataError: there is no map in it.
    """
    if isinstance(result, dict):
        return panoptic_map(result.get("pan_results"))
    if isinstance(result, (tuple, list)):
        for each in reversed(result):
            if isinstance(each, (dict, np.ndarray)):
                return panoptic_map(each)
    if isinstance(result, np.ndarray) and result.ndim == 2:
        return result.astype(np.int32)
    raise DataError(
        "the model's result has no panoptic map",
        found=type(result).__name__,
        expected="dict(pan_results=array of label + 1000 * number), as mmdet 2.17's panoptic models answer",
    )


def segments(labels: np.ndarray, num_classes: int) -> tuple[np.ndarray, list[dict[str, int]]]:
    """A panoptic map as segment ids from 1 (0 where nothing is), and each segment's ``id`` and ``category_id``."""
    values, places = np.unique(labels, return_inverse=True)
    known = values % INSTANCE_OFFSET < num_classes
    ids = np.where(known, np.arange(1, len(values) + 1), 0)
    listed = [
        {"id": int(each), "category_id": int(value % INSTANCE_OFFSET)} for each, value in zip(ids, values) if each
    ]
    return ids[places].reshape(labels.shape), listed
