"""CVAT's shapes as objects."""

from __future__ import annotations

import math
from typing import Any, Optional

import numpy as np

from seg2knet.converters.readers.common import xml
from seg2knet.converters.readers.common.canvas import Canvas, NotAnObject, box, ellipse, polygon
from seg2knet.dataset.rle import size_allowed
from seg2knet.dataset.sample import Rle, Shape

NO_AREA = {
    "polyline": "line-has-no-area", "points": "point-has-no-area", "cuboid": "cuboid-has-no-mask",
    "skeleton": "skeleton-has-no-area",
}  # fmt: skip
SHAPES = frozenset(("box", "polygon", "ellipse", "mask", *NO_AREA))


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
    values = {**element.attrib, **(override or {})}
    label = label or values.get("label", "")
    try:
        if tag in NO_AREA:
            raise NotAnObject(NO_AREA[tag], f"{label!r}")
        if not label.strip():
            raise NotAnObject("no-label", f"a {tag} without a label")
        shape = _shape(canvas, tag, values, boxes)
    except NotAnObject as problem:
        canvas.lost(place, problem)
        return
    group, order = values.get("group_id") or "0", xml.number(values.get("z_order"))
    key, z = (group, label) if group != "0" else None, int(order) if order is not None and abs(order) < 1e9 else 0
    canvas.add(label, shape, place, group=key, attributes=_attributes(element), z=z)


def _shape(canvas: Canvas, tag: str, values: dict[str, str], boxes: str) -> Shape:
    if tag == "mask":
        return _mask(canvas, values)
    if tag == "polygon":
        return polygon(_points(values.get("points", "")))
    if tag == "ellipse":
        cx, cy, rx, ry = _numbers(values, "cx", "cy", "rx", "ry")
        return ellipse(cx, cy, rx, ry, _rotation(values))
    left, top, right, bottom = _numbers(values, "xtl", "ytl", "xbr", "ybr")
    return box(left, top, right - left, bottom - top, boxes, _rotation(values))


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
    numbers = [xml.number(values.get(key)) for key in keys]
    if any(number is None or not math.isfinite(number) or abs(number) > 1e9 for number in numbers):
        raise NotAnObject("not-numbers", ", ".join(f"{key}={values.get(key)!r}" for key in keys))
    return [number for number in numbers if number is not None]


def _rotation(values: dict[str, str]) -> float:
    degrees = xml.number(values.get("rotation") or "0")
    if degrees is None or not math.isfinite(degrees):
        raise NotAnObject("not-numbers", f"rotation={values.get('rotation')!r}")
    return degrees


def _attributes(element: Any) -> Optional[dict[str, Any]]:
    found: dict[str, Any] = {}
    for child in element:
        if child.tag == "attribute" and child.get("name"):
            text = (child.text or "").strip()
            found[child.get("name")] = {"true": True, "false": False}.get(text.lower(), text)
    if element.get("occluded") == "1":
        found.setdefault("occluded", True)
    return found or None
