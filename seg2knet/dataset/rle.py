"""Run-length codes as COCO has them, and all that is computed on them without looking at pixels.

A mask is cut into runs of zeros and ones in turn, down the columns, zeros first; the compressed string writes each run
in groups of five bits (cocoapi, ``maskApi.c``). pycocotools trusts what it is given and crashes the process on what is
none, so strings from outside are read here, by ``rle_runs``, before it sees them.

Masks are ``(H, W)`` arrays. Boxes are x, y, width, height in pixels.
"""

from __future__ import annotations

import ast
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Union

import numpy as np

from seg2knet.dataset.sample import Rle
from seg2knet.errors import DataError

Box = tuple[int, int, int, int]

MAX_PIXELS = 1 << 28
"""Above this many pixels a mask or image is refused: a forged size must not take the machine down."""
MAX_PIXELS_VARIABLE = "SEG2KNET_MAX_PIXELS"
"""Environment variable with another bound; ``--max-pixels`` sets it, so that worker processes know it too."""

_AREAS = 255
"""As many areas as pycocotools counts in one call: with NumPy 2 it raises beyond that, for it counts in 8 bits."""


def max_pixels() -> int:
    value = os.environ.get(MAX_PIXELS_VARIABLE, "")
    return int(value) if value.isdecimal() else MAX_PIXELS


def size_allowed(height: int, width: int) -> bool:
    """Whether an image can have that size: sides of at least 1 pixel, at most ``max_pixels()`` in all."""
    return height >= 1 and width >= 1 and height * width <= max_pixels()


def check_size(height: int, width: int, file: Union[str, Path, None] = None) -> None:
    """Raises DataError: a side below 1 pixel, or more than ``max_pixels()`` in all."""
    if not size_allowed(height, width):
        raise DataError(
            "an image cannot have that size", file=file, found=f"{width}x{height}",
            expected=f"sides of at least 1 pixel and at most {max_pixels():,} pixels in all",
            hint="--max-pixels allows more" if min(height, width) >= 1 else None,
        )  # fmt: skip


def as_pycocotools(rle: Rle) -> dict:
    """The dictionary that pycocotools takes: ``size`` (height, width) and ``counts`` in bytes."""
    return {"size": [rle.height, rle.width], "counts": rle.counts}


def as_json(rle: Rle) -> dict:
    """The same with ``counts`` as text, as COCO files have it."""
    return {"size": [rle.height, rle.width], "counts": rle.counts.decode("ascii")}


def mask_to_rle(mask: np.ndarray) -> Rle:
    """From ``(H, W)`` bool or 0/1."""
    from pycocotools import mask as coco_mask

    encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return Rle(encoded["counts"], *mask.shape)


def rle_to_mask(rle: Rle) -> np.ndarray:
    """``(H, W)`` bool."""
    from pycocotools import mask as coco_mask

    check_size(rle.height, rle.width)
    return coco_mask.decode(as_pycocotools(rle)).astype(bool)


def window(rle: Rle, box: Box) -> np.ndarray:
    """What of the mask is in a box, ``(h, w)`` bool."""
    x, y, width, height = box
    return rle_to_mask(rle)[y : y + height, x : x + width]


def rle_bbox(rle: Rle) -> Box:
    """The mask's box; all zero for an empty mask."""
    return areas_and_boxes([rle])[1][0]


def areas_and_boxes(rles: Sequence[Rle]) -> tuple[list[int], list[Box]]:
    from pycocotools import mask as coco_mask

    if not rles:
        return [], []
    plain = [as_pycocotools(rle) for rle in rles]
    boxes = coco_mask.toBbox(plain).astype(np.int64).tolist()
    areas: list[int] = []
    for start in range(0, len(plain), _AREAS):
        areas += coco_mask.area(plain[start : start + _AREAS]).astype(np.int64).tolist()
    return areas, [tuple(box) for box in boxes]


def union(rles: Sequence[Rle]) -> Rle:
    """The pixels of any of these masks, all of one size."""
    from pycocotools import mask as coco_mask

    if len(rles) == 1:
        return rles[0]
    merged = coco_mask.merge([as_pycocotools(rle) for rle in rles])
    return Rle(merged["counts"], rles[0].height, rles[0].width)


def rle_from_counts(counts: Sequence[int], height: int, width: int) -> Rle:
    """From an uncompressed run-length code.

    Raises DataError: negative or non-integer runs, runs that do not sum to the image, a size that cannot be.
    """
    from pycocotools import mask as coco_mask

    check_size(height, width)
    if not all(type(run) is int and run >= 0 for run in counts):
        raise DataError("run lengths must be integers of at least 0", found=repr(list(counts[:8])))
    _check_sum(sum(counts), height, width)
    encoded = coco_mask.frPyObjects({"size": [height, width], "counts": list(counts)}, height, width)
    return Rle(encoded["counts"], height, width)


def rle_from_string(counts: bytes, height: int, width: int) -> Rle:
    """From pycocotools' compressed string, checked.

    Raises DataError: it is not a run-length string, or its runs do not sum to the image.
    """
    check_size(height, width)
    _check_sum(int(rle_runs(counts).sum()), height, width)
    return Rle(counts, height, width)


def _check_sum(total: int, height: int, width: int) -> None:
    if total != height * width:
        raise DataError(
            "run lengths do not sum to the image", found=str(total), expected=f"{height} x {width} = {height * width}"
        )


def counts_as_bytes(text: str) -> bytes:
    """A run-length string as bytes; ``str()`` of bytes, as some scripts write it, is undone. Raises DataError."""
    if text[:2] in ("b'", 'b"') and text[-1:] == text[1]:
        with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            value = ast.literal_eval(text)
            if isinstance(value, bytes):
                return value
    try:
        return text.encode("ascii")
    except UnicodeEncodeError:
        raise DataError("not a run-length string", found="letters outside of ASCII") from None


def counts_to_runs(counts: Union[str, Sequence[int]]) -> np.ndarray:
    """The runs of either kind of COCO's ``counts``, ``(R,)`` int64.

    Raises DataError, OverflowError, ValueError: not a run-length code.
    """
    if isinstance(counts, str):
        return rle_runs(counts.encode("latin-1"))
    runs = np.array(counts, np.int64)
    if len(runs) and (runs.min() < 0 or runs.max() > max_pixels()):
        raise DataError("a negative run, or one longer than an image can be")
    return runs


def rle_runs(counts: bytes) -> np.ndarray:
    """The runs of a compressed string, ``(R,)`` int64.

    Raises DataError: characters out of range, a string that ends in the middle of a number, a negative run.
    """
    return _runs_of([counts])[0]


def rle_ones(rles: Sequence[Rle]) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Where the runs of ones of many masks begin and end, counted down the columns: ``(R,)`` int64 starts and ends, and
    how many are of each mask; all masks in one pass.

    Raises DataError: as ``rle_runs``.
    """
    runs, counts = _runs_of([rle.counts for rle in rles])
    first = np.cumsum(counts) - counts
    ends = np.cumsum(runs)
    ends -= np.repeat(np.concatenate(([0], ends))[first], counts)
    ones = np.flatnonzero((np.arange(len(runs)) - np.repeat(first, counts)) & 1)
    return ends[ones - 1], ends[ones], (counts // 2).tolist()


def _runs_of(strings: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """The runs of several strings after one another, and how many are of each.

    Five bits a character from 48 on, the sixth says that more follow, sign-extended; from the third run on each is
    the difference to the run two before (maskApi.c, ``rleFrString``).
    """
    codes = np.frombuffer(b"".join(strings), dtype=np.uint8).astype(np.int64) - 48
    sizes = np.fromiter(map(len, strings), np.int64, len(strings))
    if not len(codes):
        return codes, sizes
    bounds = np.cumsum(sizes)
    if codes.min() < 0 or codes.max() > 63:
        wrong = int(np.argmax((codes < 0) | (codes > 63)))
        place = wrong - int((bounds - sizes)[np.searchsorted(bounds, wrong, side="right")])
        raise DataError("not a run-length string", found=f"byte {codes[wrong] + 48} at place {place}")
    stops = codes & 32 == 0
    if not stops[bounds[sizes > 0] - 1].all():
        raise DataError("a run-length string that ends in the middle of a number")
    ends = np.flatnonzero(stops)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > 8:
        raise DataError("a run-length string with a run of over 10^12 pixels")
    runs = codes & 31
    if lengths.max() > 1:
        runs = np.add.reduceat(runs << 5 * (np.arange(len(codes)) - np.repeat(starts, lengths)), starts)
    runs -= np.where(codes[ends] & 16, np.int64(1) << (5 * lengths), 0)
    finished = np.concatenate(([0], np.cumsum(stops)))
    counts = finished[bounds] - finished[bounds - sizes]
    places = np.arange(len(runs)) - np.repeat(np.cumsum(counts) - counts, counts)
    odd = places & 1 == 1
    for mine, many in ((odd, counts // 2), (~odd & (places > 0), np.maximum(counts - 1, 0) // 2)):
        sums = np.concatenate(([0], np.cumsum(runs[mine])))
        runs[mine] = sums[1:] - np.repeat(sums[np.cumsum(many) - many], many)
    if runs.min() < 0:
        raise DataError("a run-length string with a negative run", found=str(runs.min()))
    return runs, counts


def measure_runs(runs: np.ndarray, height: int) -> tuple[float, tuple[float, float, float, float], float]:
    """Pixels, box and length of the outline of ``(R,)`` runs, as pycocotools counts them: each run of ones has an
    upper and a lower side; left and right sides are at least as long as the box is high."""
    ends = np.cumsum(runs)[1::2]
    ones = runs[1::2]
    starts, ends = (ends - ones)[ones > 0], ends[ones > 0] - 1
    if not len(starts):
        return 0.0, (0.0, 0.0, 0.0, 0.0), 0.0
    left, right = int(starts[0] // height), int(ends[-1] // height)
    if (starts // height != ends // height).any():
        top, bottom = 0, height - 1
    else:
        top, bottom = int((starts % height).min()), int((ends % height).max())
    box = (left, top, right - left + 1, bottom - top + 1)
    return float(ones.sum()), box, 2.0 * len(starts) + 2.0 * box[3]


def encode(starts: np.ndarray, ends: np.ndarray, owners: np.ndarray, height: int, width: int) -> list[Rle]:
    """Runs of ones as masks, all of an image at once.

    ``starts``, ``ends``: ``(R,)`` int64, first pixel and the one after the last, counted down the columns; ``owners``:
    ``(R,)``, the mask of each: 0, 1, ..., none left out. Runs of one mask do not overlap.
    """
    from pycocotools import mask as coco_mask

    order = np.lexsort((starts, owners))
    owners, starts, ends = owners[order], starts[order], ends[order]
    same = owners[1:] == owners[:-1]
    joins = same & (starts[1:] == ends[:-1])
    if joins.any():
        keep = np.append(True, ~joins)
        ends = ends[np.append(np.flatnonzero(keep)[1:] - 1, len(ends) - 1)]
        owners, starts = owners[keep], starts[keep]
        same = owners[1:] == owners[:-1]
    first = np.append(True, ~same)
    tail = np.append(~same, True) & (ends < height * width)  # zeros after a mask's last run
    sizes = np.where(tail, 3, 2)
    at = np.cumsum(sizes) - sizes
    counts = np.empty(int(sizes.sum()), np.int64)
    counts[at] = starts - np.where(first, 0, np.append(0, ends[:-1]))
    counts[at + 1] = ends - starts
    counts[at[tail] + 2] = height * width - ends[tail]
    codes = [{"size": [height, width], "counts": own} for own in np.split(counts, at[first][1:])]
    return [Rle(code["counts"], height, width) for code in coco_mask.frPyObjects(codes, height, width)]
