"""CVAT's tracks by frame: which shapes stand on a frame, as places in the file."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple, Optional

import msgspec

from seg2knet.converters.readers.common import xml
from seg2knet.converters.readers.cvat.index import Element
from seg2knet.converters.readers.cvat.shapes import SHAPES
from seg2knet.dataset.text import whole_number

LONGEST_GAP = 100_000
"""Frames between two key frames, an hour of video; more is a forged number."""

_ENTRY = struct.Struct("<QIIQId")


class Standing(NamedTuple):
    """A shape that stands on a frame.

    Attributes:
        start, length: the shape in the file.
        track: the number of its track.
        next_start, next_length: the next key frame's shape, where this one is between two; else 0.
        share: how far between.
    """

    start: int
    length: int
    track: int
    next_start: int = 0
    next_length: int = 0
    share: float = 0.0


class Key(NamedTuple):
    """A shape as it is found: its frame, whether it is there, whether a person set it."""

    frame: int
    outside: bool
    keyframe: bool
    element: Element


class Frames(msgspec.Struct):
    """Shapes by task and frame, packed.

    Attributes:
        entries: for each (task, frame), entries of ``_ENTRY``.
        tracks: label and group of each track.
        gaps: frames between key frames of which the file says nothing though an object is there.
    """

    entries: dict[tuple[str, int], bytearray]
    tracks: list[tuple[str, str]]
    gaps: int = 0

    def add(self, track: Element, steps: dict[str, int], fill: bool) -> None:
        """Take in a track.

        Args:
            steps: frames from one to the next, by task.
            fill: interpolate where the file says key frames alone.
        """
        task = track.attributes.get("task_id", "")
        number = len(self.tracks)
        self.tracks.append((track.attributes.get("label", ""), track.attributes.get("group_id", "")))
        keys = sorted(_keys(track), key=lambda key: key.frame)
        step = max(steps.get(task, next(iter(steps.values()), 1)), 1)
        sparse = all(key.keyframe for key in keys)
        for index, key in enumerate(keys):
            if key.outside:
                continue
            self._put(task, key.frame, Standing(*_span(key), number))
            following = keys[index + 1] if index + 1 < len(keys) else None
            if not sparse or following is None or following.frame - key.frame > LONGEST_GAP:
                continue
            between = range(key.frame + step, following.frame, step)
            if not fill:
                self.gaps += len(between)
                continue
            for frame in between:
                share = (frame - key.frame) / (following.frame - key.frame)
                ahead = (0, 0) if following.outside else _span(following)
                self._put(task, frame, Standing(*_span(key), number, *ahead, 0.0 if following.outside else share))

    def _put(self, task: str, frame: int, standing: Standing) -> None:
        self.entries.setdefault((task, frame), bytearray()).extend(_ENTRY.pack(*standing))


def unpack(data: bytes) -> Iterator[Standing]:
    """The shapes of a frame."""
    return (Standing(*entry) for entry in _ENTRY.iter_unpack(data))


def _keys(track: Element) -> Iterator[Key]:
    for element in track.shapes:
        values = element.attributes
        frame = whole_number(values.get("frame", ""))
        if frame is not None and element.tag in SHAPES:
            yield Key(frame, values.get("outside") == "1", values.get("keyframe", "1") != "0", element)


def _span(key: Key) -> tuple[int, int]:
    return key.element.start, key.element.end - key.element.start


def between(one: Any, two: Any, share: float) -> Optional[dict[str, str]]:
    """Attributes of a shape between two key frames, as CVAT shows it: straight from the one to the other.

    Boxes, ellipses and polygons of as many points move; masks and polygons whose points were added to or taken from
    stay as they were, for which ``None``.
    """
    if one.tag != two.tag or one.tag not in ("box", "ellipse", "polygon"):
        return None
    if one.tag == "polygon":
        return _polygon(one.get("points", ""), two.get("points", ""), share)
    keys = ("xtl", "ytl", "xbr", "ybr") if one.tag == "box" else ("cx", "cy", "rx", "ry")
    moved = {}
    for key in keys:
        start, end = xml.number(one.get(key)), xml.number(two.get(key))
        if start is None or end is None:
            return None
        moved[key] = repr(start + (end - start) * share)
    start, end = xml.number(one.get("rotation") or "0"), xml.number(two.get("rotation") or "0")
    if start is not None and end is not None:
        turn = (end - start + 180) % 360 - 180  # the shorter way round
        moved["rotation"] = repr(start + turn * share)
    return moved


def _polygon(one: str, two: str, share: float) -> Optional[dict[str, str]]:
    pairs = list(zip(one.split(";"), two.split(";")))
    if one.count(";") != two.count(";"):
        return None
    points = []
    for first, second in pairs:
        numbers = [_middle(a, b, share) for a, b in zip(first.split(","), second.split(","))]
        if None in numbers:
            return None
        points.append(",".join(map(str, numbers)))
    return {"points": ";".join(points)}


def _middle(first: str, second: str, share: float) -> Optional[float]:
    start, end = xml.number(first), xml.number(second)
    return start + (end - start) * share if start is not None and end is not None else None
