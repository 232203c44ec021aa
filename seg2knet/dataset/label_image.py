"""Label images: a number a pixel, as masks of classes, of instances and COCO's panoptic PNGs have it.

A label image is cut into runs of equal numbers, column by column as COCO counts; everything after that (which run is
whose, connected components, majorities, areas, boxes, the compressed strings) is done on runs, of which there are a
hundredth as many as pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Optional, Union

import msgspec
import numpy as np

from seg2knet.dataset import rle
from seg2knet.dataset.images import decode_labels, saved
from seg2knet.dataset.sample import Rle
from seg2knet.errors import DataError

ID, AREA, X, Y, WIDTH, HEIGHT = range(6)
"""Columns of ``Runs.table``."""


def ids_of(labels: np.ndarray) -> np.ndarray:
    """``(H, W)`` int32 of a decoded label image: RGB as COCO panoptic has it, R + 256 G + 65536 B; grey as it is."""
    if labels.ndim == 2:
        return labels.astype(np.int32)
    red, green, blue = (labels[..., channel].astype(np.int32) for channel in range(3))
    return red + 256 * green + 65536 * blue


def read_ids(path: Union[str, Path]) -> np.ndarray:
    """``(H, W)`` int32 segment ids of a COCO panoptic PNG.

    Raises DataError: it cannot be decoded, or is not an RGB image.
    """
    colors = decode_labels(path)
    if colors.ndim != 3:
        raise DataError("not a panoptic PNG", file=path, expected="an RGB PNG with id = R + 256 G + 65536 B")
    return ids_of(colors)


def rgb_of(ids: np.ndarray) -> np.ndarray:
    """``(H, W, 3)`` uint8 RGB of ``(H, W)`` ids below 2^24."""
    return np.stack([ids & 255, ids >> 8 & 255, ids >> 16 & 255], axis=-1).astype(np.uint8)


def encode_png(pixels: np.ndarray) -> bytes:
    """``(H, W)`` or ``(H, W, 3)`` uint8 as PNG."""
    from PIL import Image

    return saved(Image.fromarray(pixels), "PNG")


class Runs(msgspec.Struct, frozen=True):
    """A label image as runs of equal numbers: ``starts``, ``ends`` ``(R,)`` int64, first pixel and the one after the
    last, counted down the columns; ``values`` ``(R,)``, the number of each."""

    starts: np.ndarray
    ends: np.ndarray
    values: np.ndarray
    height: int
    width: int

    def table(self) -> np.ndarray:
        """Every number: ``(N, 6)`` int64 of the number, its pixels, and its box x, y, width, height; by number."""
        numbers, owners = np.unique(self.values, return_inverse=True)
        out = np.zeros((len(numbers), 6), np.int64)
        if not len(numbers):
            return out
        left, top = np.divmod(self.starts, self.height)
        right, bottom = np.divmod(self.ends - 1, self.height)
        top[left < right], bottom[left < right] = 0, self.height - 1  # a run that continues in the next column
        order = np.argsort(owners, kind="stable")
        first = np.searchsorted(owners[order], np.arange(len(numbers)))
        out[:, ID] = numbers
        out[:, AREA] = np.add.reduceat((self.ends - self.starts)[order], first)
        out[:, X] = np.minimum.reduceat(left[order], first)
        out[:, Y] = np.minimum.reduceat(top[order], first)
        out[:, WIDTH] = np.maximum.reduceat(right[order], first) - out[:, X] + 1
        out[:, HEIGHT] = np.maximum.reduceat(bottom[order], first) - out[:, Y] + 1
        return out

    def areas(self, most: int) -> list[int]:
        """Pixels of each number from 0 to ``most``, the highest there is."""
        # The sums are of whole numbers below 2^53: exact.
        return np.bincount(self.values, self.ends - self.starts, most + 1).astype(np.int64).tolist()

    def image(self, entries: np.ndarray) -> np.ndarray:
        """``(H, W)`` of the type of ``entries``, uint8 or int32: for each pixel the entry of its number."""
        import cv2

        columns = np.repeat(entries[self.values], self.ends - self.starts)
        return cv2.transpose(columns.reshape(self.width, self.height))


class Regions(msgspec.Struct, frozen=True):
    """Objects found in a label image: the number of each there, their masks, their pixels."""

    values: list[int]
    rles: list[Rle]
    areas: list[int]


def cut(labels: np.ndarray) -> Runs:
    """Cut ``(H, W)`` integers, or ``(H, W, 3)`` uint8 colours taken as ``red | green << 8 | blue << 16``, into runs."""
    import cv2

    if labels.ndim == 3:
        # Four bytes are one number: comparing those is one pass instead of three.
        runs = cut(cv2.cvtColor(np.ascontiguousarray(labels), cv2.COLOR_RGB2RGBA).view(np.int32)[..., 0])
        return msgspec.structs.replace(runs, values=runs.values & 0xFFFFFF)
    height, width = labels.shape
    if labels.dtype not in (np.uint8, np.uint16, np.int32):
        labels = labels.astype(np.int32)
    columns = cv2.transpose(labels).reshape(-1)
    starts = np.flatnonzero(columns[1:] != columns[:-1]).astype(np.int64)
    starts += 1
    starts = np.concatenate((np.zeros(1, np.int64), starts))
    ends = np.append(starts[1:], columns.size)
    return Runs(starts, ends, columns[starts].astype(np.int64), height, width)


def recoded(runs: Runs, values: np.ndarray) -> Runs:
    """The same runs with other numbers, those that became equal joined."""
    first = np.append(True, values[1:] != values[:-1])
    starts = runs.starts[first]
    return Runs(starts, np.append(starts[1:], runs.ends[-1]), values[first], runs.height, runs.width)


def cut_pair(first: np.ndarray, second: np.ndarray) -> tuple[Runs, np.ndarray]:
    """Cut two label images of one size into runs in which neither changes: those of the first, which may touch, and
    ``(R,)`` the numbers of the second in them."""
    one, two = cut(first), cut(second)
    starts = np.union1d(one.starts, two.starts)
    ends = np.append(starts[1:], one.height * one.width)
    values = one.values[np.searchsorted(one.starts, starts, side="right") - 1]
    others = two.values[np.searchsorted(two.starts, starts, side="right") - 1]
    return Runs(starts, ends, values, one.height, one.width), others


def regions(runs: Runs, *, without: Sequence[int] = (), split: bool = False) -> Regions:
    """The regions of equal numbers as masks, by number, but for ``without`` (background, void).

    With ``split`` every 8-connected component is a region of its own, those of a number from the top left one on.
    """
    keep = ~np.isin(runs.values, np.asarray(list(without), dtype=np.int64))
    runs = Runs(runs.starts[keep], runs.ends[keep], runs.values[keep], runs.height, runs.width)
    if not len(runs.starts):
        return Regions([], [], [])
    if split:
        runs = _by_column(runs)
        owners = _components(runs)
    else:
        owners = np.unique(runs.values, return_inverse=True)[1]
    _, firsts = np.unique(owners, return_index=True)
    areas = np.bincount(owners, runs.ends - runs.starts).astype(np.int64)
    rles = rle.encode(runs.starts, runs.ends, owners, runs.height, runs.width)
    return Regions(runs.values[firsts].tolist(), rles, areas.tolist())


def majority(runs: Runs, others: np.ndarray, void: Sequence[int] = ()) -> dict[int, tuple[int, float]]:
    """For each number of the runs, which number of the other image (but ``void``) has most of its pixels, and which
    share of them; regions with none but void are left out."""
    lengths = runs.ends - runs.starts
    mine, mine_at = np.unique(runs.values, return_inverse=True)
    theirs, theirs_at = np.unique(others, return_inverse=True)
    table = np.bincount(mine_at * len(theirs) + theirs_at, lengths, len(mine) * len(theirs))
    table = table.reshape(len(mine), len(theirs))
    totals = table.sum(axis=1)
    table[:, np.isin(theirs, np.asarray(list(void), dtype=np.int64))] = 0
    best = table.argmax(axis=1)
    return {
        int(number): (int(theirs[column]), float(table[row, column] / totals[row]))
        for row, (number, column) in enumerate(zip(mine, best))
        if table[row, column] > 0
    }


def window_rle(mask: np.ndarray, left: int, top: int, height: int, width: int) -> Optional[Rle]:
    """A mask ``(h, w)`` at ``left``, ``top`` on an empty one, cut off at its edges; ``None`` where nothing is left."""
    window = mask[max(-top, 0) : max(height - top, 0), max(-left, 0) : max(width - left, 0)]
    left, top = max(left, 0), max(top, 0)
    if not window.any():
        return None
    padded = np.zeros((window.shape[1], window.shape[0] + 1), np.int8)  # a column a row, with an end of its own
    padded[:, :-1] = window.T
    steps = np.diff(padded.reshape(-1), prepend=0)
    rows = window.shape[0] + 1
    starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    starts = (starts // rows + left) * height + starts % rows + top
    ends = (ends // rows + left) * height + ends % rows + top
    return rle.encode(starts, ends, np.zeros(len(starts), np.int64), height, width)[0]


def _by_column(runs: Runs) -> Runs:
    """The same runs, cut where a column ends."""
    height = runs.height
    first, last = runs.starts // height, (runs.ends - 1) // height
    pieces = last - first + 1
    at = np.repeat(np.arange(len(pieces)), pieces)
    column = first[at] + np.arange(len(at)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    starts = np.maximum(runs.starts[at], column * height)
    ends = np.minimum(runs.ends[at], (column + 1) * height)
    return Runs(starts, ends, runs.values[at], height, runs.width)


def _components(runs: Runs) -> np.ndarray:
    """``(R,)`` the 8-connected component of each run, numbered by value, then from the top left one on.

    Runs are no longer than a column. Two touch where they stand in neighbouring columns and their rows, one more at
    either end, overlap: with every column padded by a pixel at both ends that is an interval in a sorted list.
    """
    height = runs.height
    stride = height + 2
    column, row = runs.starts // height, runs.starts % height
    numbers = np.unique(runs.values, return_inverse=True)[1]
    begin = numbers * ((runs.width + 2) * stride) + column * stride + row + 1
    order = np.argsort(begin, kind="stable")
    begin = begin[order]
    end = begin + (runs.ends - runs.starts)[order]
    low = np.searchsorted(end, begin + stride - 1, side="right")
    high = np.searchsorted(begin, end + stride + 1, side="left")
    count = np.maximum(high - low, 0)
    left = np.repeat(np.arange(len(begin)), count)
    right = np.repeat(low, count) + np.arange(len(left)) - np.repeat(np.cumsum(count) - count, count)
    roots = np.empty_like(order)
    roots[order] = _joined(len(begin), left, right)
    # Numbered by value, then by the place (row by row) where the first of their pixels stands.
    first = np.full(len(roots), np.iinfo(np.int64).max)
    np.minimum.at(first, roots, numbers * (height * runs.width) + row * runs.width + column)
    return np.unique(first[roots], return_inverse=True)[1]


def _joined(count: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """``(count,)`` the smallest member of each one's set, after joining ``left[i]`` with ``right[i]``.

    Every round hooks each set to a neighbour with a smaller root, so their number halves at least.
    """
    roots = np.arange(count)
    while (apart := roots[left] != roots[right]).any():
        left, right = left[apart], right[apart]
        low, high = np.sort([roots[left], roots[right]], axis=0)
        np.minimum.at(roots, high, low)
        while ((further := roots[roots]) != roots).any():
            roots = further
    return roots
