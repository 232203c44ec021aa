"""Images read, and predictions drawn on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from seg2knet.dataset import drawing, images
from seg2knet.dataset.classes import ClassList

LEGIBLE_SIDE = 360
"""The least length, in pixels, of an image's longest side for labels to be read."""


def overlay(image: np.ndarray, prediction: Any, classes: ClassList, scores: bool = True) -> np.ndarray:
    """A copy of an image, ``(H, W, 3)`` uint8 BGR, with a prediction of its size drawn on it, highest scores on top."""
    masks, labels = prediction.masks, prediction.labels.tolist()
    marks = []
    for place in np.argsort(prediction.scores, kind="stable").tolist():
        score = f" {prediction.scores[place]:.2f}" if scores and not prediction.semantic else ""
        text = f"{classes[labels[place]].name}{score}"
        marks.append(drawing.Mark(masks[place], text, classes.color(labels[place])))
    return drawing.overlay(image, marks)


def enlarged(image: np.ndarray, prediction: Any) -> tuple[np.ndarray, Any]:
    """A small image and its prediction, scaled up by a whole number, so that labels can be read."""
    height, width = image.shape[:2]
    times = -(-LEGIBLE_SIDE // max(height, width))
    if times <= 1:
        return image, prediction
    larger = cv2.resize(image, (width * times, height * times), interpolation=cv2.INTER_CUBIC)
    return larger, prediction.enlarged(times)


def free_stem(name: Path, taken: set[Path]) -> Path:
    """What is written of an image is called so, with another suffix: its name without the suffix, or with it where an
    image before has that name.
    """
    stem, longer = name.with_suffix(""), name
    while stem in taken:
        stem, longer = longer, longer.with_name(f"{longer.name}_")
    taken.add(stem)
    return stem


def save(drawn: np.ndarray, stem: Path, image: Path) -> None:
    """Write what was drawn on an image as ``STEM.png`` or ``STEM.jpg``; beside images, which that might be one of, as
    ``STEM.overlay.png``.
    """
    beside = stem.parent.resolve() == image.parent.resolve()
    drawing.save(drawn, stem.with_name(f"{stem.name}.overlay") if beside else stem)


def read_image(path: Path) -> np.ndarray:
    """An image as in training: ``(H, W, 3)`` uint8 BGR, as shown (EXIF orientation applied).

    Raises DataError: it cannot be read.
    """
    images.probe(path)  # refuses what is no image, and forged sizes, before anything is decoded
    image = cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_COLOR)
    if image is None:  # Pillow decodes some that OpenCV does not
        image = np.ascontiguousarray(images.decode(path)[..., ::-1])
    return image
