"""What the objects of an instance file measure, and whether the file says the same.

A polygon's enclosed area and extents bound what any rasteriser can make of it, so that most stated areas and boxes are
cleared without drawing a pixel; only the rest are rasterised by pycocotools, after every check that keeps it from
crashing.

What counts as right (the explanations of CI034 and CI037 repeat it):

- an area within half the outline's length, and 1 pixel and 1 %, of the enclosed area or of the mask's pixels: from
  counting the border's pixels to leaving them out, that is how far rasterisers differ;
- a box each of whose sides is within 1.5 pixels of the polygon's extents (as they are, or cut at the image's edge) or
  of the mask's box: floats, rounded, or one pixel more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import chain
from typing import Any, List, NamedTuple, Optional

import msgspec
import numpy as np
from msgspec import Raw

from seg2knet.dataset.coco_json import RleCode
from seg2knet.dataset.rle import size_allowed
from seg2knet.engines import engine
from seg2knet.validators.subjects.document import no_gc
from seg2knet.validators.subjects.outlines import (
    BROKEN,
    INSIDE,
    RLE_BAD,
    STRAY,
    ZERO,
    Shape,
    examine,
    examine_rle,
    inside_pairs,
    maybe_inside,
    shape_of,
)
from seg2knet.validators.subjects.records import loads
from seg2knet.validators.subjects.tables import Annotations, array_of, boxes_of

ABSENT, EMPTY, POLYGONS, RLE, USELESS = range(5)
"""Kinds of segmentation."""
FAR = 1000
"""Pixels, or as many as the image is large: a polygon that reaches farther out is not drawn, which would cost as much
as it reaches."""
CHUNK = 1000
SPECK, FAR_APART = 1000, 50
"""How many times larger than its smallest polygon an object is, and its box than its polygons' boxes, from which on a
polygon may be there by mistake."""
_PARALLEL_FROM = 20_000
BOX_TOLERANCE = 1.5
AREA_TOLERANCE = 0.01


@dataclass
class Shapes:
    """Columns over annotations.

    Attributes:
        kinds: ``(N,)`` int64. flags: ``(N,)`` int64, bits of ``outlines``.
        boxes: ``(N, 4)`` float64, as stated, NaN where absent or malformed; has_box: something is there.
        areas: ``(N,)`` enclosed by the polygons, or the mask's pixels. perimeters: ``(N,)``.
        extents: ``(N, 4)`` x0, y0, x1, y1. overshoot: ``(N,)`` pixels outside the image, 0 for none.
        mask_areas: ``(N,)``, mask_boxes: ``(N, 4)`` x, y, w, h: NaN where nothing had to be rasterised.
        area_fits, box_fits: ``(N,)`` bool; True also where nothing can be compared.
    """

    kinds: np.ndarray
    flags: np.ndarray
    boxes: np.ndarray
    has_box: np.ndarray
    areas: np.ndarray
    perimeters: np.ndarray
    extents: np.ndarray
    overshoot: np.ndarray
    mask_areas: np.ndarray
    mask_boxes: np.ndarray
    area_fits: np.ndarray
    box_fits: np.ndarray

    def having(self, bits: int) -> np.ndarray:
        """Rows with any of these bits."""
        return np.flatnonzero(self.flags & bits)

    @cached_property
    def sound(self) -> np.ndarray:
        """``(N,)`` bool: there is an object whose area and box can be told."""
        there = (self.kinds == POLYGONS) | (self.kinds == RLE)
        return there & (self.flags & BROKEN == 0) & ~np.isnan(self.areas)


class _Task(NamedTuple):
    """Annotations to measure: their segmentations and boxes as JSON arrays, what the file says of their areas, and the
    sizes of their images, 0 where unknown."""

    segmentations: bytes
    boxes: bytes
    areas: np.ndarray
    heights: np.ndarray
    widths: np.ndarray


def measure(table: Annotations, heights: np.ndarray, widths: np.ndarray, jobs: int = 1) -> Shapes:
    """Measure all annotations of a file, in several processes where there are many.

    Args:
        table: the annotations.
        heights, widths: of each annotation's image, ``(N,)`` int64, 0 where unknown.
        jobs: processes.
    """
    if not table.count:
        return measured([], np.zeros(0, np.int64), *boxes_in(b"[]"), np.zeros(0), heights, widths)
    parts = [slice(start, start + CHUNK) for start in range(0, table.count, CHUNK)]
    tasks = (
        _Task(
            array_of(table.segmentations[part]),
            array_of(table.boxes[part]),
            table.areas[part],
            heights[part],
            widths[part],
        )
        for part in parts
    )
    with no_gc(), engine("local", jobs if table.count >= _PARALLEL_FROM else 1) as workers:
        chunks = list(workers.map(_worker, tasks))
    return Shapes(*[np.concatenate([getattr(chunk, column.name) for chunk in chunks]) for column in fields(Shapes)])


def _worker() -> Any:
    return _measure_chunk


def _measure_chunk(task: _Task) -> Shapes:
    with no_gc():
        shapes, flags = shapes_in(task.segmentations)
        return measured(shapes, flags, *boxes_in(task.boxes), task.areas, task.heights, task.widths)


def boxes_in(text: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The boxes of a JSON array as ``Shapes`` has them, and whether something is there."""
    try:
        rows = msgspec.json.decode(text, type=List[List[float]])
        boxes = np.array(rows, np.float64).reshape(len(rows), 4)
        return boxes, np.ones(len(rows), bool)
    except (msgspec.MsgspecError, ValueError):
        raws = msgspec.json.decode(text, type=List[Raw])
        return boxes_of(raws), np.array([bytes(raw) != b"null" for raw in raws], bool)


def shapes_in(text: bytes) -> tuple[list[Shape], np.ndarray]:
    """The segmentations, and what is wrong with their types (``(N,)`` int64)."""
    try:
        shapes = msgspec.json.decode(text, type=List[Shape])
        return shapes, np.zeros(len(shapes), np.int64)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pairs = [shape_in(raw) for raw in msgspec.json.decode(text, type=List[Raw])]
        return [shape for shape, _ in pairs], np.array([flag for _, flag in pairs], np.int64)


def shape_in(raw: Raw) -> tuple[Shape, int]:
    """One segmentation, and what is wrong with its type."""
    try:
        return _one_shape.decode(raw), 0
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return shape_of(loads(raw))


_one_shape = msgspec.json.Decoder(Shape)


def measured(
    shapes: Sequence[Shape],
    flags: np.ndarray,
    boxes: np.ndarray,
    has_box: np.ndarray,
    stated: np.ndarray,
    heights: np.ndarray,
    widths: np.ndarray,
) -> Shapes:
    """Columns of these segmentations; the other arguments are as in ``Shapes`` and ``_Task``."""
    count = len(shapes)
    nan = np.nan
    columns = Shapes(
        kinds=np.full(count, ABSENT),
        flags=flags,
        boxes=boxes,
        has_box=has_box,
        areas=np.full(count, nan),
        perimeters=np.zeros(count),
        extents=np.full((count, 4), nan),
        overshoot=np.zeros(count),
        mask_areas=np.full(count, nan),
        mask_boxes=np.full((count, 4), nan),
        area_fits=np.ones(count, bool),
        box_fits=np.ones(count, bool),
    )
    lists: list[Any] = [shape if type(shape) is list else () for shape in shapes]
    some = np.fromiter(map(any, lists), bool, count)  # a list of empty lists is an empty segmentation
    columns.kinds[some] = POLYGONS
    for row in np.flatnonzero(~some).tolist():
        columns.kinds[row] = _kind(shapes[row], int(flags[row]))
        lists[row] = ()
    _fill_polygons(lists, columns)
    _fill_rles(shapes, columns, heights, widths)
    known = (heights > 0) & (widths > 0)
    edges = np.stack([-columns.extents[:, 0], -columns.extents[:, 1]], 1)
    edges = np.concatenate([edges, columns.extents[:, 2:] - np.stack([widths, heights], 1)], 1)
    with np.errstate(invalid="ignore"):
        over = np.nan_to_num(edges.max(1, initial=-np.inf), nan=0.0)
    columns.overshoot = np.where(known & (columns.kinds == POLYGONS), np.maximum(over, 0), 0)
    _compare(shapes, columns, stated, heights, widths, known)
    return columns


def _kind(shape: Shape, flag: int) -> int:
    """The kind of what is no list of polygons."""
    if shape is not None:
        return EMPTY if isinstance(shape, list) else RLE
    return ABSENT if not flag else RLE if flag & RLE_BAD else USELESS


def _fill_polygons(lists: Sequence[Sequence[list[float]]], columns: Shapes) -> None:
    """Areas, perimeters, extents and flags of the annotations made of polygons; the others' lists are empty."""
    counts = np.fromiter(map(len, lists), np.int64, len(lists))
    if not counts.any():
        return
    parts = list(chain.from_iterable(lists))
    found = examine(parts)
    rows = np.flatnonzero(counts)
    starts = (np.cumsum(counts) - counts)[rows]
    columns.flags[rows] |= np.bitwise_or.reduceat(found.flags, starts)
    usable = ~np.isnan(found.extents[:, 0])
    some = np.logical_or.reduceat(usable, starts)
    columns.areas[rows] = np.where(some, np.add.reduceat(found.areas, starts), np.nan)
    columns.perimeters[rows] = np.add.reduceat(found.perimeters, starts)
    columns.extents[rows, :2] = np.fmin.reduceat(found.extents[:, :2], starts)
    columns.extents[rows, 2:] = np.fmax.reduceat(found.extents[:, 2:], starts)
    several = counts[rows] > 1
    sides = np.nan_to_num(columns.extents[rows, 2:] - columns.extents[rows, :2])
    own = np.add.reduceat(np.nan_to_num(found.extents[:, 2:] - found.extents[:, :2]).prod(1), starts)
    specks = np.minimum.reduceat(found.areas, starts) * SPECK < columns.areas[rows]
    columns.flags[rows] |= np.where(several & (specks | (sides.prod(1) > FAR_APART * np.maximum(own, 1))), STRAY, 0)
    nested = maybe_inside(found.extents, starts[several], counts[rows][several])
    for row, start in zip(rows[several][nested], starts[several][nested]):
        part = slice(start, start + counts[row])
        if inside_pairs(parts[part], found.extents[part], usable[part] & (found.flags[part] & ZERO == 0)):
            columns.flags[row] |= INSIDE


def _fill_rles(shapes: Sequence[Shape], columns: Shapes, heights: np.ndarray, widths: np.ndarray) -> None:
    for row in np.flatnonzero(columns.kinds == RLE).tolist():
        shape = shapes[row]
        if not isinstance(shape, RleCode):
            continue
        mask = examine_rle(shape, int(heights[row]), int(widths[row]))
        columns.flags[row] |= mask.flags
        columns.areas[row] = columns.mask_areas[row] = mask.area
        columns.mask_boxes[row] = mask.box
        columns.perimeters[row] = mask.perimeter
        x, y, width, height = mask.box
        columns.extents[row] = (x, y, x + width, y + height)
        if mask.area == 0:
            columns.kinds[row] = EMPTY


def _compare(
    shapes: Sequence[Shape],
    columns: Shapes,
    stated: np.ndarray,
    heights: np.ndarray,
    widths: np.ndarray,
    known: np.ndarray,
) -> None:
    """Say whether stated areas and boxes fit; rasterise where the bounds leave it open."""
    sound = columns.sound
    has_area = sound & np.isfinite(stated) & (stated > 0)
    has_box = sound & ~np.isnan(columns.boxes[:, 0])
    areas_fit = area_fits(stated, columns.areas, columns.perimeters)
    boxes_fit = box_fits(columns.boxes, columns.extents)
    sizes = np.stack([widths, heights], 1)
    cut = np.concatenate([np.clip(columns.extents[:, :2], 0, sizes), np.clip(columns.extents[:, 2:], 0, sizes)], 1)
    boxes_fit |= known & (columns.overshoot > 0) & box_fits(columns.boxes, cut)
    # A sliver may cover no pixel at all; only drawing it tells.
    thin = columns.areas <= np.minimum(0.5 * columns.perimeters, 16.0)
    polygons = sound & (columns.kinds == POLYGONS)
    open_rows = polygons & known & ((has_area & ~areas_fit) | (has_box & ~boxes_fit) | thin)
    near = columns.overshoot < np.maximum(FAR, sizes.max(1, initial=0))
    for row in np.flatnonzero(open_rows & near):
        _rasterise(shapes[row], int(row), columns, int(heights[row]), int(widths[row]))
    has_mask = ~np.isnan(columns.mask_areas) & polygons
    columns.flags[has_mask & (columns.mask_areas == 0)] |= ZERO
    areas_fit |= has_mask & area_fits(stated, columns.mask_areas, columns.perimeters)
    x, y, w, h = columns.mask_boxes.T
    boxes_fit |= has_mask & box_fits(columns.boxes, np.stack([x, y, x + w, y + h], 1))
    # What reaches far out of the image is not drawn: that it does is its finding, and its mask is not known.
    comparable = (columns.kinds == RLE) | (known & near)
    nothing = (columns.flags & ZERO != 0) & ((columns.areas < 1e-3) | (columns.mask_areas == 0))
    comparable &= ~nothing
    columns.area_fits = ~has_area | areas_fit | ~comparable
    columns.box_fits = ~has_box | boxes_fit | ~comparable


def area_fits(stated: np.ndarray, areas: np.ndarray, perimeters: np.ndarray) -> np.ndarray:
    """Whether stated areas are those of outlines, ``(N,)`` each."""
    with np.errstate(invalid="ignore"):
        return np.abs(stated - areas) <= 0.5 * perimeters + 1 + AREA_TOLERANCE * areas


def box_fits(boxes: np.ndarray, extents: np.ndarray) -> np.ndarray:
    """Whether boxes are those of extents: ``boxes``: x, y, w, h; ``extents``: x0, y0, x1, y1; both ``(N, 4)``."""
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    with np.errstate(invalid="ignore"):
        return (np.abs(corners - extents) <= BOX_TOLERANCE).all(1)


def _rasterise(shape: Shape, row: int, columns: Shapes, height: int, width: int) -> None:
    if isinstance(shape, list) and size_allowed(height, width):
        columns.mask_areas[row], columns.mask_boxes[row] = drawn(shape, height, width)


def drawn(parts: Sequence[list[float]], height: int, width: int) -> tuple[float, np.ndarray]:
    """Pixels and box (x, y, w, h) of polygons that were examined and found sound."""
    from pycocotools import mask as coco_mask

    merged = coco_mask.merge(coco_mask.frPyObjects([part for part in parts if len(part) >= 6], height, width))
    return float(coco_mask.area(merged)), coco_mask.toBbox(merged)


class Measured(NamedTuple):
    """What one segmentation measures.

    Attributes:
        area, perimeter: enclosed by its outlines, and their length. extent: ``(4,)`` x0, y0, x1, y1.
        mask_area, mask_box: pixels and x, y, w, h; ``None`` where the image's size is not known.
    """

    area: float
    perimeter: float
    extent: np.ndarray
    mask_area: Optional[float] = None
    mask_box: Optional[tuple[float, ...]] = None


def measure_one(segmentation: Any, height: int, width: int) -> Optional[Measured]:
    """Measure any segmentation on an image of that size (0: not known); ``None`` where it is not sound."""
    shape, flag = shape_of(segmentation)
    if isinstance(shape, RleCode):
        mask = examine_rle(shape, height, width)
        x, y, w, h = mask.box
        return None if mask.flags else Measured(mask.area, mask.perimeter, np.array([x, y, x + w, y + h]), *mask[1:3])
    if not shape or not any(shape):
        return None
    parts = examine(shape, crossings=False)
    if np.bitwise_or.reduce(parts.flags) & BROKEN:
        return None
    extent = np.concatenate([parts.extents[:, :2].min(0), parts.extents[:, 2:].max(0)])
    outline = Measured(float(parts.areas.sum()), float(parts.perimeters.sum()), extent)
    near = max(-extent[:2].min(), (extent[2:] - (width, height)).max()) < max(FAR, height, width)
    if flag or not near or not size_allowed(height, width):
        return outline
    area, box = drawn(shape, height, width)
    return outline._replace(mask_area=area, mask_box=tuple(box.tolist()))


def draw_row(shapes: Shapes, row: int, segmentation: Any, height: int, width: int) -> None:
    """Fill in ``mask_areas`` and ``mask_boxes`` of one sound annotation, where that was not done yet and can be."""
    near = shapes.overshoot[row] < max(FAR, height, width)
    if near and np.isnan(shapes.mask_areas[row]) and shapes.kinds[row] == POLYGONS:
        _rasterise(shape_of(segmentation)[0], row, shapes, height, width)
