"""The shapes of a LabelMe file as objects: outlines, masks, groups, and what is not an object."""

from __future__ import annotations

import base64
import binascii
import math
import re
from itertools import chain
from typing import Annotated, Any, Optional, Union

import msgspec

from seg2knet.converters.readers.common.canvas import BOX_ONLY, Canvas, NotAnObject, ellipse, polygon
from seg2knet.dataset import geometry, images
from seg2knet.dataset.sample import Polygons, Shape
from seg2knet.errors import DataError

BACKGROUND = "_background_"
_NO_AREA = frozenset({"point", "points", "line", "linestrip"})
_TURNED = frozenset({"oriented_rectangle", "rotation"})  # AnyLabeling's name for the same
_NUMBERED = re.compile(r"^(.+?)(?:[-_ ](\d+)|(?<=[^\W\d])(\d+))$")
_NUMBERS = frozenset({int, float})
_GROUPS = frozenset({int, str})

_NEAR = msgspec.Meta(ge=-1_000_000, le=1_000_000)
_Coordinate = Union[Annotated[int, _NEAR], Annotated[float, _NEAR]]
_Texts = dict[str, Union[bool, str, None]]


class Entry(msgspec.Struct, gc=False):
    """A shape as LabelMe and its relatives write it. JSON that is otherwise goes through ``entry`` instead."""

    points: list[tuple[_Coordinate, _Coordinate]]
    label: Any = None
    shape_type: Any = None
    group_id: Any = None
    flags: Optional[_Texts] = None
    description: Optional[str] = None
    attributes: Optional[_Texts] = None
    mask: Any = None


def entry(value: Any) -> Any:
    """A shape out of plain JSON, nothing of it checked; what is not a JSON object stays as it is."""
    if type(value) is not dict:
        return value
    fields: dict[str, Any] = {key: value.get(key) for key in Entry.__struct_fields__}
    return Entry(**fields)


class Shapes:
    """Reads the shapes of one file.

    Args:
        canvas: takes the objects.
        boxes: what to do with rectangles: ``refuse`` or ``as-polygons``.
        strip: whether labels number their instances.
        checked: whether points are known to be pairs of numbers, finite and not far away.
    """

    def __init__(self, canvas: Canvas, boxes: str, strip: bool, checked: bool) -> None:
        self.canvas = canvas
        self.boxes = boxes
        self.strip = strip
        self.checked = checked

    def read(self, shapes: list[Any]) -> None:
        """Read all; one that makes no object becomes a skip."""
        for index, shape in enumerate(shapes):
            try:
                label, number = self._label(shape)
                outline = self._shape(shape)
            except NotAnObject as problem:
                self.canvas.lost(f"shape {index}", problem, asked=problem.reason == "background")
                continue
            group = shape.group_id if type(shape.group_id) in _GROUPS else None
            key = None if number is None and group is None else (label, group, number)
            attributes = _attributes(shape)
            self.canvas.add(label, outline, f"shape {index}", group=key, attributes=attributes)

    def _label(self, shape: Any) -> tuple[str, Optional[int]]:
        if type(shape) is not Entry:
            raise NotAnObject("not-a-shape", f"found {type(shape).__name__}, expected an object")
        label = shape.label
        if type(label) in _NUMBERS:
            label = str(label)
        if type(label) is not str or not label.strip():
            raise NotAnObject("no-label", f"label {label!r}")
        label = label.strip()
        if label == BACKGROUND:
            raise NotAnObject("background", "the label _background_ means no object")
        numbered = _NUMBERED.match(label) if self.strip else None
        if numbered:
            return numbered[1], int(numbered[2] or numbered[3])
        return label, None

    def _shape(self, shape: Entry) -> Shape:
        kind = shape.shape_type or "polygon"
        flat: list[float] = list(chain.from_iterable(shape.points)) if self.checked else _points(shape.points)
        if kind == "polygon":
            if self.checked and len(flat) >= 6:
                return Polygons([flat])  # all that could be wrong was looked at when the file was parsed
            if len(flat) == 2:
                raise NotAnObject("point-has-no-area", "a polygon of one point")
        elif kind == "mask":
            return self._mask(shape.mask, flat)
        elif type(kind) is not str:
            raise NotAnObject("unknown-shape-type", repr(kind)[:80])
        elif kind in _NO_AREA:
            raise NotAnObject(f"{kind}-has-no-area", f"a {kind} of {len(flat) // 2} points")
        elif kind == "circle":
            return _circle(flat)
        elif len(flat) == 4 and kind == "ellipse":  # opposite corners of its box
            x0, y0, x1, y1 = flat
            return ellipse((x0 + x1) / 2, (y0 + y1) / 2, abs(x1 - x0) / 2, abs(y1 - y0) / 2)
        elif kind == "rectangle" and _upright(flat):
            if self.boxes == "refuse":
                raise NotAnObject("box-only", BOX_ONLY)
            if len(flat) == 4:
                x0, y0, x1, y1 = flat
                flat = [x0, y0, x1, y0, x1, y1, x0, y1]
        elif kind not in ("ellipse", "rectangle") and kind not in _TURNED:
            raise NotAnObject("unknown-shape-type", repr(kind))
        return polygon(flat, "polygon-too-few-points" if len(flat) < 6 else "polygon-unusable")

    def _mask(self, text: Any, points: list[float]) -> Shape:
        """A mask shape: a PNG in base64 whose upper left pixel lies at the floor of the first corner."""
        if not isinstance(text, str) or not points:
            raise NotAnObject("mask-unreadable", "no mask or no corner")
        try:
            pixels = images.decode_labels(base64.b64decode(text, validate=False))
        except (binascii.Error, ValueError, DataError) as error:
            raise NotAnObject("mask-unreadable", str(error).splitlines()[0]) from None
        left, top = math.floor(min(points[0::2])), math.floor(min(points[1::2]))
        return self.canvas.bitmap((pixels if pixels.ndim == 2 else pixels.max(axis=2)) > 0, left, top)


def _points(points: Any) -> list[float]:
    """``[[x, y], ...]`` as a flat list, checked."""
    if type(points) is not list or not set(map(type, points)) <= {list}:
        raise NotAnObject("no-points", f"points {points!r:.60}")
    if set(map(len, points)) != {2}:
        if any(len(point) < 2 for point in points):
            raise NotAnObject("no-points", "a point without x and y")
        points = [point[:2] for point in points]
    flat = list(chain.from_iterable(points))
    if not set(map(type, flat)) <= _NUMBERS:
        wrong = next(number for number in flat if type(number) not in _NUMBERS)
        raise NotAnObject("no-points", f"a coordinate {wrong!r:.60}")
    return flat


def _upright(flat: list[float]) -> bool:
    """Whether two or four corners are those of a box that is not turned."""
    return len(flat) == 4 or (len(flat) == 8 and len(set(flat[0::2])) == len(set(flat[1::2])) == 2)


def _circle(flat: list[float]) -> Polygons:
    if len(flat) != 4:
        detail = f"{len(flat) // 2} points; a circle has its centre and one on the rim"
        raise NotAnObject("circle-without-radius", detail)
    x, y, x1, y1 = flat
    radius = math.hypot(x1 - x, y1 - y)
    return polygon(geometry.ellipse_polygon(x, y, radius, radius), "polygon-unusable")


def _attributes(shape: Entry) -> Optional[dict[str, Any]]:
    if not (shape.flags or shape.description or shape.attributes):
        return None
    kept: dict[str, Any] = {}
    if any_flag(shape.flags):
        kept["flags"] = shape.flags
    if isinstance(shape.description, str) and shape.description:
        kept["description"] = shape.description
    if isinstance(shape.attributes, dict) and shape.attributes:
        kept.update(shape.attributes)
    return kept or None


def any_flag(flags: Any) -> bool:
    return isinstance(flags, dict) and any(flags.values())
