"""What a model finds on one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from importlib import import_module
from pathlib import Path
from typing import Any, Optional, Union

import cv2
import numpy as np

from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.geometry import mask_to_polygons
from seg2knet.dataset.rle import areas_and_boxes, as_json, as_pycocotools, mask_to_rle, rle_bbox, rle_to_mask
from seg2knet.dataset.sample import Rle
from seg2knet.errors import EnvironmentProblem
from seg2knet.knet.recipe import IGNORE, INSTANCE_OFFSET
from seg2knet.trainer.predict import drawing


class Prediction:
    """What was found on one image, at its size as shown. Masks are kept as run-length codes and decoded when asked for.
    A notebook shows it drawn on the image.

    Attributes:
        path: the image; ``image`` where it is in no file.
        labels: ``(N,)`` int64 places in the class list, of instances or panoptic segments, by falling score.
        scores: ``(N,)`` float32, 0..1.
        rles: the N masks; instances may overlap, segments do not.
        semantic: whether they are the classes of a label map.
        classes: the model's; numbers for names where they are not known.
        pixels: ``(H, W, 3)`` uint8 BGR; ``None`` where they are read from ``path`` when they are needed.
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
        classes: Optional[ClassList] = None,
    ) -> None:
        self.path, self.width, self.height = path, width, height
        self.labels, self.scores = labels, scores
        self.rles = [mask_to_rle(mask) if isinstance(mask, np.ndarray) else mask for mask in masks]
        self.semantic = semantic
        self.classes = classes or ClassList.of([str(label) for label in range(max(labels.tolist(), default=-1) + 1)])
        self.pixels: Optional[np.ndarray] = None

    @classmethod
    def of_labelmap(cls, path: Path, labelmap: np.ndarray) -> Prediction:
        """From ``(H, W)`` places in the class list; ``IGNORE`` is left out."""
        labels = np.array([label for label in np.unique(labelmap).tolist() if label != IGNORE], np.int64)
        height, width = labelmap.shape
        masks = [mask_to_rle(labelmap == label) for label in labels]
        return cls(path, width, height, labels, np.ones(len(labels), np.float32), masks, semantic=True)

    @classmethod
    def of_sample(cls, sample: Any, num_classes: int) -> Prediction:
        """From mmdet's or mmseg's data sample, at the image's own size."""
        path, (height, width) = Path(sample.img_path), sample.ori_shape[:2]
        if "pred_instances" in sample:
            instances = sample.pred_instances
            labels, scores = instances.labels.cpu().numpy(), instances.scores.float().cpu().numpy()
            return cls(path, width, height, labels, scores, instances.masks.cpu().numpy())
        if "pred_panoptic_seg" not in sample:
            return cls.of_labelmap(path, sample.pred_sem_seg.data.cpu().numpy().reshape(height, width))
        ids = sample.pred_panoptic_seg.sem_seg.cpu().numpy().reshape(height, width)
        known = getattr(sample.pred_panoptic_seg, "segment_scores", None)
        return cls.of_panoptic(path, ids, num_classes, known or {})

    @classmethod
    def of_panoptic(cls, path: Path, ids: np.ndarray, num_classes: int, known: Mapping[int, float]) -> Prediction:
        """From mmdet's ``(H, W)`` map (label + 1000 * number) and the scores of those of its ids that have one."""
        present = [number for number in np.unique(ids).tolist() if number % INSTANCE_OFFSET < num_classes]
        present.sort(key=lambda number: -known.get(number, 1.0))
        scores = np.array([float(known.get(number, 1.0)) for number in present], np.float32)
        labels = np.array(present, np.int64) % INSTANCE_OFFSET
        height, width = ids.shape
        return cls(path, width, height, labels, scores, [mask_to_rle(ids == number) for number in present])

    @property
    def masks(self) -> np.ndarray:
        """``(N, H, W)`` bool, decoded anew at each call."""
        masks = np.zeros((len(self.rles), self.height, self.width), bool)
        for mask, rle in zip(masks, self.rles):
            mask[:] = rle_to_mask(rle)
        return masks

    @property
    def names(self) -> list[str]:
        """The classes' names, N."""
        return [self.classes[label].name for label in self.labels.tolist()]

    @property
    def boxes(self) -> np.ndarray:
        """``(N, 4)`` float32: x1, y1, x2, y2 in pixels, x2 and y2 exclusive; zeros around an empty mask."""
        boxes = np.array(areas_and_boxes(self.rles)[1], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        return boxes

    @property
    def labelmap(self) -> Optional[np.ndarray]:
        """Semantic: ``(H, W)`` uint8 places in the class list, ``IGNORE`` where there is none; else ``None``."""
        if not self.semantic:
            return None
        labelmap = np.full((self.height, self.width), IGNORE, np.uint8)
        for label, mask in zip(self.labels, self.masks):
            labelmap[mask] = label
        return labelmap

    def polygons(self) -> list[list[np.ndarray]]:
        """Of each object the outlines of its parts, ``(corners, 2)`` float64 x, y in pixels; holes are filled."""
        outlines = (mask_to_polygons(mask) for mask in self.masks)
        return [[np.array(part).reshape(-1, 2) for part in found.parts] if found else [] for found in outlines]

    def above(self, score: float) -> Prediction:
        """The same with only those at or above ``score``."""
        return self._chosen(np.flatnonzero(self.scores >= score))

    def best(self, score: float, dedup: float) -> Prediction:
        """Those at or above ``score``, without duplicates: of two of one class whose masks have an intersection over
        union above ``dedup``, the one of higher score stays. 0 keeps all.
        """
        chosen = self.above(score)
        if not dedup or len(chosen.rles) < 2:
            return chosen
        from pycocotools import mask as coco_mask

        codes = [as_pycocotools(rle) for rle in chosen.rles]
        same = np.asarray(coco_mask.iou(codes, codes, [0] * len(codes))) > dedup
        same &= chosen.labels[:, None] == chosen.labels
        kept: list[int] = []
        for place in range(len(codes)):
            if not same[place, kept].any():
                kept.append(place)
        return chosen._chosen(np.array(kept))

    def enlarged(self, times: int) -> Prediction:
        """The same on an image whose sides are so many times as long."""
        masks = np.repeat(np.repeat(self.masks, times, axis=1), times, axis=2)
        size = self.width * times, self.height * times
        return Prediction(self.path, *size, self.labels, self.scores, masks, self.semantic, self.classes)

    def _chosen(self, places: np.ndarray) -> Prediction:
        chosen = copy(self)
        chosen.rles = [self.rles[place] for place in places]
        chosen.labels, chosen.scores = self.labels[places], self.scores[places]
        return chosen

    def plot(self) -> np.ndarray:
        """``(H, W, 3)`` uint8 RGB: the image with masks, names and scores drawn on it; small images are enlarged.

        Raises DataError: the image's file cannot be read any more.
        """
        pixels = self.pixels if self.pixels is not None else drawing.read_image(self.path)
        return drawing.overlay(*drawing.enlarged(pixels, self), self.classes)[..., ::-1]

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return cv2.imencode(".png", self.plot()[..., ::-1])[1].tobytes()

    def to_coco(self, image_id: int = 1, category_ids: Optional[Sequence[int]] = None) -> list[dict[str, Any]]:
        """COCO results (https://cocodataset.org/#format-results); ``category_ids`` are by label, by default places in
        the class list, from 1."""
        return [
            {
                "image_id": image_id,
                "category_id": category_ids[label] if category_ids is not None else label + 1,
                "score": round(score, 6),
                "bbox": list(rle_bbox(rle)),
                "segmentation": as_json(rle),
            }
            for label, score, rle in zip(self.labels.tolist(), self.scores.tolist(), self.rles)
        ]

    def to_supervision(self) -> Any:
        """As ``Detections`` of supervision (https://supervision.roboflow.com), with ``class_name`` in their data.

        Raises EnvironmentProblem: supervision is not installed.
        """
        try:
            supervision = import_module("supervision")
        except ImportError as error:
            hint = "pip install supervision"
            raise EnvironmentProblem("supervision is not installed", found=str(error), hint=hint) from None
        return supervision.Detections(
            xyxy=self.boxes, mask=self.masks, confidence=self.scores, class_id=self.labels,
            data={"class_name": np.array(self.names, str)},
        )  # fmt: skip
