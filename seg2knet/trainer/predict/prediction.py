"""What a model finds on one image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Optional, Union

import cv2
import numpy as np

from seg2knet.dataset.rle import mask_to_rle, rle_to_mask
from seg2knet.dataset.sample import Rle

UNLABELLED = 255
"""In label maps: pixels of no class."""


class Prediction:
    """What was found on one image, at its size as shown. Masks are kept as run-length codes and decoded when asked for.

    Attributes:
        path: the image.
        width, height: pixels.
        labels: ``(N,)`` places in the class list; of instances or of panoptic segments; in falling score.
        scores: ``(N,)`` 0..1.
        rles: the N masks; instances may overlap, segments do not.
        semantic: whether they are the classes of a label map.
    """

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        labels: np.ndarray,
        scores: np.ndarray,
        masks: Union[np.ndarray, Sequence[Rle]],
        semantic: bool = False,
    ) -> None:
        self.path, self.width, self.height = path, width, height
        self.labels, self.scores = labels, scores
        self.rles = [mask_to_rle(mask) if isinstance(mask, np.ndarray) else mask for mask in masks]
        self.semantic = semantic
        self.draw: Optional[Callable[[], np.ndarray]] = None

    def _repr_png_(self) -> Optional[bytes]:
        """What a notebook shows: the image with the masks drawn on it, where it was kept."""
        return cv2.imencode(".png", self.draw())[1].tobytes() if self.draw is not None else None

    @classmethod
    def of_labelmap(cls, path: Path, labelmap: np.ndarray) -> Prediction:
        """From ``(H, W)`` places in the class list; ``UNLABELLED`` is left out."""
        labels = np.array([label for label in np.unique(labelmap).tolist() if label != UNLABELLED], np.int64)
        height, width = labelmap.shape
        masks = [mask_to_rle(labelmap == label) for label in labels]
        return cls(path, width, height, labels, np.ones(len(labels), np.float32), masks, semantic=True)

    @classmethod
    def of_sample(cls, sample: Any, path: Path, height: int, width: int, num_classes: int) -> Prediction:
        """From mmdet's or mmseg's data sample."""
        if "pred_instances" in sample:
            instances = sample.pred_instances
            labels, scores = instances.labels.cpu().numpy(), instances.scores.float().cpu().numpy()
            return cls(path, width, height, labels, scores, instances.masks.cpu().numpy())
        if "pred_panoptic_seg" not in sample:
            return cls.of_labelmap(path, sample.pred_sem_seg.data.cpu().numpy().reshape(height, width))
        ids = sample.pred_panoptic_seg.sem_seg.cpu().numpy().reshape(height, width)
        known = getattr(sample.pred_panoptic_seg, "segment_scores", None) or {}
        present = [number for number in np.unique(ids).tolist() if number % 1000 < num_classes]
        present.sort(key=lambda number: -known.get(number, 1.0))
        scores = np.array([float(known.get(number, 1.0)) for number in present], np.float32)
        labels = np.array(present, np.int64) % 1000
        return cls(path, width, height, labels, scores, [mask_to_rle(ids == number) for number in present])

    @property
    def masks(self) -> np.ndarray:
        """``(N, H, W)`` bool, decoded anew at each call."""
        masks = np.zeros((len(self.rles), self.height, self.width), bool)
        for mask, rle in zip(masks, self.rles):
            mask[:] = rle_to_mask(rle)
        return masks

    @property
    def labelmap(self) -> Optional[np.ndarray]:
        """Semantic: ``(H, W)`` uint8 places in the class list, ``UNLABELLED`` where there is none; else ``None``."""
        if not self.semantic:
            return None
        labelmap = np.full((self.height, self.width), UNLABELLED, np.uint8)
        for label, mask in zip(self.labels, self.masks):
            labelmap[mask] = label
        return labelmap

    def above(self, score: float) -> Prediction:
        """The same with only those at or above ``score``."""
        kept = np.flatnonzero(self.scores >= score)
        rles = [self.rles[i] for i in kept]
        labels, scores = self.labels[kept], self.scores[kept]
        return Prediction(self.path, self.width, self.height, labels, scores, rles, self.semantic)
