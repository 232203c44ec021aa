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
from itertools import chain
from typing import Optional

import numpy as np

from seg2knet.dataset.rle import Box, areas_and_boxes, check_size, union
from seg2knet.dataset.sample import Polygons, Rle, Shape
from seg2knet.errors import DataError

ELLIPSE_POINTS = 72
MAX_COORDINATE = 1e7
"""Pixels from the origin beyond which pycocotools must not see a polygon: it takes memory for every step there."""
_FAR = 1 << 16
"""Pixels from the origin to which ``measure_polygons`` rounds as pycocotools does."""
_MANY = 1 << 20
"""Pixels in x that the outlines worked on at a time run along together."""


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
    from pycocotools import mask as coco_mask

    check_size(height, width)
    for part in parts:
        if problem := polygon_problem(part):
            raise DataError(f"not a polygon: {problem}")
    codes = coco_mask.frPyObjects([list(part) for part in parts], height, width)
    return union([Rle(code["counts"], height, width) for code in codes])


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


def measure(shape: Shape, height: int, width: int) -> tuple[int, Box]:
    """Area in pixels and box (x, y, width, height) of a shape's mask."""
    areas, boxes = areas_and_boxes([shape_to_rle(shape, height, width)])
    return areas[0], boxes[0]


def measure_polygons(polygons: Sequence[tuple[Sequence[float], int, int]]) -> list[Optional[tuple[int, Box]]]:
    """Pixels and box of the mask of each polygon on an image so high and wide, in half the time of drawing many;
    ``None`` where only drawing it tells: of the largest images and outlines.

    pycocotools (``maskApi.c``, ``rleFrPoly``) rounds corners to fifths of a pixel, walks along each edge in such steps
    from its lower end on its longer axis, and cuts column c where the walk comes from x 5c + 2 to 5c + 3 or back, at
    the smaller y of the two. In a column pixels lie between the first and the second cut, the third and the fourth...
    """
    if not polygons:
        return []
    parts, heights, widths = zip(*polygons)
    sizes = np.fromiter(map(len, parts), np.int64, len(parts)) // 2
    points = np.fromiter(chain.from_iterable(parts), np.float64, 2 * int(sizes.sum())).reshape(-1, 2)
    count, stride, wide = len(parts), max(heights) + 1, max(widths)
    small = np.abs(points).max() <= _FAR and np.abs(np.diff(points[:, 0])).sum() <= _MANY
    if not small or count * stride * wide >= 1 << 31:
        half = count // 2
        return measure_polygons(polygons[:half]) + measure_polygons(polygons[half:]) if half else [None]

    # Edges, each from where the walk begins.
    x, y = (points * 5 + 0.5).astype(np.int32).T  # cut off, not rounded down, as in C
    ends, after = np.cumsum(sizes), np.arange(1, len(x) + 1)
    after[ends - 1] = ends - sizes
    owner, height, width = (np.repeat(np.array(of, np.int32), sizes) for of in (range(count), heights, widths))
    first = np.maximum((np.minimum(x, x[after]) + 2) // 5, 0)
    number = np.maximum(np.minimum((np.maximum(x, x[after]) + 2) // 5, width) - first, 0)
    dx, dy = x[after] - x, y[after] - y
    long = np.where(np.abs(dx) < np.abs(dy), dy, dx)
    x, y, long = np.where(long < 0, x[after], x), np.where(long < 0, y[after], y), np.where(long == 0, 1, long)

    # Cuts: after how many steps the walk has passed the column's middle, and y there and a step before.
    edge = np.repeat(np.arange(len(x)), number)
    column = np.arange(len(edge), dtype=np.int32) + (first - np.cumsum(number, dtype=np.int32) + number)[edge]
    x, y, x_step, y_step, goal = x[edge], y[edge], (dx / long)[edge], (dy / long)[edge], 5 * column + 3
    step = np.rint((goal - 0.5 - x) / x_step)
    step += (x + x_step * step + 0.5 >= goal) != (x_step > 0)  # the walk rounds in its own way
    row = (y + y_step * (step - (y_step > 0)) + 0.5).astype(np.int32)
    row = np.minimum(np.maximum((row + 2) // 5, 0), height[edge])

    cuts = np.sort((owner[edge] * wide + column) * np.int32(stride) + row)
    runs = cuts[1::2] - cuts[0::2]
    starts, runs = cuts[0::2][runs > 0], runs[runs > 0]
    column = starts // stride
    row = starts - column * np.int32(stride)
    bounds = np.searchsorted(column, np.arange(count + 1, dtype=np.int32) * wide)
    areas, boxes = np.zeros(count, np.int64), np.zeros((count, 4), np.int64)
    some = np.flatnonzero(np.diff(bounds))
    if len(some):
        begin, last = bounds[some], bounds[some + 1] - 1
        areas[some] = np.add.reduceat(runs, begin)
        top, below = np.minimum.reduceat(row, begin), np.maximum.reduceat(row + runs, begin)
        boxes[some] = np.stack((column[begin] % wide, top, column[last] - column[begin] + 1, below - top), 1)
    return [(area, (x, y, w, h)) for area, (x, y, w, h) in zip(areas.tolist(), boxes.tolist())]


def measure_many(shapes: Sequence[tuple[Polygons, int, int]]) -> list[tuple[int, Box]]:
    """``measure`` of each of these shapes on an image so high and wide; single outlines are not drawn."""
    alone = [place for place, (shape, *_) in enumerate(shapes) if len(shape.parts) == 1]
    outlines = [(shapes[place][0].parts[0], *shapes[place][1:]) for place in alone]
    known = dict(zip(alone, measure_polygons(outlines)))
    return [known.get(place) or measure(*shape) for place, shape in enumerate(shapes)]


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
