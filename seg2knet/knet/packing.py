"""The last step of the training pipeline: truth is made small in the process that loads the image.

What leaves a loader's process, waits in queues and goes to the accelerator is then a sixteenth of a byte for each pixel
of each object, and no full-size semantic map. K-Net also takes what mmdet's own ``PackDetInputs`` packs, and does this
itself.
"""

from __future__ import annotations

from typing import Any, Optional

import numpy as np
import torch
from mmdet.datasets.transforms import PackDetInputs
from mmdet.registry import TRANSFORMS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks, PolygonMasks

from seg2knet.errors import DataError
from seg2knet.knet.targets import NOTHING, ImageTruth, reduce_masks, reduce_semantic


class Truth:
    """One image's truth at stride 4, before it is known what the model's classes are.

    Attributes:
        labels: the objects' class indices.
        masks: (n, h, w) uint8, their masks in quarters.
        semantic_labels: the classes of the semantic map, thing classes among them; None where there is no map.
        semantic_masks: (m, h, w) uint8, their masks.
        name: of the image.
    """

    def __init__(self, sample: DetDataSample) -> None:
        objects = sample.gt_instances
        self.name = str(sample.metainfo.get("img_path", sample.metainfo.get("img_id", "an image")))
        self.labels: list[int] = objects.labels.tolist()
        self.masks = reduce_masks(_bitmaps(objects.masks)) if self.labels else np.zeros((0, 1, 1), np.uint8)
        self.semantic_labels: Optional[list[int]] = None
        self.semantic_masks = self.masks[:0]
        if "gt_sem_seg" in sample:
            semantic = sample.gt_sem_seg.sem_seg.squeeze(0).cpu().numpy()
            self.semantic_masks, self.semantic_labels = reduce_semantic(semantic, 0, NOTHING)

    def of(self, num_things: int, num_stuff: int) -> ImageTruth:
        """For a model with these classes.

        Raises:
            DataError: an object or the semantic map has a class that the model does not have.
        """
        for what, found, count in (
            ("an object", self.labels, num_things),
            ("the semantic map", self.semantic_labels or [], num_things + num_stuff if num_stuff else NOTHING),
        ):
            if found and not 0 <= min(found) <= max(found) < count:
                raise DataError(
                    f"{what} has a class that the model does not have",
                    file=self.name,
                    found=f"class indices {min(found)} to {max(found)}",
                    expected=f"0 to {count - 1}",
                    hint="the config's num_things and num_stuff and the data set's classes must fit each other",
                )
        masks, labels = self.masks, self.labels
        if num_stuff and self.semantic_labels:
            stuff = [i for i, label in enumerate(self.semantic_labels) if label >= num_things]
            masks = _stack(masks, self.semantic_masks[stuff])
            labels = labels + [self.semantic_labels[i] for i in stuff]
        return ImageTruth(torch.from_numpy(np.ascontiguousarray(masks)), labels)


@TRANSFORMS.register_module()
class PackKNetInputs(PackDetInputs):
    """As mmdet's ``PackDetInputs``, with :class:`Truth` in place of full-size masks and semantic map."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack one image: the sample has ``knet_truth``, and neither ``gt_instances.masks`` nor ``gt_sem_seg``."""
        packed = super().transform(results)
        sample = packed["data_samples"]
        truth = Truth(sample)
        for name in ("gt_instances", "ignored_instances"):
            if "masks" in sample.get(name, {}):
                del sample.get(name).masks
        if "gt_sem_seg" in sample:
            del sample.gt_sem_seg
        sample.knet_truth = truth
        return packed


def _bitmaps(masks: Any) -> np.ndarray:
    """Any of mmdet's masks, or a tensor, as (n, H, W) uint8 on the CPU."""
    if isinstance(masks, PolygonMasks):
        return masks.to_ndarray()
    if isinstance(masks, BitmapMasks):
        return masks.masks
    return masks.cpu().numpy()


def _stack(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(a, h, w) and (b, h', w') with zeros where one is smaller."""
    height, width = (max(x, y) for x, y in zip(first.shape[1:], second.shape[1:]))
    stacked = np.zeros((len(first) + len(second), height, width), np.uint8)
    stacked[: len(first), : first.shape[1], : first.shape[2]] = first
    stacked[len(first) :, : second.shape[1], : second.shape[2]] = second
    return stacked
