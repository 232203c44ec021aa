"""Objects painted on a canvas of numbers, pixel by pixel at most one: what panoptic and semantic masks show."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from seg2knet.converters.base import Measured
from seg2knet.dataset.geometry import check_size, rle_ones
from seg2knet.errors import UsageError


def paint(measured: Measured, numbers: Sequence[int], overlap: str) -> np.ndarray:
    """Paint each object's number.

    Args:
        measured: the objects and their masks.
        numbers: one an object, 1..65535.
        overlap: who has a pixel that several claim: ``z-order`` (the one on top), ``last`` (in the file),
            ``small-first`` (the smallest), or ``error``.

    Returns:
        ``(H, W)`` uint8, or uint16 where a number needs it; 0 where nothing is.

    Raises:
        UsageError: two objects overlap, with ``error``.
    """
    image = measured.sample.image
    check_size(image.height, image.width)
    columns: np.ndarray = np.zeros(image.width * image.height, np.uint8 if max(numbers, default=0) < 256 else np.uint16)
    taken = np.zeros(len(columns) if overlap == "error" else 0, bool)
    ones = rle_ones(measured.rles)
    for index in _order(measured, overlap):
        number = numbers[index]
        for start, end in zip(*ones[index]):
            columns[start:end] = number
            if overlap == "error":
                _claim(taken, start, end, measured, index)
    return cv2.transpose(columns.reshape(image.width, image.height))


def look_up(canvas: np.ndarray, table: np.ndarray) -> np.ndarray:
    """``table[canvas]`` for a canvas of ``paint`` and a table of uint8 or uint32, with OpenCV where that is quicker."""
    if canvas.dtype == np.uint8 and table.dtype == np.uint8:
        whole = np.zeros(256, np.uint8)
        whole[: len(table)] = table
        return cv2.LUT(canvas, whole)
    return np.take(table, canvas)


def count(canvas: np.ndarray, numbers: int) -> list[int]:
    """Pixels of each number from 0 to ``numbers``."""
    if canvas.dtype == np.uint8 and canvas.size < 1 << 24:  # beyond, OpenCV's float32 could not count them
        return cv2.calcHist([canvas], [0], None, [256], [0, 256]).ravel()[: numbers + 1].astype(int).tolist()
    return np.bincount(canvas.reshape(-1), minlength=numbers + 1).tolist()


def _claim(taken: np.ndarray, start: int, end: int, measured: Measured, index: int) -> None:
    if taken[start:end].any():
        raise UsageError(
            "two objects overlap",
            file=measured.sample.image.name,
            place=measured.sample.objects[index].place,
            found="a pixel of this object is another's too",
            expected="no overlap, as --overlap error asks",
            hint="--overlap z-order lets the upper one have it",
        )
    taken[start:end] = True


def _order(measured: Measured, overlap: str) -> list[int]:
    """The objects from the lowest to the uppermost."""
    indices = list(range(len(measured.rles)))
    if overlap == "small-first":
        return sorted(indices, key=lambda index: -measured.areas[index])
    if overlap == "last":
        return indices
    return sorted(indices, key=lambda index: measured.sample.objects[index].z)
