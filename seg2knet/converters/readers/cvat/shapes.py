"""CVAT's shapes as objects, and which shapes of tracks stand on a frame, as places in the file."""

from __future__ import annotations

import re
from operator import itemgetter
from typing import Any, Optional

import msgspec
import numpy as np

from seg2knet.converters.readers.common import xml
from seg2knet.converters.readers.common.canvas import Canvas, NotAnObject, box, ellipse, polygon
from seg2knet.converters.readers.cvat.index import Element
from seg2knet.dataset.rle import size_allowed
from seg2knet.dataset.sample import Rle, Shape
from seg2knet.dataset.text import whole_number

NO_AREA = {
    "polyline": "line-has-no-area", "points": "point-has-no-area", "cuboid": "cuboid-has-no-mask",
    "skeleton": "skeleton-has-no-area",
}  # fmt: skip
SHAPES = frozenset(("box", "polygon", "ellipse", "mask", *NO_AREA))
LONGEST_GAP = 100_000
"""Frames between two key frames, an hour of video; more is a forged number."""

Entry = tuple[int, int, tuple[str, str], int, int, float]
_MOVING = {"box": ("xtl", "ytl", "xbr", "ybr"), "ellipse": ("cx", "cy", "rx", "ry"), "polygon": ("points",)}


def take(
    canvas: Canvas, element: Any, number: int, boxes: str, label: str = "", override: Optional[dict[str, str]] = None
) -> None:
    """Read one shape, the ``number``-th of its image from 1 on; ``boxes`` says what to do with upright ones
    (``refuse``, ``as-polygons``), ``label`` is a track's, which its shapes do not repeat, and ``override`` are
    attributes in place of the element's own (an interpolated shape, a track's group)."""
    tag = element.tag
    if tag not in SHAPES:
        if tag == "tag":
            canvas.note("tag-ignored", "", "a tag is of the whole image, so no object")
        return
    place = f"{tag} {number}"
    values = {"rotation": "0", **element.attrib, **(override or {})}
    label = label or values.get("label", "")
    group, order = values.get("group_id") or "0", xml.number(values.get("z_order"))
    key, z = (group, label) if group != "0" else None, int(order) if order is not None and abs(order) < 1e9 else 0
    with canvas.skipping(place):
        if tag in NO_AREA:
            raise NotAnObject(NO_AREA[tag], f"{label!r}")
        if not label.strip():
            raise NotAnObject("no-label", f"a {tag} without a label")
        shape = _shape(canvas, tag, values, boxes)
        canvas.add(label, shape, place, group=key, attributes=_attributes(element), z=z)


def _shape(canvas: Canvas, tag: str, values: dict[str, str], boxes: str) -> Shape:
    if tag == "mask":
        return _mask(canvas, values)
    if tag == "polygon":
        return polygon(_points(values.get("points", "")))
    if tag == "ellipse":
        cx, cy, rx, ry = _numbers(values, "cx", "cy", "rx", "ry")
        return ellipse(cx, cy, rx, ry, *_numbers(values, "rotation"))
    left, top, right, bottom = _numbers(values, "xtl", "ytl", "xbr", "ybr")
    return box(left, top, right - left, bottom - top, boxes, *_numbers(values, "rotation"))


def _mask(canvas: Canvas, values: dict[str, str]) -> Rle:
    """``rle`` counts row by row in the window at ``left``, ``top`` of ``width`` by ``height``, zeros first."""
    left, top, width, height = (int(value) for value in _numbers(values, "left", "top", "width", "height"))
    if not size_allowed(height, width):
        raise NotAnObject("not-a-mask", f"a window of {width}x{height}")
    try:
        runs = [int(part) for part in values.get("rle", "").split(",")]
        found = f"{sum(runs):,}"
    except ValueError:
        runs, found = [-1], "not numbers"
    if min(runs) < 0 or sum(runs) != width * height:
        raise NotAnObject("not-a-mask", f"runs sum to {found} where the window has {width * height:,} pixels")
    marks = np.zeros(len(runs), bool)
    marks[1::2] = True
    return canvas.bitmap(np.repeat(marks, runs).reshape(height, width), left, top)


def _points(text: str) -> list[float]:
    """A flat polygon from ``x,y;x,y``."""
    try:
        flat = [*map(float, text.replace(";", ",").split(","))]
    except ValueError:
        flat = []
    # As many commas as there are points, and a semicolon between each two: in pairs, then.
    if not flat or 2 * text.count(",") != len(flat) or text.count(";") != text.count(",") - 1:
        raise NotAnObject("not-a-polygon", f"points {text[:60]!r}")
    return flat


def _numbers(values: dict[str, str], *keys: str) -> list[float]:
    found = (xml.number(values.get(key)) for key in keys)
    numbers = [number for number in found if number is not None and abs(number) <= 1e9]  # NaN is not
    if len(numbers) < len(keys):
        raise NotAnObject("not-numbers", ", ".join(f"{key}={values.get(key)!r}" for key in keys))
    return numbers


def _attributes(element: Any) -> Optional[dict[str, Any]]:
    found: dict[str, Any] = {}
    for child in element:
        if child.tag == "attribute" and child.get("name"):
            text = (child.text or "").strip()
            found[child.get("name")] = {"true": True, "false": False}.get(text.lower(), text)
    if element.get("occluded") == "1":
        found.setdefault("occluded", True)
    return found or None


class Frames(msgspec.Struct):
    """Shapes by task and frame: where in the file one begins and ends, label and group of its track, and, where it is
    between two key frames, where the next one's begins and ends (else 0) and how far between it is. ``gaps`` are frames
    between key frames of which the file says nothing though an object is there."""

    entries: dict[tuple[str, int], list[Entry]] = {}
    gaps: int = 0

    def add(self, track: Element, steps: dict[str, int], fill: bool) -> None:
        """Take in a track; ``steps``: frames to the next, by task; ``fill``: interpolate where key frames are all."""
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
