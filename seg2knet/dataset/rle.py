"""COCO's compressed run-length strings as numbers, without pycocotools, which trusts what it is given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seg2knet.dataset.sample import Rle
from seg2knet.errors import DataError


def rle_runs(counts: bytes) -> np.ndarray:
    """The runs of pycocotools' compressed string, ``(R,)`` int64, without pycocotools, which trusts what it is given.

    Five bits a character from 48 on, the sixth says that more follow, sign-extended; from the third run on each is
    the difference to the run two before (maskApi.c, ``rleFrString``).

    Raises:
        DataError: characters out of range, a string that ends in the middle of a number, a negative run.
    """
    codes = np.frombuffer(counts, dtype=np.uint8).astype(np.int64) - 48
    if not len(codes):
        return codes
    if codes.min() < 0 or codes.max() > 63:
        wrong = int(np.argmax((codes < 0) | (codes > 63)))
        raise DataError("not a run-length string", found=f"byte {counts[wrong]} at place {wrong}")
    ends = np.flatnonzero(codes & 32 == 0)
    if not len(ends) or ends[-1] != len(codes) - 1:
        raise DataError("a run-length string that ends in the middle of a number")
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > 8:
        raise DataError("a run-length string with a run of over 10^12 pixels")
    shifts = 5 * (np.arange(len(codes)) - np.repeat(starts, lengths))
    runs = np.add.reduceat((codes & 31) << shifts, starts)
    runs -= np.where(codes[ends] & 16, np.int64(1) << (5 * lengths), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    if runs.min() < 0:
        raise DataError("a run-length string with a negative run", found=str(runs.min()))
    return runs


def rle_ones(rles: Sequence[Rle]) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Where the runs of ones of many masks begin and end, counted down the columns; all masks in one pass.

    Returns:
        starts, ends: ``(R,)`` int64, the first mask's runs, then the second's...
        counts: how many are of each mask.

    Raises:
        DataError: as ``rle_runs``.
    """
    empty: np.ndarray = np.zeros(0, np.int64)
    if not rles:
        return empty, empty, []
    try:
        runs, counts = _all_runs([rle.counts for rle in rles])
    except DataError:
        runs_each = [rle_runs(rle.counts) for rle in rles]  # says which is wrong, and takes an empty one
        runs, counts = np.concatenate(runs_each), np.array([len(each) for each in runs_each])
    first = np.cumsum(counts) - counts
    ends = np.cumsum(runs)
    ends -= np.repeat(np.concatenate(([0], ends))[first], counts)
    ones = np.flatnonzero((np.arange(len(runs)) - np.repeat(first, counts)) & 1)
    return ends[ones - 1], ends[ones], (counts // 2).tolist()


def _all_runs(strings: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """The runs of several strings after one another, and how many are of each."""
    joined = b"".join(strings)
    codes = np.frombuffer(joined, dtype=np.uint8).astype(np.int64) - 48
    sizes = np.array([len(string) for string in strings])
    bounds = np.cumsum(sizes)
    stops = codes & 32 == 0
    if len(codes) == 0 or codes.min() < 0 or codes.max() > 63 or not sizes.all() or not stops[bounds - 1].all():
        raise DataError("not a run-length string")
    ends = np.flatnonzero(stops)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > 8:
        raise DataError("a run-length string with a run of over 10^12 pixels")
    runs = codes & 31
    if lengths.max() > 1:
        runs = np.add.reduceat(runs << 5 * (np.arange(len(codes)) - np.repeat(starts, lengths)), starts)
    runs -= np.where(codes[ends] & 16, np.int64(1) << (5 * lengths), 0)
    counts = np.add.reduceat(stops, bounds - sizes, dtype=np.int64)
    places = np.arange(len(runs)) - np.repeat(np.cumsum(counts) - counts, counts)
    # Each run from the third on is the difference to the run two before, string by string.
    for mine, many in ((places & 1 == 1, counts // 2), ((places & 1 == 0) & (places > 0), (counts - 1) // 2)):
        sums = np.concatenate(([0], np.cumsum(runs[mine])))
        runs[mine] = sums[1:] - np.repeat(sums[np.cumsum(many) - many], many)
    if runs.min() < 0:
        raise DataError("a run-length string with a negative run", found=str(runs.min()))
    return runs, counts
