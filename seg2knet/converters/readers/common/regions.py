"""From label images to run-length codes: all objects of an image in one pass over its pixels.

A label image is cut into runs of equal numbers, column by column as COCO counts; everything after that (which run is
whose, connected components, majorities, the compressed strings) is done on runs, of which there are a hundredth as
many as pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import msgspec
import numpy as np

from seg2knet.dataset.sample import Rle

_CHARACTERS = 7
"""Of five bits each, enough for the difference of two runs of up to 2^30 pixels with its sign."""


class Runs(msgspec.Struct, frozen=True):
    """A label image ``(height, width)`` as runs of equal numbers, column by column.

    Attributes:
        starts, ends: ``(R,)`` int64, first pixel and the one after the last, counted down the columns.
        values: ``(R,)``, the number of each run.
    """

    starts: np.ndarray
    ends: np.ndarray
    values: np.ndarray
    height: int
    width: int


class Regions(msgspec.Struct, frozen=True):
    """Objects found in a label image, in the order of ``values``.

    Attributes:
        values: the number of each in the label image.
        rles: their masks.
        areas: their pixels.
    """

    values: list[int]
    rles: list[Rle]
    areas: list[int]


def cut(labels: np.ndarray) -> Runs:
    """Cut ``(H, W)`` integers, or ``(H, W, 3)`` uint8 colours taken as ``red | green << 8 | blue << 16``, into runs."""
    import cv2

    if labels.ndim == 3:
        # Four bytes are one number: comparing those is one pass instead of three.
        labels = cv2.cvtColor(np.ascontiguousarray(labels), cv2.COLOR_RGB2RGBA).view(np.int32)[..., 0]
        return _colours(cut(labels))
    height, width = labels.shape
    if labels.dtype not in (np.uint8, np.uint16, np.int32):
        labels = labels.astype(np.int32)
    columns = cv2.transpose(labels).reshape(-1)
    starts = np.flatnonzero(columns[1:] != columns[:-1]).astype(np.int64)
    starts += 1
    starts = np.concatenate((np.zeros(1, np.int64), starts))
    ends = np.append(starts[1:], columns.size)
    return Runs(starts, ends, columns[starts].astype(np.int64), height, width)


def _colours(runs: Runs) -> Runs:
    return msgspec.structs.replace(runs, values=runs.values & 0xFFFFFF)


def recoded(runs: Runs, values: np.ndarray) -> Runs:
    """The same runs with other numbers, those that became equal joined."""
    first = np.append(True, values[1:] != values[:-1])
    starts = runs.starts[first]
    return Runs(starts, np.append(starts[1:], runs.ends[-1]), values[first], runs.height, runs.width)


def cut_pair(first: np.ndarray, second: np.ndarray) -> tuple[Runs, np.ndarray]:
    """Cut two label images of one size into runs in which neither changes.

    Returns:
        The runs of the first, and ``(R,)`` the numbers of the second in them. Runs of one number may touch.
    """
    one, two = cut(first), cut(second)
    starts = np.union1d(one.starts, two.starts)
    ends = np.append(starts[1:], one.height * one.width)
    values = one.values[np.searchsorted(one.starts, starts, side="right") - 1]
    others = two.values[np.searchsorted(two.starts, starts, side="right") - 1]
    return Runs(starts, ends, values, one.height, one.width), others


def regions(runs: Runs, *, without: Sequence[int] = (), split: bool = False) -> Regions:
    """The regions of equal numbers as masks.

    Args:
        without: numbers that are none (background, void).
        split: every 8-connected component is a region of its own; else all pixels of a number are one.

    Returns:
        Regions by number; components of one number from the top left one on.
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
    return _encoded(runs, owners)


def majority(runs: Runs, others: np.ndarray, void: Sequence[int] = ()) -> dict[int, tuple[int, float]]:
    """For each number of the runs, which number of the other image (but ``void``) has most of its pixels.

    Returns:
        That number, and its share of the region's pixels; regions with none but void are left out.
    """
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
    """A small mask ``(h, w)`` placed at ``left``, ``top`` on an empty one of ``(height, width)``.

    What stands out is cut off; ``None`` where nothing is left.
    """
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
    runs = Runs(starts.astype(np.int64), ends.astype(np.int64), np.ones(len(starts), np.int64), height, width)
    return _encoded(runs, np.zeros(len(starts), np.int64)).rles[0]


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
    return _ranked(roots, numbers, row * runs.width + column)


def _joined(count: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """``(count,)`` the smallest member of each one's set, after joining ``left[i]`` with ``right[i]``.

    Every round hooks each set to a neighbour with a smaller root, so their number halves at least.
    """
    roots = np.arange(count)
    while len(left):
        a, b = roots[left], roots[right]
        open_ = a != b
        if not open_.any():
            break
        left, right, a, b = left[open_], right[open_], a[open_], b[open_]
        smaller = np.minimum(a, b)
        np.minimum.at(roots, np.maximum(a, b), smaller)
        while True:
            further = roots[roots]
            if (further == roots).all():
                break
            roots = further
    return roots


def _ranked(roots: np.ndarray, numbers: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Components numbered by value, then by the place (row by row) where the first of their pixels stands."""
    _, at = np.unique(roots, return_inverse=True)
    top = np.full(at.max() + 1, np.iinfo(np.int64).max)
    np.minimum.at(top, at, place)
    number = np.empty(len(top), np.int64)
    number[at] = numbers
    rank = np.empty(len(top), np.int64)
    rank[np.lexsort((top, number))] = np.arange(len(top))
    return rank[at]


def _encoded(runs: Runs, owners: np.ndarray) -> Regions:
    """Runs by owner (0, 1, ...) as COCO's compressed strings (maskApi.c, ``rleToString``), all at once."""
    order = np.lexsort((runs.starts, owners))
    owners, starts, ends, values = owners[order], runs.starts[order], runs.ends[order], runs.values[order]
    same = owners[1:] == owners[:-1]
    joins = same & (starts[1:] == ends[:-1])
    if joins.any():
        keep = np.append(True, ~joins)
        ends = ends[np.append(np.flatnonzero(keep)[1:] - 1, len(ends) - 1)]
        owners, starts, values = owners[keep], starts[keep], values[keep]
        same = owners[1:] == owners[:-1]
    first = np.append(True, ~same)
    last = np.append(~same, True)
    total = runs.height * runs.width
    counts, offsets = _counts(starts, ends, first, last, total)
    strings = _strings(counts, offsets)
    areas = np.add.reduceat(ends - starts, np.flatnonzero(first))
    return Regions(values[first].tolist(), [Rle(string, runs.height, runs.width) for string in strings], areas.tolist())


def _counts(
    starts: np.ndarray, ends: np.ndarray, first: np.ndarray, last: np.ndarray, total: int
) -> tuple[np.ndarray, np.ndarray]:
    """Zeros and ones in turn for each owner, ``(C,)``, and where each owner's begin."""
    before = np.where(first, 0, np.append(0, ends[:-1]))
    tail = last & (ends < total)
    sizes = np.where(tail, 3, 2)
    at = np.cumsum(sizes) - sizes
    counts = np.empty(int(sizes.sum()), np.int64)
    counts[at] = starts - before
    counts[at + 1] = ends - starts
    counts[at[tail] + 2] = total - ends[tail]
    return counts, at[first]


def _strings(counts: np.ndarray, offsets: np.ndarray) -> list[bytes]:
    place = np.arange(len(counts)) - np.repeat(offsets, np.diff(np.append(offsets, len(counts))))
    rest = counts.copy()
    rest[2:] -= np.where(place[2:] > 2, counts[:-2], 0)
    characters = np.zeros((len(counts), _CHARACTERS), np.uint8)
    used = np.zeros((len(counts), _CHARACTERS), bool)
    going = np.ones(len(counts), bool)
    for column in range(_CHARACTERS):
        low = rest & 31
        rest >>= 5
        more = np.where(low & 16, rest != -1, rest != 0)
        characters[:, column] = (low | (more << 5)) + 48
        used[:, column] = going
        going &= more
        if not going.any():
            break
    text = characters[used].tobytes()
    lengths = np.add.reduceat(used.sum(axis=1), offsets)
    ends = np.cumsum(lengths).tolist()
    return [text[end - length : end] for end, length in zip(ends, lengths.tolist())]
