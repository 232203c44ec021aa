"""Objects painted one over another, pixel by pixel at most one: what panoptic and semantic masks show.

An image is painted not pixel by pixel but stretch by stretch: down the columns, from one object's border to the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np

from seg2knet.converters.base import Measured
from seg2knet.converters.options import ConvertOptions
from seg2knet.dataset.classes import Color
from seg2knet.dataset.label_image import Runs
from seg2knet.dataset.rle import check_size, rle_ones
from seg2knet.dataset.sample import Note, Skip
from seg2knet.errors import UsageError

_FEW = 64
"""An object is painted run by run where its window has this many times as many stretches as it has runs."""


def paint(measured: Measured, numbers: Sequence[int], options: ConvertOptions) -> Runs:
    """The number of the object that is seen, from 1, on each stretch down the columns; 0 where none is. Of several that
    claim a pixel ``options.overlap`` says who has it: ``z-order`` (the one on top), ``last`` (in the file),
    ``small-first`` (things over stuff, small over large).

    Raises UsageError: two objects overlap, with ``error``.
    """
    image = measured.sample.image
    check_size(image.height, image.width)
    starts, ends, counts = rle_ones(measured.rles)
    bounds = np.unique(np.concatenate((starts, ends, (0, image.width * image.height))))
    starts, ends = np.searchsorted(bounds, starts), np.searchsorted(bounds, ends)
    last = list(accumulate(counts))
    seen: np.ndarray = np.zeros(len(bounds) - 1, np.int64)
    for index in _order(measured, options):
        mine = slice(last[index - 1] if index else 0, last[index])
        for stretches in _stretches(starts[mine], ends[mine]):
            if options.overlap == "error" and seen[stretches].any():
                raise UsageError(
                    "two objects overlap",
                    file=image.name,
                    place=measured.sample.objects[index].place,
                    found="a pixel of this object is another's too",
                    expected="no overlap, as --overlap error asks",
                    hint="--overlap z-order lets the upper one have it",
                )
            seen[stretches] = numbers[index]
    return Runs(bounds[:-1], bounds[1:], seen, image.height, image.width)


def _stretches(starts: np.ndarray, ends: np.ndarray) -> list[slice] | list[np.ndarray]:
    """The stretches of one object's runs, for indexing."""
    if len(starts) and int(ends[-1] - starts[0]) <= _FEW * len(starts):
        low, size = starts[0], int(ends[-1] - starts[0]) + 1
        depth = np.cumsum(np.bincount(starts - low, minlength=size) - np.bincount(ends - low, minlength=size))
        return [low + np.flatnonzero(depth)]
    return [slice(start, end) for start, end in zip(starts.tolist(), ends.tolist())]


def _order(measured: Measured, options: ConvertOptions) -> list[int]:
    """The objects from the lowest to the uppermost."""
    objects, indices, stuff = measured.sample.objects, list(range(len(measured.areas))), options.stuff or ()
    if options.overlap == "small-first":
        return sorted(indices, key=lambda index: (objects[index].label not in stuff, -measured.areas[index]))
    return indices if options.overlap == "last" else sorted(indices, key=lambda index: objects[index].z)


def hidden(measured: Measured, indices: Iterable[int]) -> list[Skip]:
    """Skips for objects of which no pixel is left."""
    name, objects = measured.sample.image.name, measured.sample.objects
    detail = "others cover all of it; --overlap small-first lets the smaller one have a pixel, z-order the upper one"
    return [Skip("hidden-by-others", f"{name}: {objects[index].place}", detail=detail) for index in indices]


def paint_all(
    measured: Measured, options: ConvertOptions, crowds: Sequence[bool]
) -> tuple[Runs, list[Skip], list[Note]]:
    """Paint each object by its number from 1, and what a mask image cannot say of them: crowds are left out."""
    painting, skips, changes = paint(measured, range(1, len(crowds) + 1), options), [], []
    seen = painting.areas(len(crowds))[1:]
    for index, (item, before, after) in enumerate(zip(measured.sample.objects, measured.areas, seen)):
        place = f"{measured.sample.image.name}: {item.place}"
        if crowds[index] or not after:
            skips += [Skip("crowd", place)] if crowds[index] else hidden(measured, [index])
            continue
        if before != after:
            changes.append(Note("pixels-hidden-by-others", place, "", before - after))
        if item.attributes:
            changes.append(Note("attributes-left-out", place, ", ".join(map(str, item.attributes))))
    return painting, skips, changes


def write_labelmap(root: Path, classes: Mapping[int, tuple[str, Color]]) -> None:
    """``labelmap.txt`` as CVAT and Datumaro write it, names and colours from number 0 on, which is the background."""
    lines = ["# label:color_rgb:parts:actions\n", "background:0,0,0::\n"]
    for number in range(1, max(classes, default=0) + 1):
        name, color = classes.get(number, (f"unused{number}", (0, 0, 0)))
        lines.append(f"{name}:{','.join(map(str, color))}::\n")
    (root / "labelmap.txt").write_text("".join(lines), encoding="utf-8")
