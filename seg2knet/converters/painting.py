"""Objects painted one over another, pixel by pixel at most one: what panoptic and semantic masks show.

A picture is painted not pixel by pixel but stretch by stretch: down the columns, from one object's border to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import cv2
import msgspec
import numpy as np

from seg2knet.converters.base import Measured
from seg2knet.dataset.geometry import check_size
from seg2knet.dataset.rle import rle_ones
from seg2knet.errors import UsageError

_FEW = 64
"""An object is painted run by run where its window has this many times as many stretches as it has runs."""


class Painting(msgspec.Struct, gc=False):
    """What is seen where.

    Attributes:
        numbers: ``(S,)`` int64, the number seen on each stretch; 0 where nothing is.
        lengths: ``(S,)`` int64, the stretches' pixels, at least 1, down the columns.
        height, width: of the picture.
    """

    numbers: np.ndarray
    lengths: np.ndarray
    height: int
    width: int

    def areas(self, most: int) -> list[int]:
        """Pixels of each number from 0 to ``most``, the highest there is."""
        # The sums are of whole numbers below 2^53: exact.
        return np.bincount(self.numbers, self.lengths, most + 1).astype(np.int64).tolist()

    def boxes(self, most: int) -> list[tuple[int, int, int, int]]:
        """x, y, width and height of each number from 0 to ``most``; all zero where it is not seen."""
        ends = np.cumsum(self.lengths)
        left, top = np.divmod(ends - self.lengths, self.height)
        right, bottom = np.divmod(ends - 1, self.height)
        top[left < right], bottom[left < right] = 0, self.height - 1  # a stretch that goes on in the next column
        order = np.argsort(self.numbers, kind="stable")
        counts = np.bincount(self.numbers, minlength=most + 1)
        there = counts > 0
        first = (np.cumsum(counts) - counts)[there]
        result = np.zeros((most + 1, 4), np.int64)
        x, y = np.minimum.reduceat(left[order], first), np.minimum.reduceat(top[order], first)
        result[there, 0], result[there, 1] = x, y
        result[there, 2] = np.maximum.reduceat(right[order], first) - x + 1
        result[there, 3] = np.maximum.reduceat(bottom[order], first) - y + 1
        return [(x, y, width, height) for x, y, width, height in result.tolist()]

    def picture(self, table: np.ndarray) -> np.ndarray:
        """``(H, W)`` of ``table``'s type, uint8 or int32: for each pixel its number's entry."""
        columns = np.repeat(table[self.numbers], self.lengths)
        return cv2.transpose(columns.reshape(self.width, self.height))


def paint(measured: Measured, numbers: Sequence[int], overlap: str) -> Painting:
    """Paint each object's number.

    Args:
        measured: the objects and their masks.
        numbers: one an object, from 1.
        overlap: who has a pixel that several claim: ``z-order`` (the one on top), ``last`` (in the file),
            ``small-first`` (the smallest), or ``error``.

    Raises:
        UsageError: two objects overlap, with ``error``.
    """
    image = measured.sample.image
    check_size(image.height, image.width)
    starts, ends, counts = rle_ones(measured.rles)
    bounds = np.unique(np.concatenate((starts, ends, (0, image.width * image.height))))
    starts, ends = np.searchsorted(bounds, starts), np.searchsorted(bounds, ends)
    last = list(accumulate(counts))
    seen: np.ndarray = np.zeros(len(bounds) - 1, np.int64)
    for index in _order(measured, overlap):
        mine = slice(last[index - 1] if index else 0, last[index])
        for stretches in _stretches(starts[mine], ends[mine]):
            if overlap == "error" and seen[stretches].any():
                raise _overlap(measured, index)
            seen[stretches] = numbers[index]
    return Painting(seen, np.diff(bounds), image.height, image.width)


def _stretches(starts: np.ndarray, ends: np.ndarray) -> list[slice] | list[np.ndarray]:
    """The stretches of one object's runs, for indexing."""
    if len(starts) and int(ends[-1] - starts[0]) <= _FEW * len(starts):
        low, size = starts[0], int(ends[-1] - starts[0]) + 1
        depth = np.cumsum(np.bincount(starts - low, minlength=size) - np.bincount(ends - low, minlength=size))
        return [low + np.flatnonzero(depth)]
    return [slice(start, end) for start, end in zip(starts.tolist(), ends.tolist())]


def _overlap(measured: Measured, index: int) -> UsageError:
    return UsageError(
        "two objects overlap",
        file=measured.sample.image.name,
        place=measured.sample.objects[index].place,
        found="a pixel of this object is another's too",
        expected="no overlap, as --overlap error asks",
        hint="--overlap z-order lets the upper one have it",
    )


def _order(measured: Measured, overlap: str) -> list[int]:
    """The objects from the lowest to the uppermost."""
    indices = list(range(len(measured.rles)))
    if overlap == "small-first":
        return sorted(indices, key=lambda index: -measured.areas[index])
    if overlap == "last":
        return indices
    return sorted(indices, key=lambda index: measured.sample.objects[index].z)
