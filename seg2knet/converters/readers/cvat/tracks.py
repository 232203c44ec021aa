"""CVAT's tracks by frame: which shapes stand on a frame, as places in the file."""

from __future__ import annotations

import re
from operator import itemgetter
from typing import Any, Optional

import msgspec

from seg2knet.converters.readers.common import xml
from seg2knet.converters.readers.cvat.index import Element
from seg2knet.converters.readers.cvat.shapes import SHAPES
from seg2knet.dataset.text import whole_number

LONGEST_GAP = 100_000
"""Frames between two key frames, an hour of video; more is a forged number."""

Entry = tuple[int, int, tuple[str, str], int, int, float]
_MOVING = {"box": ("xtl", "ytl", "xbr", "ybr"), "ellipse": ("cx", "cy", "rx", "ry"), "polygon": ("points",)}


class Frames(msgspec.Struct):
    """Shapes by task and frame: where in the file one begins and ends, label and group of its track, and, where it is
    between two key frames, where the next one's begins and ends (else 0) and how far between it is. ``gaps`` are frames
    between key frames of which the file says nothing though an object is there."""

    entries: dict[tuple[str, int], list[Entry]] = {}
    gaps: int = 0

    def add(self, track: Element, steps: dict[str, int], fill: bool) -> None:
        """Take in a track; ``steps`` are frames from one to the next, by task; ``fill`` interpolates where the file
        says key frames alone."""
        task, label, group = (track.attributes.get(key, "") for key in ("task_id", "label", "group_id"))
        framed = [(whole_number(shape.attributes.get("frame", "")), shape) for shape in track.shapes]
        keys = sorted(((frame, s) for frame, s in framed if frame is not None and s.tag in SHAPES), key=itemgetter(0))
        step = max(steps.get(task, next(iter(steps.values()), 1)), 1)
        sparse = all(shape.attributes.get("keyframe", "1") != "0" for _, shape in keys)
        for (frame, shape), (later, ahead) in zip(keys, [*keys[1:], (-1, track)]):
            if shape.attributes.get("outside") == "1":
                continue
            begun = (shape.start, shape.end, (label, group))
            self.entries.setdefault((task, frame), []).append((*begun, 0, 0, 0.0))
            if not sparse or not 0 <= later - frame <= LONGEST_GAP:
                continue
            between = range(frame + step, later, step)
            if not fill:
                self.gaps += len(between)
                continue
            gone = ahead.attributes.get("outside") == "1"
            following = (0, 0) if gone else (ahead.start, ahead.end)
            for middle in between:
                share = 0.0 if gone else (middle - frame) / (later - frame)
                self.entries.setdefault((task, middle), []).append((*begun, *following, share))


def between(one: Any, two: Any, share: float) -> dict[str, str]:
    """Attributes of a shape between two key frames, as CVAT shows it: straight from the one to the other.

    Boxes, ellipses and polygons of as many points move; masks and polygons whose points were added to or taken from
    stay as they were, for which there are none.
    """
    if one.tag != two.tag or one.tag not in _MOVING:
        return {}
    moved = {key: _moved(one.get(key, ""), two.get(key, ""), share) for key in _MOVING[one.tag]}
    result = {key: value for key, value in moved.items() if value is not None}
    if len(result) < len(moved):
        return {}
    start, end = xml.number(one.get("rotation") or "0"), xml.number(two.get("rotation") or "0")
    if start is not None and end is not None:
        result["rotation"] = repr(start + ((end - start + 180) % 360 - 180) * share)  # the shorter way round
    return result


def _moved(first: str, second: str, share: float) -> Optional[str]:
    """Numbers between those of two texts, which have the same separators."""
    moved = []
    for one, two in zip(re.split("([,;])", first), re.split("([,;])", second)):
        start, end = xml.number(one), xml.number(two)
        if one == two:
            moved.append(one)
        elif start is not None and end is not None:
            moved.append(repr(start + (end - start) * share))
        else:
            return None
    return "".join(moved) if first.count(",") == second.count(",") else None
