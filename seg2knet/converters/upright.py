"""A picture's size as its annotation has it, against what its file says: the same, turned by EXIF, or another."""

from __future__ import annotations

from typing import Optional

import msgspec

from seg2knet.dataset.images import Header


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
