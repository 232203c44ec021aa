"""Records as columns: what rules compare is a NumPy array, not a million objects.

A column of integers ``ids`` has 0 where a value is absent or useless, and ``has_id`` says where it is there. ``usable``
is False where an element is not an object.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from operator import attrgetter, is_not
from typing import Any, List, Optional, Tuple

import msgspec
import numpy as np
from msgspec import UNSET, Raw

from seg2knet.dataset.coco_json import AnnotationRecord, CategoryRecord, ImageRecord, PanopticRecord
from seg2knet.dataset.geometry import MAX_COORDINATE
from seg2knet.validators.subjects.outlines import numbers_of
from seg2knet.validators.subjects.records import loads


def _column(rows: Sequence[Any], name: str, absent: float = 0, kind: Any = np.int64) -> tuple[np.ndarray, np.ndarray]:
    """A field, ``absent`` where ``UNSET``, ``(N,)``; and whether it was there, ``(N,)`` bool."""
    values = list(map(attrgetter(name), rows))
    try:
        return np.fromiter(values, kind, len(values)), np.ones(len(values), bool)
    except TypeError:
        there = np.fromiter((value is not UNSET for value in values), bool, len(values))
        return np.fromiter((absent if value is UNSET else value for value in values), kind, len(values)), there


def _names(records: Sequence[Any]) -> list[Optional[str]]:
    return [record.file_name if isinstance(record.file_name, str) else None for record in records]


def array_of(raws: Sequence[Raw]) -> bytes:
    """The values as one JSON array."""
    return b"[%b]" % b",".join(raws)


def boxes_in(text: bytes) -> np.ndarray:
    """The boxes of a JSON array, ``(N, 4)`` float64, cut at ``MAX_COORDINATE``; NaN where there is none, or what is
    there is not four finite numbers."""
    rows: Sequence[Sequence[float]]
    try:
        rows = msgspec.json.decode(text, type=List[Tuple[float, float, float, float]])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        found = (numbers_of(loads(raw)) for raw in msgspec.json.decode(text, type=List[Raw]))
        rows = [row if row is not None and len(row) == 4 else [math.nan] * 4 for row in found]
    boxes = np.fromiter(chain.from_iterable(rows), np.float64, 4 * len(rows)).reshape(-1, 4)
    boxes[~np.isfinite(boxes).all(axis=1)] = np.nan
    return np.clip(boxes, -MAX_COORDINATE, MAX_COORDINATE)


class Index:
    """From ids to rows; the first row where an id is there twice, -1 where there is none."""

    def __init__(self, ids: np.ndarray, there: np.ndarray) -> None:
        rows = np.flatnonzero(there)
        self._rows = rows[np.argsort(ids[rows], kind="stable")]
        self._ids = ids[self._rows]

    def rows(self, ids: np.ndarray) -> np.ndarray:
        if not len(self._ids):
            return np.full(len(ids), -1, np.int64)
        # The left-most of equal ids is the first row, for the sort is stable.
        places = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
        return np.where(self._ids[places] == ids, self._rows[places], -1)

    def row(self, an_id: int) -> int:
        return int(self.rows(np.array([an_id], np.int64))[0])


class _Table:
    def __init__(self, records: Sequence[Any]) -> None:
        self.usable = np.fromiter(map(partial(is_not, None), records), bool, len(records))

    @property
    def count(self) -> int:
        return len(self.usable)


class _Objects(_Table):
    """What annotations and segments have in common; areas are NaN where absent."""

    def __init__(self, records: Sequence[Any], rows: Sequence[Any]) -> None:
        super().__init__(records)
        self.ids, self.has_id = _column(rows, "id")
        self.category_ids, self.has_category_id = _column(rows, "category_id")
        self.crowd, self.has_crowd = _column(rows, "iscrowd")
        self.areas, _ = _column(rows, "area", np.nan, np.float64)


class Images(_Table):
    """The table of images; widths and heights are 0 where absent or below 1."""

    def __init__(self, records: Sequence[Optional[ImageRecord]]) -> None:
        super().__init__(records)
        rows = [record or ImageRecord() for record in records]
        self.ids, self.has_id = _column(rows, "id")
        self.names = _names(rows)
        self.widths, self.heights = (np.maximum(_column(rows, side)[0], 0) for side in ("width", "height"))
        self.index = Index(self.ids, self.has_id)


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
        values = msgspec.structs.asdict(record or CategoryRecord())
        there = {key: None if value is UNSET else value for key, value in values.items()}
        return cls(index, **there, usable=record is not None)


class Annotations(_Objects):
    """The table of annotations; boxes and segmentations: unread views into the file's text, ``null`` where absent."""

    def __init__(self, records: Sequence[Optional[AnnotationRecord]]) -> None:
        rows = [record or AnnotationRecord() for record in records]
        super().__init__(records, rows)
        self.image_ids, self.has_image_id = _column(rows, "image_id")
        self.boxes = list(map(attrgetter("bbox"), rows))
        self.segmentations = list(map(attrgetter("segmentation"), rows))


class PanopticAnnotations(_Table):
    """The table of a panoptic file's annotations, one an image: ids of the images, names of the PNGs."""

    def __init__(self, records: Sequence[Optional[PanopticRecord]]) -> None:
        super().__init__(records)
        rows = [record or PanopticRecord() for record in records]
        self.image_ids, self.has_image_id = _column(rows, "image_id")
        self.names = _names(rows)


class Segments(_Objects):
    """All segments of a panoptic file: ``entry`` is the row of the annotation each belongs to, ``place`` its index
    there; boxes, ``(N, 4)``, are NaN where absent."""

    def __init__(self, records: Sequence[Optional[PanopticRecord]]) -> None:
        given = (record.segments_info if record is not None else UNSET for record in records)
        lists = [segments if isinstance(segments, list) else [] for segments in given]
        counts = np.fromiter(map(len, lists), np.int64, len(lists))
        rows = [segment for segments in lists for segment in segments]
        super().__init__(rows, rows)
        self.entry = np.repeat(np.arange(len(lists)), counts)
        self.place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        self.boxes = boxes_in(array_of([row.bbox for row in rows]))
