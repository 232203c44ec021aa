"""Records as columns: what rules compare is a NumPy array, not a million objects.

States of a value: ``OK``, ``MISSING``, ``WRONG`` (it is there and of no use; a ``TypeFault`` says so).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Optional, Union

import numpy as np
from msgspec import UNSET

from seg2knet.dataset.coco_json import AnnotationRecord, CategoryRecord, ImageRecord, PanopticRecord
from seg2knet.validators.subjects.texts import LateTexts, Text, Texts

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
        usable: False where the element is no object.
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


class Columns(NamedTuple):
    """What a table of annotations has in columns; ``Annotations`` says what they are."""

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


def columns_of(rows: Sequence[Any]) -> Columns:
    """Annotations' records, of whatever type, as columns.

    Raises:
        OverflowError: an integer that 64 bits do not hold.
    """
    ids, has_id = int_column([row.id for row in rows])
    image_ids, has_image_id = int_column([row.image_id for row in rows])
    category_ids, has_category_id = int_column([row.category_id for row in rows])
    crowd, has_crowd = int_column([row.iscrowd for row in rows])
    areas = float_column([row.area for row in rows])
    references = (image_ids, has_image_id, category_ids, has_category_id)
    return Columns(ids, has_id, *references, crowd, has_crowd, areas, np.ones(len(rows), bool))


@dataclass
class Annotations:
    """The table of annotations.

    Attributes:
        ids, has_id; image_ids, has_image_id; category_ids, has_category_id: ``(N,)`` int64, bool.
        crowd, has_crowd: ``iscrowd``, ``(N,)`` int64, bool.
        areas: ``(N,)`` float64, NaN where absent.
        usable: False where the element is no object.
        boxes, segmentations: their texts, unread.
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
    boxes: Union[Texts, LateTexts]
    segmentations: Union[Texts, LateTexts]

    @classmethod
    def of(cls, records: Sequence[Optional[AnnotationRecord]], text: Text) -> Annotations:
        rows = [record or AnnotationRecord() for record in records]
        columns = columns_of(rows)
        usable = np.fromiter((record is not None for record in records), bool, len(records))
        boxes = Texts.copied([row.bbox for row in rows])
        segmentations = Texts.found_in(text, [row.segmentation for row in rows])
        return cls(*columns._replace(usable=usable), boxes, segmentations)

    @property
    def count(self) -> int:
        return len(self.ids)


@dataclass
class Entries:
    """The table of a panoptic file's annotations, one a picture: ids of the images, names of the PNGs."""

    image_ids: np.ndarray
    has_image_id: np.ndarray
    names: list[Optional[str]]
    usable: np.ndarray
    has_segments: np.ndarray

    @classmethod
    def of(cls, records: Sequence[Optional[PanopticRecord]]) -> Entries:
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

    @property
    def count(self) -> int:
        return len(self.ids)
