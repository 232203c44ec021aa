"""Small images of objects: the annotated outline and the predicted one on the photograph."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Optional

import numpy as np

from seg2knet.dataset import images
from seg2knet.errors import Seg2KNetError
from seg2knet.judge.objects import rle_of

TRUE, PREDICTED = (40, 200, 90), (255, 120, 30)
"""RGB of annotated and predicted outlines."""
_MARGIN = 0.5
_LEAST = 64
"""Pixels of the original that a crop shows at least."""


@dataclass(frozen=True)
class Shape:
    """A segmentation of a COCO file and the RGB colour to draw it in."""

    segmentation: Any
    color: tuple[int, int, int]


def drawn(file: Path, size: tuple[int, int], shapes: Sequence[Shape], side: int, *, crop: bool = True) -> Optional[str]:
    """An image with outlines as a ``data:`` address, JPEG.

    Args:
        file: the image.
        size: height and width that the segmentations are for.
        shapes: later ones over earlier ones.
        side: pixels of the longer side.
        crop: show what is around the shapes only.

    Returns:
        The address; ``None`` where the image cannot be read or is of another size.
    """
    import cv2

    photo = _photo(file)
    if photo is None or photo.shape[:2] != size:
        return None
    masks = [_mask(shape.segmentation, size) for shape in shapes]
    top, bottom, left, right = _around(masks, size) if crop else (0, size[0], 0, size[1])
    part = np.ascontiguousarray(photo[top:bottom, left:right])
    scale = side / max(part.shape[:2])
    shown = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
    part = cv2.resize(part, shown, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    for mask, shape in zip(masks, shapes):
        small = cv2.resize(mask[top:bottom, left:right], shown, interpolation=cv2.INTER_NEAREST)
        outlines, _ = cv2.findContours(small, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(part, outlines, -1, (0, 0, 0), 4, cv2.LINE_AA)
        cv2.drawContours(part, outlines, -1, shape.color, 2, cv2.LINE_AA)
    _, data = cv2.imencode(".jpg", part[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def _mask(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    from pycocotools import mask as coco_mask

    return coco_mask.decode(rle_of(segmentation, *size))


def _around(masks: Iterable[np.ndarray], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of the masks with a margin, inside the image."""
    union = np.zeros(size, bool)
    for mask in masks:
        union |= mask.astype(bool)
    rows, columns = np.flatnonzero(union.any(1)), np.flatnonzero(union.any(0))
    if not len(rows):
        return 0, size[0], 0, size[1]
    edges = []
    for first, last, length in ((rows[0], rows[-1], size[0]), (columns[0], columns[-1], size[1])):
        margin = max((last - first) * _MARGIN, (_LEAST - (last - first)) / 2, 8)
        edges += [max(0, int(first - margin)), min(length, int(last + margin) + 1)]
    return edges[0], edges[1], edges[2], edges[3]


@lru_cache(maxsize=2)
def _photo(file: Path) -> Optional[np.ndarray]:
    """``(H, W, 3)`` uint8 RGB as shown; objects of one image are drawn one after another."""
    try:
        return images.decode(file)
    except (Seg2KNetError, OSError):
        return None
