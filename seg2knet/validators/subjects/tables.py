"""Records as columns: what rules compare is a NumPy array, not a million objects.

States of a value: ``OK``, ``MISSING``, ``WRONG`` (it is there and of no use; a ``TypeFault`` says so).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, List, Optional

import msgspec
import numpy as np
from msgspec import UNSET, Raw

from seg2knet.dataset.coco_json import AnnotationRecord, CategoryRecord, ImageRecord, PanopticRecord
from seg2knet.validators.subjects.records import loads

NOWHERE = -1
"""A row that does not exist."""


def int_column(values: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Values, 0 where ``UNSET``, ``(N,)`` int64; and whether they were there, ``(N,)`` bool."""
    count = len(values)
    try:
        return np.fromiter(values, np.int64, count), np.ones(count, bool)
    except TypeError:
        there = np.fromiter((value is not UNSET for value in values), bool, count)
        return np.fromiter((0 if value is UNSET else value for value in values), np.int64, count), there


def float_column(values: Sequence[Any]) -> np.ndarray:
    """Values, NaN where ``UNSET``, ``(N,)`` float64."""
    count = len(values)
    try:
        return np.fromiter(values, np.float64, count)
    except TypeError:
        return np.fromiter((np.nan if value is UNSET else value for value in values), np.float64, count)


def array_of(raws: Sequence[Raw]) -> bytes:
    """The values as one JSON array, ``null`` for what is absent."""
    return b"[%b]" % b",".join([raw if memoryview(raw).nbytes else b"null" for raw in raws])


def boxes_of(raws: Sequence[Raw]) -> np.ndarray:
    """Boxes, ``(N, 4)`` float64; NaN where there is none, or what is there is not four finite numbers."""
    try:
        rows = msgspec.json.decode(array_of(raws), type=List[Optional[List[float]]])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        rows = [_numbers(loads(raw)) if len(memoryview(raw)) else None for raw in raws]
    absent = [math.nan] * 4
    boxes = np.array([row if row is not None and len(row) == 4 else absent for row in rows], np.float64).reshape(-1, 4)
    boxes[~np.isfinite(boxes).all(axis=1)] = np.nan
    return boxes


def _numbers(value: Any) -> Optional[list[float]]:
    if not isinstance(value, list) or not all(type(each) in (int, float) for each in value):
        return None
    try:
        return [float(each) for each in value]
    except OverflowError:
        return None


class Index:
    """From ids to rows; the first row where an id is there twice."""

    def __init__(self, ids: np.ndarray, there: np.ndarray) -> None:
        rows = np.flatnonzero(there)
        order = np.argsort(ids[rows], kind="stable")
        self._rows = rows[order]
        self._ids = ids[self._rows]

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """``(N,)`` int64, ``NOWHERE`` for an id that is not there."""
        if not len(self._ids):
            return np.full(len(ids), NOWHERE, np.int64)
        # The left-most of equal ids is the first row, for the sort is stable.
        places = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
        return np.where(self._ids[places] == ids, self._rows[places], NOWHERE)

    def row(self, an_id: int) -> int:
        return int(self.rows(np.array([an_id], np.int64))[0])


@dataclass
class Images:
    """The table of images.

    Attributes:
        ids, has_id: ``(N,)`` int64, bool.
        names: file names, ``None`` where absent.
        widths, heights: ``(N,)`` int64, 0 where absent or below 1.
        usable: False where the element is not an object.
    """

    ids: np.ndarray
    has_id: np.ndarray
    names: list[Optional[str]]
    widths: np.ndarray
    heights: np.ndarray
    usable: np.ndarray

    @classmethod
    def of(cls, records: Sequence[Optional[ImageRecord]]) -> Images:
        rows = [record or ImageRecord() for record in records]
        ids, has_id = int_column([row.id for row in rows])
        names: list[Optional[str]] = [row.file_name if isinstance(row.file_name, str) else None for row in rows]
        widths, _ = int_column([row.width for row in rows])
        heights, _ = int_column([row.height for row in rows])
        usable = np.fromiter((record is not None for record in records), bool, len(rows))
        return cls(ids, has_id, names, np.maximum(widths, 0), np.maximum(heights, 0), usable)

    @property
    def count(self) -> int:
        return len(self.ids)

    @cached_property
    def index(self) -> Index:
        return Index(self.ids, self.has_id)


@dataclass(frozen=True)
class Category:
    """One category as it stands: ``index`` is its place in the file; what is absent is ``None``."""

    index: int
    id: Optional[int]
    name: Optional[str]
    isthing: Optional[int]
    supercategory: Optional[str]
    usable: bool = True

    @classmethod
    def of(cls, index: int, record: Optional[CategoryRecord]) -> Category:
        if record is None:
            return cls(index, None, None, None, None, False)
        values = (record.id, record.name, record.isthing, record.supercategory)
        number, name, isthing, parent = (None if value is UNSET else value for value in values)
        return cls(index, number, name, isthing, parent)  # type: ignore[arg-type]


@dataclass
class Annotations:
    """The table of annotations.

    Attributes:
        ids, has_id; image_ids, has_image_id; category_ids, has_category_id: ``(N,)`` int64, bool.
        crowd, has_crowd: ``iscrowd``, ``(N,)`` int64, bool.
        areas: ``(N,)`` float64, NaN where absent.
        usable: False where the element is not an object.
        boxes, segmentations: unread, views into the file's text; empty where absent.
    """

    ids: np.ndarray
    has_id: np.ndarray
    image_ids: np.ndarray
    has_image_id: np.ndarray
    category_ids: np.ndarray
    has_category_id: np.ndarray
    crowd: np.ndarray
    has_crowd: np.ndarray
    areas: np.ndarray
    usable: np.ndarray
    boxes: list[Raw]
    segmentations: list[Raw]

    @classmethod
    def of(cls, records: Sequence[Optional[AnnotationRecord]]) -> Annotations:
        rows = [record or AnnotationRecord() for record in records]
        return cls(
            *int_column([row.id for row in rows]),
            *int_column([row.image_id for row in rows]),
            *int_column([row.category_id for row in rows]),
            *int_column([row.iscrowd for row in rows]),
            areas=float_column([row.area for row in rows]),
            usable=np.fromiter((record is not None for record in records), bool, len(records)),
            boxes=[row.bbox for row in rows],
            segmentations=[row.segmentation for row in rows],
        )

    @property
    def count(self) -> int:
        return len(self.ids)


@dataclass
class PanopticAnnotations:
    """The table of a panoptic file's annotations, one an image: ids of the images, names of the PNGs."""

    image_ids: np.ndarray
    has_image_id: np.ndarray
    names: list[Optional[str]]
    usable: np.ndarray
    has_segments: np.ndarray

    @classmethod
    def of(cls, records: Sequence[Optional[PanopticRecord]]) -> PanopticAnnotations:
        rows = [record or PanopticRecord() for record in records]
        image_ids, has_image_id = int_column([row.image_id for row in rows])
        names: list[Optional[str]] = [row.file_name if isinstance(row.file_name, str) else None for row in rows]
        usable = np.fromiter((record is not None for record in records), bool, len(rows))
        has_segments = np.fromiter((row.segments_info is not UNSET for row in rows), bool, len(rows))
        return cls(image_ids, has_image_id, names, usable, has_segments)

    @property
    def count(self) -> int:
        return len(self.image_ids)


@dataclass
class Segments:
    """All segments of a panoptic file.

    Attributes:
        entry: row of the entry each belongs to; ``place``: its index in ``segments_info``.
        ids, has_id; category_ids, has_category_id; crowd, has_crowd: ``(N,)`` int64, bool.
        areas: ``(N,)`` float64, NaN where absent. boxes: ``(N, 4)`` float64, NaN where absent or no box.
    """

    entry: np.ndarray
    place: np.ndarray
    ids: np.ndarray
    has_id: np.ndarray
    category_ids: np.ndarray
    has_category_id: np.ndarray
    crowd: np.ndarray
    has_crowd: np.ndarray
    areas: np.ndarray
    boxes: np.ndarray

    @classmethod
    def of(cls, records: Sequence[Optional[PanopticRecord]]) -> Segments:
        lists = [
            record.segments_info if record is not None and isinstance(record.segments_info, list) else []
            for record in records
        ]
        counts = np.fromiter(map(len, lists), np.int64, len(lists))
        rows = [segment for segments in lists for segment in segments]
        entry = np.repeat(np.arange(len(lists)), counts)
        place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        return cls(
            entry,
            place,
            *int_column([row.id for row in rows]),
            *int_column([row.category_id for row in rows]),
            *int_column([row.iscrowd for row in rows]),
            areas=float_column([row.area for row in rows]),
            boxes=boxes_of([row.bbox for row in rows]),
        )

    @property
    def count(self) -> int:
        return len(self.ids)
