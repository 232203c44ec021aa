"""CVAT's shapes as objects."""

from __future__ import annotations

import math
from typing import Any, Optional, Union

import msgspec
import numpy as np

from seg2knet.converters.readers.common import xml as _xml
from seg2knet.dataset import geometry
from seg2knet.dataset.label_image import window_rle
from seg2knet.dataset.rle import MAX_PIXELS
from seg2knet.dataset.sample import Note, Object, Polygons, Rle, Shape, Skip

NO_AREA = {
    "polyline": "line-has-no-area", "points": "point-has-no-area", "cuboid": "cuboid-has-no-mask",
    "skeleton": "skeleton-has-no-area",
}  # fmt: skip
SHAPES = frozenset(("box", "polygon", "ellipse", "mask", *NO_AREA))


class _NoObject(Exception):
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Canvas:
    """Objects of one image, as its shapes are read.

    Args:
        path: the file, for the ledger.
        name: the image, likewise.
        width, height: of the image, as the file says.
        boxes: what to do with boxes: ``refuse`` or ``as-polygons``.
    """

    def __init__(self, path: str, name: str, width: int, height: int, boxes: str) -> None:
        self.place = f"{path}: image {name!r}"
        self.width = width
        self.height = height
        self.boxes = boxes
        self.skips: list[Skip] = []
        self.notes: list[Note] = []
        self._boxes = 0
        self._objects: list[Object] = []
        self._groups: dict[tuple[str, str], int] = {}
        self._shapes: dict[int, list[Shape]] = {}

    def take(
        self, element: Any, number: int, label: Optional[str] = None, override: Optional[dict[str, str]] = None
    ) -> None:
        """One shape.

        Args:
            element: it.
            number: its place among the image's shapes, from 1.
            label: a track's, which says it for its shapes.
            override: attributes to take in place of the element's own (an interpolated shape, a track's group).
        """
        tag = element.tag
        if tag not in SHAPES:
            if tag == "tag":
                self.notes.append(Note("tag-ignored", self.place, "a tag is of the whole image"))
            return
        place = f"{tag} {number}"
        values = {**element.attrib, **(override or {})}
        label = label or values.get("label", "")
        try:
            if tag in NO_AREA:
                raise _NoObject(NO_AREA[tag], f"{label!r}")
            if not label.strip():
                raise _NoObject("no-label", f"a {tag} without a label")
            shape = self._shape(tag, values)
        except _NoObject as problem:
            self.skips.append(Skip(problem.reason, f"{self.place}: {place}", detail=str(problem)))
            return
        found = Object(label, shape, False, place, _attributes(element), _z(values.get("z_order")))
        self._add(found, values.get("group_id", "") or "0")

    def objects(self) -> tuple[Object, ...]:
        """All objects, parts of a group joined."""
        result = list(self._objects)
        for index, shapes in self._shapes.items():
            if len(shapes) > 1:
                joined = geometry.join(shapes, self.height, self.width)
                result[index] = msgspec.structs.replace(result[index], shape=joined)
                detail = f"{len(shapes)} shapes of one group and label are one object"
                self.notes.append(Note("parts-joined", f"{self.place}: {result[index].place}", detail))
        if self._boxes:
            self.notes.append(Note("box-as-polygon", self.place, "its four corners", self._boxes))
        return tuple(result)

    def _add(self, found: Object, group: str) -> None:
        key = (group, found.label)
        if group != "0" and key in self._groups:
            index = self._groups[key]
            self._shapes[index].append(found.shape)
            if found.z > self._objects[index].z:
                self._objects[index] = msgspec.structs.replace(self._objects[index], z=found.z)
            return
        self._groups[key] = len(self._objects)
        self._shapes[len(self._objects)] = [found.shape]
        self._objects.append(found)

    def _shape(self, tag: str, values: dict[str, str]) -> Shape:
        if tag == "mask":
            return self._mask(values)
        if tag == "polygon":
            return _checked(_points(values.get("points", "")))
        if tag == "ellipse":
            cx, cy, rx, ry = _numbers(values, "cx", "cy", "rx", "ry")
            if rx <= 0 or ry <= 0:
                raise _NoObject("not-an-ellipse", f"radii {rx:g} and {ry:g}")
            return _checked(geometry.ellipse_polygon(cx, cy, rx, ry, _rotation(values)))
        left, top, right, bottom = _numbers(values, "xtl", "ytl", "xbr", "ybr")
        if right <= left or bottom <= top:
            raise _NoObject("not-a-box", f"from {left:g}, {top:g} to {right:g}, {bottom:g}")
        if self.boxes == "refuse":
            raise _NoObject("box-only", "a box has no outline; --boxes as-polygons takes its corners")
        self._boxes += 1
        return _checked(geometry.box_polygon(left, top, right - left, bottom - top, _rotation(values)))

    def _mask(self, values: dict[str, str]) -> Rle:
        """``rle`` counts row by row in the window at ``left``, ``top`` of ``width`` by ``height``, zeros first."""
        left, top, width, height = (int(value) for value in _numbers(values, "left", "top", "width", "height"))
        if width < 1 or height < 1 or width * height > MAX_PIXELS:
            raise _NoObject("not-a-mask", f"a window of {width}x{height}")
        runs = decode_runs(values.get("rle", ""))
        if runs is None or int(runs.sum()) != width * height:
            found = "not numbers" if runs is None else f"{int(runs.sum()):,}"
            raise _NoObject("not-a-mask", f"runs sum to {found} where the window has {width * height:,} pixels")
        marks = np.zeros(len(runs), bool)
        marks[1::2] = True
        rle = window_rle(np.repeat(marks, runs).reshape(height, width), left, top, self.height, self.width)
        if rle is None:
            raise _NoObject("no-pixels", "a mask without a pixel in the image")
        return rle


def decode_runs(text: str) -> Optional[np.ndarray]:
    """``(R,)`` int64 from ``3, 5, 2``; ``None`` where it is no list of run lengths that can be."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        return None
    if not numbers or min(numbers) < 0 or sum(numbers) > MAX_PIXELS:
        return None
    return np.asarray(numbers, np.int64)


def _points(text: str) -> list[float]:
    """A flat polygon from ``x,y;x,y``."""
    try:
        flat = [*map(float, text.replace(";", ",").split(","))]
    except ValueError:
        flat = []
    # As many commas as there are points, and a semicolon between each two: in pairs, then.
    if not flat or 2 * text.count(",") != len(flat) or text.count(";") != text.count(",") - 1:
        raise _NoObject("not-a-polygon", f"points {text[:60]!r}")
    return flat


def _checked(flat: list[float]) -> Polygons:
    problem = geometry.polygon_problem(flat)
    if problem is not None:
        raise _NoObject("not-a-polygon", problem)
    return Polygons([flat])


def _numbers(values: dict[str, str], *keys: str) -> list[float]:
    numbers = [_xml.number(values.get(key)) for key in keys]
    if any(number is None or not math.isfinite(number) or abs(number) > 1e9 for number in numbers):
        raise _NoObject("not-numbers", ", ".join(f"{key}={values.get(key)!r}" for key in keys))
    return [number for number in numbers if number is not None]


def _rotation(values: dict[str, str]) -> float:
    degrees = _xml.number(values.get("rotation") or "0")
    if degrees is None or not math.isfinite(degrees):
        raise _NoObject("not-numbers", f"rotation={values.get('rotation')!r}")
    return degrees


def _z(text: Optional[str]) -> int:
    number = _xml.number(text)
    return int(number) if number is not None and abs(number) < 1e9 else 0


def _attributes(element: Any) -> Optional[dict[str, Any]]:
    found: dict[str, Any] = {}
    for child in element:
        if child.tag == "attribute" and child.get("name"):
            found[child.get("name")] = _value(child.text or "")
    if element.get("occluded") == "1":
        found.setdefault("occluded", True)
    return found or None


def _value(text: str) -> Union[str, bool]:
    return {"true": True, "false": False}.get(text.strip().lower(), text.strip())
