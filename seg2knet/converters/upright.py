"""A picture's size as its annotation has it, against what its file says: the same, turned by EXIF, or another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import msgspec

from seg2knet.converters.transforms import turned
from seg2knet.dataset.images import Header
from seg2knet.dataset.sample import Note, Object, Polygons, Skip


class Fit(msgspec.Struct, frozen=True):
    """How annotation and picture fit.

    Attributes:
        width, height: of the picture as shown.
        turn: EXIF orientation by which the annotation's coordinates must be turned (``transforms.turned``), for they
            are those of the picture as stored; 1 where they are right as they are.
        problem: where the sizes are two different ones: what differs, for a person.
        scaled: they differ as those of one picture at two scales do, so that coordinates cannot be right.
    """

    width: int
    height: int
    turn: int = 1
    problem: Optional[str] = None
    scaled: bool = False


def fit(declared: Optional[tuple[int, int]], header: Header) -> Fit:
    """Compare the size that an annotation declares (width, height; ``None`` for none) with the picture's."""
    width, height = header.shown
    if declared is None or declared == (width, height):
        return Fit(width, height)
    if header.orientation != 1 and declared == (header.width, header.height):
        return Fit(width, height, header.orientation)
    said = f"the annotation says {declared[0]}x{declared[1]}, the picture is {width}x{height}"
    # Side by side as fractions: 1024x683 and 512x341 are one picture, rounded.
    scaled = min(declared) > 0 and abs(declared[0] * height - declared[1] * width) <= max(*declared, width, height)
    return Fit(width, height, 1, said, scaled)


def settle(
    size: Fit, header: Header, objects: Sequence[Object], place: str
) -> tuple[tuple[Object, ...], list[Skip], list[Note]]:
    """Objects in the pixels of the picture as shown, or as skips where two sizes cannot be brought together.

    Args:
        size: how annotation and picture fit.
        header: of the picture.
        objects: in the annotation's coordinates.
        place: of the annotation, for the ledger.
    """
    if size.problem is not None:
        if size.scaled or not all(_inside(found, size) for found in objects):
            detail = f"{size.problem}: the coordinates are another picture's"
            return (), [Skip("size-differs", f"{place}: {found.place}", detail=detail) for found in objects], []
        detail = f"{size.problem}; all coordinates lie inside"
        return tuple(objects), [], [Note("size-differs", place, detail)]
    if size.turn == 1:
        return tuple(objects), [], []
    detail = f"they were the stored picture's, turned as EXIF {size.turn} says"
    return turned(objects, header.width, header.height, size.turn), [], [Note("coordinates-turned", place, detail)]


def _inside(found: Object, size: Fit) -> bool:
    """Whether an object given for another size fits the picture, give or take a pixel."""
    if not isinstance(found.shape, Polygons):
        return (found.shape.width, found.shape.height) == (size.width, size.height)
    return all(
        min(part) >= -1 and max(part[0::2]) <= size.width + 1 and max(part[1::2]) <= size.height + 1
        for part in found.shape.parts
    )
