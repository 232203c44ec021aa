"""The shapes of a LabelMe file as objects: outlines, masks, groups, and what is none."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Annotated, Any, Optional, Union

import msgspec
import numpy as np

from seg2knet.converters.base import IGNORE
from seg2knet.dataset import geometry, images
from seg2knet.dataset.label_image import window_rle
from seg2knet.dataset.rle import mask_to_rle
from seg2knet.dataset.sample import Note, Object, Polygons, Shape, Skip
from seg2knet.errors import DataError

BACKGROUND = "_background_"
_NO_AREA = frozenset({"point", "points", "line", "linestrip"})
_SUFFIX = re.compile(r"^(.+?)[-_ ](\d+)$")


_NEAR = msgspec.Meta(ge=-1_000_000, le=1_000_000)
_Coordinate = Union[Annotated[int, _NEAR], Annotated[float, _NEAR]]
_Said = dict[str, Union[bool, str, None]]


class Entry(msgspec.Struct, gc=False):
    """A shape as LabelMe and its relatives write it. JSON that is otherwise goes through ``entry`` instead."""

    points: list[tuple[_Coordinate, _Coordinate]]
    label: Any = None
    shape_type: Any = None
    group_id: Any = None
    flags: Optional[_Said] = None
    description: Optional[str] = None
    attributes: Optional[_Said] = None
    mask: Any = None


def entry(found: Any) -> Any:
    """A shape out of plain JSON, nothing of it checked; what is no object stays as it is."""
    if type(found) is not dict:
        return found
    fields: dict[str, Any] = {key: found.get(key) for key in Entry.__struct_fields__}
    return Entry(**fields)


class Shapes:
    """The shapes of one file on their way to objects: in order, parts of one group joined.

    Args:
        path: the annotation, for places.
        width, height: of the picture.
        strip: whether labels number their instances.
        checked: whether points are known to be pairs of numbers, finite and not far away.
    """

    def __init__(self, path: str, width: int, height: int, strip: bool, checked: bool = False) -> None:
        self.path = path
        self.checked = checked
        self.width = width
        self.height = height
        self.strip = strip
        self.objects: list[Object] = []
        self.skips: list[Skip] = []
        self.notes: list[Note] = []

    def read(self, shapes: Iterable[Any]) -> None:
        """Read all entries; one that makes no object becomes a skip."""
        groups: dict[Any, list[Object]] = {}
        for index, entry in enumerate(shapes):
            try:
                label, number = self._label(entry)
                shape = self._shape(entry)
            except _NoObject as reason:
                place = f"{self.path}: shape {index}"
                self.skips.append(Skip(reason.kind, place, asked=reason.kind == "background", detail=str(reason)))
                continue
            made = Object(label, shape, label == IGNORE, f"shape {index}", _attributes(entry))
            group = entry.group_id
            key: Any = index
            if number is not None or (group is not None and type(group) in _GROUPS):
                key = (label, group if type(group) in _GROUPS else None, number)
            if key in groups:
                groups[key].append(made)
            else:
                groups[key] = [made]
        self.objects = [parts[0] if len(parts) == 1 else self._joined(parts) for parts in groups.values()]

    def _joined(self, parts: list[Object]) -> Object:
        first = parts[0]
        detail = f"{len(parts)} parts of one {first.label}"
        self.notes.append(Note("parts-joined", f"{self.path}: {first.place}", detail))
        shape = geometry.join([part.shape for part in parts], self.height, self.width)
        return msgspec.structs.replace(first, shape=shape)

    def _label(self, entry: Any) -> tuple[str, Optional[int]]:
        if type(entry) is not Entry:
            raise _NoObject("not-a-shape", f"found {type(entry).__name__}, expected an object")
        label = entry.label
        if type(label) in _NUMBERS:
            label = str(label)
        if type(label) is not str or not label.strip():
            raise _NoObject("no-label", f"label {label!r}")
        label = label.strip()
        if label == BACKGROUND:
            raise _NoObject("background", "the label _background_ means no object")
        numbered = _SUFFIX.match(label) if self.strip else None
        if numbered:
            return numbered.group(1), int(numbered.group(2))
        return label, None

    def _shape(self, entry: Entry) -> Shape:
        kind = entry.shape_type or "polygon"
        part = list(chain.from_iterable(entry.points)) if self.checked else _points(entry.points)
        if kind != "polygon":
            if kind == "mask":
                return self._mask(entry.mask, part)
            if type(kind) is not str:
                raise _NoObject("unknown-shape-type", repr(kind)[:80])
            if kind in _NO_AREA:
                raise _NoObject(f"{kind}-has-no-area", f"a {kind} of {len(part) // 2} points")
            if kind not in _OUTLINES:
                raise _NoObject("unknown-shape-type", repr(kind))
            part = _OUTLINES[kind](part)
        elif len(part) == 2:
            raise _NoObject("point-has-no-area", "a polygon of one point")
        if self.checked and kind == "polygon" and len(part) >= 6:
            return Polygons([part])  # all that could be wrong was looked at when the file was parsed
        problem = geometry.polygon_problem(part)
        if problem is not None:
            raise _NoObject("polygon-too-few-points" if len(part) < 6 else "polygon-unusable", problem)
        return Polygons([part])

    def _mask(self, text: Any, points: list[float]) -> Shape:
        """A mask shape: a PNG in base64 whose upper left pixel lies at the floor of the first corner."""
        if not isinstance(text, str) or not points:
            raise _NoObject("mask-unreadable", "no mask or no corner")
        try:
            pixels = images.decode_labels(base64.b64decode(text, validate=False))
        except (binascii.Error, ValueError, DataError) as error:
            raise _NoObject("mask-unreadable", str(error).splitlines()[0]) from None
        left, top = math.floor(min(points[0::2])), math.floor(min(points[1::2]))
        inside: np.ndarray = (pixels if pixels.ndim == 2 else pixels.max(axis=2)) > 0
        found = window_rle(inside, left, top, self.height, self.width)
        return found or mask_to_rle(np.zeros((self.height, self.width), np.uint8))


class _NoObject(Exception):
    """A shape that is no object, and why: a skip's reason and detail."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


def _points(points: Any) -> list[float]:
    """``[[x, y], ...]`` as a flat list, checked."""
    if type(points) is not list or not set(map(type, points)) <= {list}:
        raise _NoObject("no-points", f"points {points!r:.60}")
    if set(map(len, points)) != {2}:
        if any(len(point) < 2 for point in points):
            raise _NoObject("no-points", "a point without x and y")
        points = [point[:2] for point in points]
    flat = list(chain.from_iterable(points))
    if not set(map(type, flat)) <= _NUMBERS:
        wrong = next(number for number in flat if type(number) not in _NUMBERS)
        raise _NoObject("no-points", f"a coordinate {wrong!r:.60}")
    return flat


_NUMBERS = frozenset({int, float})
_GROUPS = frozenset({int, str})


def _rectangle(points: list[float]) -> list[float]:
    if len(points) != 4:
        return points  # some tools write four corners
    x0, y0, x1, y1 = points
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def _circle(points: list[float]) -> list[float]:
    if len(points) != 4:
        said = f"{len(points) // 2} points; a circle has its centre and one on the rim"
        raise _NoObject("circle-without-radius", said)
    x, y, x1, y1 = points
    radius = math.hypot(x1 - x, y1 - y)
    return geometry.ellipse_polygon(x, y, radius, radius)


def _ellipse(points: list[float]) -> list[float]:
    """From opposite corners of its box."""
    if len(points) != 4:
        return points
    x0, y0, x1, y1 = points
    return geometry.ellipse_polygon((x0 + x1) / 2, (y0 + y1) / 2, abs(x1 - x0) / 2, abs(y1 - y0) / 2)


_OUTLINES: dict[Any, Callable[[list[float]], list[float]]] = {
    "rectangle": _rectangle,
    "circle": _circle,
    "ellipse": _ellipse,
    "oriented_rectangle": list,
    "rotation": list,  # AnyLabeling's name for the same
}


def _attributes(entry: Entry) -> Optional[dict[str, Any]]:
    if not (entry.flags or entry.description or entry.attributes):
        return None
    kept: dict[str, Any] = {}
    if any_flag(entry.flags):
        kept["flags"] = entry.flags
    if isinstance(entry.description, str) and entry.description:
        kept["description"] = entry.description
    if isinstance(entry.attributes, dict) and entry.attributes:
        kept.update(entry.attributes)
    return kept or None


def any_flag(flags: Any) -> bool:
    return isinstance(flags, dict) and any(flags.values())
