"""An image's size as its annotation has it, against what its file says: the same, turned by EXIF, or another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import msgspec

from seg2knet.dataset.images import Header
from seg2knet.dataset.rle import mask_to_rle, rle_to_mask
from seg2knet.dataset.sample import Note, Object, Polygons, Shape, Skip


class Fit(msgspec.Struct, frozen=True):
    """How annotation and image fit."""

    width: int  # of the image as shown
    height: int
    turn: int = 1  # EXIF orientation by which the coordinates must be turned, where they are the stored image's
    problem: Optional[str] = None  # where the sizes are two different ones: what differs, for a person
    scaled: bool = False  # they differ as those of one image at two scales do, so that coordinates cannot be right


def fit(declared: Optional[tuple[int, int]], header: Header) -> Fit:
    """Compare the size that an annotation declares (width, height; ``None`` for none) with the image's."""
    width, height = header.shown
    if declared is None or declared == (width, height):
        return Fit(width, height)
    if header.orientation != 1 and declared == (header.width, header.height):
        return Fit(width, height, header.orientation)
    said = f"the annotation says {declared[0]}x{declared[1]}, the image is {width}x{height}"
    # Side by side as fractions: 1024x683 and 512x341 are one image, rounded.
    scaled = min(declared) > 0 and abs(declared[0] * height - declared[1] * width) <= max(*declared, width, height)
    return Fit(width, height, 1, said, scaled)


def settle(
    size: Fit, header: Header, objects: Sequence[Object], place: str
) -> tuple[tuple[Object, ...], list[Skip], list[Note]]:
    """Objects, given in the annotation's coordinates, in the pixels of the image as shown, or as skips where two sizes
    cannot be brought together; ``place`` is the annotation's, for the ledger.
    """
    if size.problem is not None:
        if size.scaled or not all(_inside(item, size) for item in objects):
            detail = f"{size.problem}: the coordinates are another image's"
            return (), [Skip("size-differs", f"{place}: {item.place}", detail=detail) for item in objects], []
        detail = f"{size.problem}; all coordinates lie inside"
        return tuple(objects), [], [Note("size-differs", place, detail)]
    if size.turn == 1:
        return tuple(objects), [], []
    detail = f"they were the stored image's, turned as EXIF {size.turn} says"
    shapes = (_turned(item.shape, header.width, header.height, size.turn) for item in objects)
    turned = tuple(msgspec.structs.replace(item, shape=shape) for item, shape in zip(objects, shapes))
    return turned, [], [Note("coordinates-turned", place, detail)]


def _inside(item: Object, size: Fit) -> bool:
    """Whether an object given for another size fits the image, give or take a pixel."""
    if not isinstance(item.shape, Polygons):
        return (item.shape.width, item.shape.height) == (size.width, size.height)
    return all(
        min(part) >= -1 and max(part[0::2]) <= size.width + 1 and max(part[1::2]) <= size.height + 1
        for part in item.shape.parts
    )


def _turned(shape: Shape, width: int, height: int, orientation: int) -> Shape:
    """A shape given in the pixels of an image of that size as stored, in those of the image as shown (Exif 2.3, tag
    0x0112): transposed from orientation 5 on, then mirrored along x, y or both.
    """
    transposed, mirror_x, mirror_y = orientation >= 5, orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)
    if not isinstance(shape, Polygons):
        mask = rle_to_mask(shape)
        mask = mask.T if transposed else mask
        return mask_to_rle(mask[:: -1 if mirror_y else 1, :: -1 if mirror_x else 1])
    if transposed:
        width, height = height, width
    parts = []
    for part in shape.parts:
        xs, ys = (part[1::2], part[0::2]) if transposed else (part[0::2], part[1::2])
        xs = [width - x for x in xs] if mirror_x else xs
        ys = [height - y for y in ys] if mirror_y else ys
        parts.append([number for point in zip(xs, ys) for number in point])
    return Polygons(parts)
