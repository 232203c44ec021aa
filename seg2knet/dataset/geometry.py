"""Polygon, run-length code, mask: between them, and what can be measured on them.

A mask is what pycocotools decodes, for that is what mmdet trains on; areas and boxes come from it. This is the only
module that calls pycocotools, OpenCV or Shapely on shapes. pycocotools crashes the process on a NaN and reads four
numbers as a box, so everything is checked here before it gets there.

Coordinates are pixels of the image as shown, x to the right, y down; a pixel is the unit square whose upper left
corner is its index. Masks are ``(H, W)`` bool or uint8 arrays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Optional

import numpy as np

from seg2knet.dataset.rle import Box, areas_and_boxes, check_size, union
from seg2knet.dataset.sample import Polygons, Rle, Shape
from seg2knet.errors import DataError

ELLIPSE_POINTS = 72
MAX_COORDINATE = 1e7
"""Pixels from the origin beyond which pycocotools must not see a polygon: it takes memory for every step there."""


def polygon_problem(part: Sequence[float]) -> Optional[str]:
    """Why pycocotools must not see this flat polygon, in a few words, or ``None`` where it may."""
    count = len(part)
    if count % 2:
        return f"an odd number of coordinates ({count})"
    if count < 6:
        return f"{count // 2} points, a polygon needs 3"
    # A sum is NaN or infinite when any term is: one pass in C instead of a check per number.
    total = sum(part)
    if not math.isfinite(total) and not all(map(math.isfinite, part)):
        return "a coordinate that is not a finite number"
    if max(part) > MAX_COORDINATE or min(part) < -MAX_COORDINATE:
        return "a coordinate ten million pixels away"
    return None


def polygons_to_rle(parts: Sequence[Sequence[float]], height: int, width: int) -> Rle:
    """The union of polygons as pycocotools rasterises them.

    Raises DataError: a part that pycocotools must not see, or an image too large.
    """
    for part in parts:
        if problem := polygon_problem(part):
            raise DataError(f"not a polygon: {problem}")
    return rasterize([Polygons([list(part) for part in parts])], height, width)[0]


def shape_to_rle(shape: Shape, height: int, width: int) -> Rle:
    """The mask of any shape on an image of that size.

    Raises DataError: the shape cannot be rasterised, or its size is not the image's.
    """
    if isinstance(shape, Polygons):
        return polygons_to_rle(shape.parts, height, width)
    if (shape.height, shape.width) == (height, width):
        return shape
    found, expected = f"{shape.width}x{shape.height}", f"{width}x{height}"
    raise DataError("a mask of another size than its image", found=found, expected=expected)


def rasterize(shapes: Sequence[Shape], height: int, width: int) -> list[Rle]:
    """The masks of many shapes of one image, in few calls; polygons must have been checked.

    Raises DataError: a mask of another size, or an image too large.
    """
    from pycocotools import mask as coco_mask

    check_size(height, width)
    parts = [part for shape in shapes if isinstance(shape, Polygons) for part in shape.parts]
    encoded = iter(coco_mask.frPyObjects(parts, height, width) if parts else ())
    rles = []
    for shape in shapes:
        if isinstance(shape, Polygons):
            pieces = [next(encoded) for _ in shape.parts]
            merged = pieces[0] if len(pieces) == 1 else coco_mask.merge(pieces)
            rles.append(Rle(merged["counts"], height, width))
        else:
            rles.append(shape_to_rle(shape, height, width))
    return rles


def measure(shape: Shape, height: int, width: int) -> tuple[int, Box]:
    """Area in pixels and box (x, y, width, height) of a shape's mask."""
    areas, boxes = areas_and_boxes([shape_to_rle(shape, height, width)])
    return areas[0], boxes[0]


def join(shapes: Sequence[Shape], height: int, width: int) -> Shape:
    """One object of several shapes: polygons stay polygons; where one is a mask the union is a mask."""
    if len(shapes) == 1:
        return shapes[0]
    polygons = [shape for shape in shapes if isinstance(shape, Polygons)]
    if len(polygons) < len(shapes):
        return union([shape_to_rle(each, height, width) for each in shapes])
    return Polygons([part for shape in polygons for part in shape.parts])


def box_polygon(x: float, y: float, width: float, height: float, degrees: float = 0.0) -> list[float]:
    """A box as a flat polygon, turned clockwise about its centre by ``degrees`` (CVAT's ``rotation``)."""
    corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
    return _turned(corners, x + width / 2, y + height / 2, degrees)


def ellipse_polygon(cx: float, cy: float, rx: float, ry: float, degrees: float = 0.0) -> list[float]:
    """An ellipse as a flat polygon, turned clockwise by ``degrees``; its corners stand a little outside so that the
    polygon has the ellipse's area."""
    step = 2 * math.pi / ELLIPSE_POINTS
    swell = math.sqrt(step / math.sin(step))
    angles = [step * index for index in range(ELLIPSE_POINTS)]
    corners = [(cx + rx * swell * math.cos(angle), cy + ry * swell * math.sin(angle)) for angle in angles]
    return _turned(corners, cx, cy, degrees)


def _turned(corners: Sequence[tuple[float, float]], cx: float, cy: float, degrees: float) -> list[float]:
    if degrees % 360:
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        corners = [(cx + (x - cx) * cos - (y - cy) * sin, cy + (x - cx) * sin + (y - cy) * cos) for x, y in corners]
    return [number for corner in corners for number in corner]


def polygon_area(part: Sequence[float]) -> float:
    """Area enclosed by a flat polygon, by the shoelace formula; what crosses itself cancels out."""
    xs, ys = np.asarray(part[0::2], dtype=np.float64), np.asarray(part[1::2], dtype=np.float64)
    return float(abs(np.dot(xs, np.roll(ys, -1)) - np.dot(ys, np.roll(xs, -1))) / 2)


def fractions(points: np.ndarray, size: tuple[float, float]) -> np.ndarray:
    """``(N, 2)`` points divided by ``size``, so that the product is the point again where there is such a float."""
    sides = np.array(size, np.float64)
    points = np.asarray(points, np.float64)
    best = points / sides
    for near in (np.nextafter(best, -np.inf), np.nextafter(best, np.inf)):
        best = np.where((best * sides != points) & (near * sides == points), near, best)
    return best


def mask_to_polygons(mask: np.ndarray) -> Optional[Polygons]:
    """Polygons around the parts of an ``(H, W)`` mask, ``None`` for an empty one; holes are filled, which the caller
    must count. They run along the pixels' outer edges, so that pycocotools gives the same pixels back but for the
    holes."""
    return Polygons([outer for outer, _ in mask_to_rings(mask)]) if mask.any() else None


def mask_to_rings(mask: np.ndarray) -> list[tuple[list[float], list[list[float]]]]:
    """The outline and the holes of each 8-connected part of an ``(H, W)`` mask, along its pixels' edges, as flat
    polygons of whole numbers; parts from the top left one on.
    """
    import cv2

    ys, xs = np.nonzero(mask)
    if not len(ys):
        return []
    top, left = int(ys.min()), int(xs.min())
    window = np.pad(mask[top : ys.max() + 1, left : xs.max() + 1].astype(np.uint8), 1)
    # At three times the size a pixel's outline and its edge are one third of a pixel apart; rounding joins them again.
    large = cv2.resize(window, None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST)
    contours, hierarchy = cv2.findContours(large, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    parts: dict[int, tuple[list[float], list[list[float]]]] = {}
    parents = hierarchy[0][:, 3].tolist()
    for number in sorted(range(len(contours)), key=lambda number: parents[number] >= 0):
        ring = _along_edges(contours[number], left, top)
        if parents[number] < 0:
            parts[number] = ring, []
        else:
            parts[parents[number]][1].append(ring)
    _, labels = cv2.connectedComponents(np.ascontiguousarray(mask, dtype=np.uint8), connectivity=8)

    def label(number: int) -> int:
        x, y = contours[number][0, 0].tolist()
        return int(labels[y // 3 - 1 + top, x // 3 - 1 + left])

    return [parts[number] for number in sorted(parts, key=label)]


def _along_edges(contour: np.ndarray, left: int, top: int) -> list[float]:
    """OpenCV's contour of a mask at three times its size, as a flat polygon along the mask's pixels' edges."""
    points = np.round((contour[:, 0, :] + 0.5) / 3.0 - 1.0) + np.array((left, top))
    distinct = (points != np.roll(points, -1, axis=0)).any(axis=1)
    return points[distinct].ravel().tolist()
