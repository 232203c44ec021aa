"""What the objects of an instance file measure, and whether the file says the same.

A polygon's enclosed area and extents bound what any rasteriser can make of it, so that most stated areas and boxes are
cleared, or known to be wrong, without drawing a pixel; only the rest are rasterised by pycocotools, after every check
that keeps it from crashing.

What counts as right (the explanations of CI034 and CI037 repeat it):

- an area within half the outline's length, and 1 pixel and 1 %, of the enclosed area or of the mask's pixels: from
  counting the border's pixels to leaving them out, that is how far rasterisers differ;
- a box each of whose sides is within 1.5 pixels of the polygon's extents (as they are, or cut at the image's edge) or
  of the mask's box: floats, rounded, or one pixel more.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from typing import Any, List

import msgspec
import numpy as np
from msgspec import Raw

from seg2knet.dataset.coco_json import RleCode
from seg2knet.dataset.geometry import measure_many
from seg2knet.dataset.rle import max_pixels
from seg2knet.dataset.sample import Polygons
from seg2knet.engines import engine, uncollected
from seg2knet.validators.subjects import outlines
from seg2knet.validators.subjects.outlines import BROKEN, CROSSING, STRAY, ZERO, Shape, shape_of
from seg2knet.validators.subjects.records import loads
from seg2knet.validators.subjects.tables import Annotations, array_of, boxes_in

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
_OFF_LINE = 1.5
"""Pixels, per pixel of outline, by which a mask's area is off the enclosed one at the very most; and by which its box
reaches out of the extents."""


class Shapes:
    """Columns over annotations.

    Attributes:
        kinds: int64. flags: int64, bits of ``outlines``.
        boxes: ``(N, 4)``, as stated, NaN where absent or malformed.
        areas: enclosed by the polygons, or the mask's pixels. perimeters: lengths of the outlines.
        extents: ``(N, 4)`` x0, y0, x1, y1. cores: those of the largest polygon.
        overshoot: pixels outside the image, 0 for none.
        drawable: bool; the image's size is known, no forged one, and the polygons do not reach far out of it.
        mask_areas, mask_boxes: ``(N, 4)`` x, y, w, h: NaN where nothing was rasterised.
        area_fits, box_fits: bool; True also where nothing can be compared.
    """

    overshoot: np.ndarray
    drawable: np.ndarray
    area_fits: np.ndarray
    box_fits: np.ndarray

    def __init__(self, flags: np.ndarray, boxes: np.ndarray) -> None:
        count = len(flags)
        self.kinds = np.full(count, ABSENT)
        self.flags, self.boxes = flags, boxes
        self.areas, self.mask_areas = np.full(count, np.nan), np.full(count, np.nan)
        self.extents, self.cores, self.mask_boxes = np.full((3, count, 4), np.nan)
        self.perimeters, self.overshoot = np.zeros(count), np.zeros(count)
        self.area_fits, self.box_fits = np.ones(count, bool), np.ones(count, bool)

    @classmethod
    def joined(cls, chunks: Sequence[Shapes]) -> Shapes:
        whole = cls.__new__(cls)
        for name in vars(chunks[0]):
            setattr(whole, name, np.concatenate([vars(chunk)[name] for chunk in chunks]))
        return whole

    def having(self, bits: int) -> np.ndarray:
        return np.flatnonzero(self.flags & bits)

    @cached_property
    def sound(self) -> np.ndarray:
        """``(N,)`` bool: there is an object whose area and box can be told."""
        there = (self.kinds == POLYGONS) | (self.kinds == RLE)
        return there & (self.flags & BROKEN == 0) & ~np.isnan(self.areas)

    def draw(self, rows: np.ndarray, shapes: Sequence[Shape], sizes: np.ndarray) -> None:
        """Fill in the masks' areas and boxes of these annotations, of those that are sound and can be drawn; shapes,
        and heights and widths of their images (``(N, 2)``): of each of ``rows``."""
        wanted = np.isnan(self.mask_areas[rows]) & self.sound[rows] & self.drawable[rows]
        places = np.flatnonzero(wanted).tolist()
        tasks = [(Polygons(shapes[place]), *sizes[place].tolist()) for place in places]
        for row, (area, box) in zip(rows[places].tolist(), measure_many(tasks)):
            self.mask_areas[row], self.mask_boxes[row] = area, box


def measure(table: Annotations, sizes: np.ndarray, jobs: int = 1) -> Shapes:
    """Measure all annotations of a file, in several processes where there are many; ``sizes``: height and width of each
    one's image, ``(N, 2)`` int64, 0 where unknown."""
    parts = [slice(start, start + CHUNK) for start in range(0, table.count or 1, CHUNK)]
    tasks = (
        (array_of(table.segmentations[part]), array_of(table.boxes[part]), table.areas[part], sizes[part])
        for part in parts
    )
    with uncollected(), engine("local", jobs if table.count >= _PARALLEL_FROM else 1) as workers:
        return Shapes.joined(list(workers.map(_worker, tasks)))


def _worker() -> Any:
    # Once a block of this size was freed glibc keeps freed memory, and does not fetch it anew for every chunk.
    np.empty(1 << 24, np.uint8)
    return _measure_chunk


def _measure_chunk(task: tuple[bytes, bytes, np.ndarray, np.ndarray]) -> Shapes:
    """Segmentations and boxes are JSON arrays, then come stated areas and the images' sizes."""
    segmentations, box_text, stated, sizes = task
    with uncollected():
        shapes, flags = shapes_in(segmentations)
        return _measured(shapes, Shapes(flags, boxes_in(box_text)), stated, sizes)


def measure_some(segmentations: Sequence[Any], sizes: np.ndarray) -> tuple[Shapes, list[Shape]]:
    """Decoded segmentations, on images of these heights and widths (``(N, 2)``, 0: unknown), and how they were read."""
    try:
        shapes, flags = msgspec.convert(segmentations, List[Shape]), [0] * len(segmentations)
    except (msgspec.MsgspecError, OverflowError):
        shapes, flags = map(list, zip(*map(shape_of, segmentations)))
    nothing = Shapes(np.array(flags, np.int64), np.full((len(shapes), 4), np.nan))
    return _measured(shapes, nothing, np.full(len(shapes), np.nan), sizes), shapes


def chunks(rows: Sequence[int]) -> list[Sequence[int]]:
    """Some at a time: all would take too much memory, and for one alone NumPy takes as long as for a hundred."""
    return [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]


def shapes_in(text: bytes) -> tuple[list[Shape], np.ndarray]:
    """The segmentations of a JSON array, and what is wrong with their types (``(N,)`` int64)."""
    try:
        shapes = msgspec.json.decode(text, type=List[Shape])
        return shapes, np.zeros(len(shapes), np.int64)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pairs = [shape_in(raw) for raw in msgspec.json.decode(text, type=List[Raw])]
        return [shape for shape, _ in pairs], np.array([flag for _, flag in pairs], np.int64)


def shape_in(raw: Raw) -> tuple[Shape, int]:
    try:
        return _one_shape.decode(raw), 0
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return shape_of(loads(raw))


_one_shape = msgspec.json.Decoder(Shape)


def _measured(shapes: Sequence[Shape], columns: Shapes, stated: np.ndarray, sizes: np.ndarray) -> Shapes:
    """Fill in the columns of these segmentations; stated areas, and images' heights and widths, 0 where unknown."""
    count = len(shapes)
    lists: list[Any] = [shape if type(shape) is list else () for shape in shapes]
    some = np.fromiter(map(any, lists), bool, count)  # a list of empty lists is an empty segmentation
    columns.kinds[some] = POLYGONS
    for row in np.flatnonzero(~some).tolist():
        _fill_other(shapes[row], row, columns, *sizes[row].tolist())
        lists[row] = ()
    counts = np.fromiter(map(len, lists), np.int64, count)
    if some.any():
        _fill_polygons(lists, counts, columns)
    sizes = sizes[:, ::-1]  # from here on as x, y
    known = (sizes > 0).all(1)
    edges = np.concatenate([-columns.extents[:, :2], columns.extents[:, 2:] - sizes], 1)
    over = np.nan_to_num(edges.max(1, initial=-np.inf), nan=0.0)
    columns.overshoot = np.where(known & (columns.kinds == POLYGONS), np.maximum(over, 0), 0)
    with np.errstate(invalid="ignore"):
        _compare(shapes, counts, columns, stated, sizes)
    return columns


def _fill_other(shape: Shape, row: int, columns: Shapes, height: int, width: int) -> None:
    """The kind of what is no list of polygons, and what a run-length code measures."""
    if isinstance(shape, RleCode):
        mask = outlines.examine_rle(shape, height, width)
        x, y, w, h = mask.box
        columns.flags[row] |= mask.flags
        columns.areas[row] = columns.mask_areas[row] = mask.area
        columns.mask_boxes[row], columns.extents[row] = mask.box, (x, y, x + w, y + h)
        columns.cores[row] = columns.extents[row]
        columns.perimeters[row] = mask.perimeter
        columns.kinds[row] = EMPTY if mask.area == 0 else RLE
    elif shape is not None:
        columns.kinds[row] = EMPTY
    elif columns.flags[row]:
        columns.kinds[row] = RLE if columns.flags[row] & outlines.RLE_BAD else USELESS


def _fill_polygons(lists: Sequence[Sequence[list[float]]], counts: np.ndarray, columns: Shapes) -> None:
    """Areas, perimeters, extents and flags of the annotations made of polygons; the others' lists are empty."""
    parts = list(chain.from_iterable(lists))
    own = outlines.examine(parts)
    rows = np.flatnonzero(counts)
    starts = (np.cumsum(counts) - counts)[rows]
    columns.flags[rows] |= np.bitwise_or.reduceat(own.flags, starts)
    usable = ~np.isnan(own.extents[:, 0])
    columns.areas[rows] = np.where(np.logical_or.reduceat(usable, starts), np.add.reduceat(own.areas, starts), np.nan)
    columns.perimeters[rows] = np.add.reduceat(own.perimeters, starts)
    columns.extents[rows, :2] = np.fmin.reduceat(own.extents[:, :2], starts)
    columns.extents[rows, 2:] = np.fmax.reduceat(own.extents[:, 2:], starts)
    largest = np.lexsort((-own.areas, np.repeat(rows, counts[rows])))[starts]
    columns.cores[rows] = own.extents[largest]
    several = counts[rows] > 1
    whole = np.nan_to_num(columns.extents[rows, 2:] - columns.extents[rows, :2]).prod(1)
    covered = np.add.reduceat(np.nan_to_num(own.extents[:, 2:] - own.extents[:, :2]).prod(1), starts)
    specks = np.minimum.reduceat(own.areas, starts) * SPECK < columns.areas[rows]
    columns.flags[rows] |= np.where(several & (specks | (whole > FAR_APART * np.maximum(covered, 1))), STRAY, 0)
    inner = [place for place, _ in outlines.inside_pairs(parts, own, counts)]
    columns.flags[np.repeat(np.arange(len(counts)), counts)[inner]] |= outlines.INSIDE


def _compare(
    shapes: Sequence[Shape], counts: np.ndarray, columns: Shapes, stated: np.ndarray, sizes: np.ndarray
) -> None:
    """Say whether stated areas and boxes fit; rasterise where the bounds leave it open."""
    areas, perimeters, extents = columns.areas, columns.perimeters, columns.extents
    known, sound = (sizes > 0).all(1), columns.sound
    has_area = sound & np.isfinite(stated) & (stated > 0)
    has_box = sound & ~np.isnan(columns.boxes[:, 0])
    areas_fit = area_fits(stated, areas, perimeters)
    boxes_fit = box_fits(columns.boxes, extents)
    cut = np.concatenate([np.clip(extents[:, :2], 0, sizes), np.clip(extents[:, 2:], 0, sizes)], 1)
    boxes_fit |= known & (columns.overshoot > 0) & box_fits(columns.boxes, cut)
    # In the image no mask has many pixels more than the outlines enclose, and one outline's has not many less.
    off, slack = _OFF_LINE * perimeters + 2, 0.5 * perimeters + 1
    wrong_area = stated > (1 + AREA_TOLERANCE) * (areas + off) + slack
    wrong_area |= (counts == 1) & (stated < (1 - AREA_TOLERANCE) * (areas - off) - slack)
    corners, reach = corners_of(columns.boxes), BOX_TOLERANCE + _OFF_LINE
    wrong_box = (corners[:, :2] < extents[:, :2] - reach).any(1) | (corners[:, 2:] > extents[:, 2:] + reach).any(1)
    certain = (columns.overshoot == 0) & (columns.flags & CROSSING == 0)
    # A sliver may cover no pixel at all; only drawing it tells.
    thin = areas <= np.minimum(0.5 * perimeters, 16.0)
    polygons = sound & (columns.kinds == POLYGONS)
    doubtful = (
        (has_area & ~areas_fit & ~(certain & wrong_area)) | (has_box & ~boxes_fit & ~(certain & wrong_box)) | thin
    )
    near = columns.overshoot < np.maximum(FAR, sizes.max(1, initial=0))
    columns.drawable = near & known & (sizes.prod(1, dtype=np.float64) <= max_pixels())
    rows = np.flatnonzero(polygons & columns.drawable & doubtful)
    columns.draw(rows, [shapes[row] for row in rows.tolist()], sizes[rows, ::-1])
    has_mask = ~np.isnan(columns.mask_areas) & polygons
    columns.flags[has_mask & (columns.mask_areas == 0)] |= ZERO
    areas_fit |= has_mask & area_fits(stated, columns.mask_areas, perimeters)
    boxes_fit |= has_mask & box_fits(columns.boxes, corners_of(columns.mask_boxes))
    # What reaches far out of the image is not drawn: that it does is its finding, and its mask is not known.
    comparable = (columns.kinds == RLE) | (known & near)
    comparable &= (columns.flags & ZERO == 0) | ((areas >= 1e-3) & ~(columns.mask_areas == 0))
    columns.area_fits = ~has_area | areas_fit | ~comparable
    columns.box_fits = ~has_box | boxes_fit | ~comparable


def area_fits(stated: np.ndarray, areas: np.ndarray, perimeters: np.ndarray) -> np.ndarray:
    """Whether stated areas are those of outlines, ``(N,)`` each."""
    with np.errstate(invalid="ignore"):
        return np.abs(stated - areas) <= 0.5 * perimeters + 1 + AREA_TOLERANCE * areas


def box_fits(boxes: np.ndarray, extents: np.ndarray) -> np.ndarray:
    """Whether boxes are those of extents: ``boxes``: x, y, w, h; ``extents``: x0, y0, x1, y1; both ``(N, 4)``."""
    with np.errstate(invalid="ignore"):
        return (np.abs(corners_of(boxes) - extents) <= BOX_TOLERANCE).all(1)


def corners_of(boxes: np.ndarray) -> np.ndarray:
    """x, y, w, h as x0, y0, x1, y1."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
