"""The first images of a run as the network sees them, to look at before it has trained for hours."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from seg2knet.dataset.classes import ClassInfo, ClassList
from seg2knet.dataset.drawing import sheet, small_jpeg
from seg2knet.knet.recipe import IGNORE
from seg2knet.trainer.predict import drawing
from seg2knet.trainer.predict.prediction import Prediction

IMAGES, SIDE = 16, 320
"""Images on it, and their longest side."""


def draw_batches(loader: Any, path: Path) -> None:
    """The first images that a loader would give, augmented, with masks (at stride 4) and class names, as a JPEG."""
    meta, drawn = loader.dataset.metainfo, []
    things = meta.get("thing_classes", meta["classes"])
    named = zip(meta["classes"], meta["palette"])
    classes = ClassList(tuple(ClassInfo(name, isthing=name in things, color=tuple(color)) for name, color in named))
    for key in itertools.islice(iter(loader.sampler), IMAGES):
        packed = loader.dataset[key]
        image = packed["inputs"].permute(1, 2, 0).numpy().clip(0, 255).astype(np.uint8)  # changed colours: float
        scale = SIDE / max(image.shape[:2])
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
        seen = _truth(packed["data_samples"], size, len(things), len(classes), path)
        drawn.append(drawing.overlay(image, seen, classes, scores=False))
    path.write_bytes(small_jpeg(sheet(drawn, columns=4)))


def _truth(sample: Any, size: tuple[int, int], things: int, classes: int, path: Path) -> Prediction:
    """What a packed sample has to learn from, at a size (width, height)."""
    truth = sample.get("knet_truth")
    if truth is None:
        labels = sample.gt_sem_seg.data.squeeze(0).numpy().astype(np.uint8)
        labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
        return Prediction.of_labelmap(path, np.where(labels < classes, labels, IGNORE))
    pairs = list(zip(truth.masks, truth.labels))
    if truth.semantic_masks is not None:
        pairs += [pair for pair in zip(truth.semantic_masks, truth.semantic_labels) if pair[1] >= things]
    masks = np.zeros((len(pairs), size[1], size[0]), bool)
    for mask, (quarters, _) in zip(masks, pairs):
        mask[:] = cv2.resize(quarters, size, interpolation=cv2.INTER_LINEAR) > 1
    labels = np.array([label for _, label in pairs], np.int64)
    return Prediction(path, *size, labels, np.ones(len(pairs), np.float32), masks)
