"""The shapes of a LabelMe file as objects: outlines, masks, groups, and what is not an object."""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Any, Optional

from seg2knet.converters.readers.common.canvas import BOX_ONLY, Canvas, NotAnObject, ellipse, polygon
from seg2knet.converters.readers.common.json_reader import each, flat, label_of
from seg2knet.dataset import geometry, images
from seg2knet.dataset.sample import Shape
from seg2knet.errors import DataError

BACKGROUND = "_background_"
_NO_AREA = frozenset({"point", "points", "line", "linestrip"})
_OUTLINES = frozenset({"polygon", "rectangle", "ellipse", "oriented_rectangle", "rotation"})  # AnyLabeling's rotation
_NUMBERED = re.compile(r"^(.+?)(?:[-_ ](\d+)|(?<=[^\W\d])(\d+))$")


def draw(canvas: Canvas, shapes: list[Any], boxes: str, strip: bool) -> None:
    """Read all shapes; one that makes no object becomes a skip.

    Args:
        canvas: takes the objects.
        boxes: what to do with rectangles: ``refuse`` or ``as-polygons``.
        strip: whether labels number their instances.
    """

    def take(shape: Any, place: str) -> None:
        if type(shape) is not dict:
            raise NotAnObject("not-a-shape", f"found {type(shape).__name__}, expected an object")
        label, number = label_of(shape.get("label")), None
        if label == BACKGROUND:
            canvas.lost(place, NotAnObject("background", f"the label {BACKGROUND} means no object"), asked=True)
            return
        numbered = _NUMBERED.match(label) if strip else None
        if numbered:
            label, number = numbered[1], int(numbered[2] or numbered[3])
        outline = _outline(canvas, shape, boxes)
        group = shape.get("group_id") if type(shape.get("group_id")) in (int, str) else None
        key = None if number is None and group is None else (label, group, number)
        canvas.add(label, outline, place, group=key, attributes=_attributes(shape))

    each(canvas, shapes, "shape", take, first=0)


def _outline(canvas: Canvas, shape: dict[str, Any], boxes: str) -> Shape:
    kind = shape.get("shape_type") or "polygon"
    points = flat(shape.get("points"))
    if kind == "mask":
        return _mask(canvas, shape.get("mask"), points)
    if type(kind) is str and kind in _NO_AREA:
        raise NotAnObject(f"{kind}-has-no-area", f"a {kind} of {len(points) // 2} points")
    if kind == "circle":
        if len(points) != 4:
            detail = f"{len(points) // 2} points; a circle has its centre and one on the rim"
            raise NotAnObject("circle-without-radius", detail)
        radius = math.hypot(points[2] - points[0], points[3] - points[1])
        return polygon(geometry.ellipse_polygon(points[0], points[1], radius, radius), "polygon-unusable")
    if type(kind) is not str or kind not in _OUTLINES:
        raise NotAnObject("unknown-shape-type", repr(kind)[:80])
    if kind == "polygon" and len(points) == 2:
        raise NotAnObject("point-has-no-area", "a polygon of one point")
    if len(points) == 4 and kind == "ellipse":  # opposite corners of its box
        x0, y0, x1, y1 = points
        return ellipse((x0 + x1) / 2, (y0 + y1) / 2, abs(x1 - x0) / 2, abs(y1 - y0) / 2)
    corners = len(points) == 8 and len(set(points[0::2])) == len(set(points[1::2])) == 2
    if kind == "rectangle" and (len(points) == 4 or corners):
        if boxes == "refuse":
            raise NotAnObject("box-only", BOX_ONLY)
        if len(points) == 4:
            x0, y0, x1, y1 = points
            points = [x0, y0, x1, y0, x1, y1, x0, y1]
    return polygon(points, "polygon-too-few-points" if len(points) < 6 else "polygon-unusable")


def _mask(canvas: Canvas, text: Any, points: list[float]) -> Shape:
    """A mask shape: a PNG in base64 whose upper left pixel lies at the floor of the first corner."""
    if not isinstance(text, str) or not points:
        raise NotAnObject("mask-unreadable", "no mask or no corner")
    try:
        pixels = images.decode_labels(base64.b64decode(text, validate=False))
    except (binascii.Error, ValueError, DataError) as error:
        raise NotAnObject("mask-unreadable", str(error).splitlines()[0]) from None
    left, top = math.floor(min(points[0::2])), math.floor(min(points[1::2]))
    return canvas.bitmap((pixels if pixels.ndim == 2 else pixels.max(axis=2)) > 0, left, top)


def _attributes(shape: dict[str, Any]) -> Optional[dict[str, Any]]:
    kept: dict[str, Any] = {"flags": shape["flags"]} if any_flag(shape.get("flags")) else {}
    if isinstance(shape.get("description"), str) and shape["description"]:
        kept["description"] = shape["description"]
    if isinstance(shape.get("attributes"), dict):
        kept.update(shape["attributes"])
    return kept or None


def any_flag(flags: Any) -> bool:
    return isinstance(flags, dict) and any(flags.values())
