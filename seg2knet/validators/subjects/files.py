"""Annotation files as rules see them: columns, whatever the state of the file. Nothing here raises for bad data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, List, Optional, TypeVar, Union

import msgspec
import numpy as np
from msgspec import Raw, Struct

from seg2knet.dataset.coco_json import AnnotationRecord, ImageRecord, PanopticRecord, SegmentRecord
from seg2knet.validators.model import Edit, Hit
from seg2knet.validators.subjects.document import RawDict
from seg2knet.validators.subjects.json_file import KEYS, JsonFile
from seg2knet.validators.subjects.measure import Shapes, measure, shape_in
from seg2knet.validators.subjects.outlines import Shape
from seg2knet.validators.subjects.records import (
    ANNOTATION,
    SEGMENT,
    Schema,
    as_image_ref,
    as_text,
    loads,
    read_array,
    read_leniently,
    read_records,
)
from seg2knet.validators.subjects.tables import Annotations, PanopticAnnotations, Segments

T = TypeVar("T")


class _Whole(Struct, gc=False):
    """A sound instance file, read in one go."""

    images: List[ImageRecord]
    annotations: List[AnnotationRecord]
    categories: List[Raw]


class _WholePanoptic(Struct, gc=False):
    images: List[ImageRecord]
    annotations: List[PanopticRecord]
    categories: List[Raw]


class CocoFile(JsonFile):
    """An instance file.

    Attributes:
        annotations: the table; ``image_rows`` and the shapes' measures are worked out when asked for.
    """

    _whole = _Whole
    _own_keys = ("iscrowd", "image_id", "category_id", "area", "bbox", "segmentation")
    annotations: Annotations

    def _read_records(self, elements: Sequence[Raw]) -> Sequence[Any]:
        return list(read_records(elements, ANNOTATION, "/annotations", self.reading))

    def _read_rows(self, rows: Sequence[Any]) -> None:
        self.annotations = Annotations.of(rows)

    @property
    def _referring(self) -> Any:
        return self.annotations

    @property
    def _category_references(self) -> Iterable[int]:
        return np.unique(self.annotations.category_ids[self.annotations.has_category_id]).tolist()

    @cached_property
    def image_rows(self) -> np.ndarray:
        """For each annotation the row of its image, ``(N,)`` int64, -1 for none."""
        table = self.annotations
        return np.where(table.has_image_id, self.images.index.rows(table.image_ids), -1)

    @cached_property
    def category_indices(self) -> np.ndarray:
        """For each annotation the index of its category, ``(N,)`` int64, -1 for none."""
        table = self.annotations
        known, inverse = np.unique(table.category_ids, return_inverse=True)
        places = np.array([self.category_index(int(each)) for each in known] or [-1], np.int64)
        return np.where(table.has_category_id, places[inverse] if len(known) else -1, -1)

    @cached_property
    def shapes(self) -> Shapes:
        """What the segmentations and boxes measure."""
        rows, count = self.image_rows, self.images.count
        heights = np.where(rows >= 0, self.images.heights[rows], 0) if count else np.zeros(len(rows), np.int64)
        widths = np.where(rows >= 0, self.images.widths[rows], 0) if count else np.zeros(len(rows), np.int64)
        shapes = measure(self.annotations, heights, widths, self.jobs)
        self.document.release()
        return shapes

    def once(self, function: Callable[[CocoFile], T]) -> T:
        """What a function says of the file, worked out the first time it is asked."""
        if function not in self._known:
            self._known[function] = function(self)
        return self._known[function]

    @cached_property
    def _known(self) -> dict[Any, Any]:
        return {}

    @property
    def boxes(self) -> np.ndarray:
        """``(N, 4)`` float64 as they stand, NaN where absent or malformed."""
        return self.shapes.boxes

    def segmentation(self, row: int) -> Any:
        """An annotation's segmentation as Python objects, ``None`` where absent."""
        raw = self.annotations.segmentations[row]
        return loads(raw) if memoryview(raw).nbytes else None

    def shape(self, row: int) -> Shape:
        """An annotation's segmentation, read leniently: polygons, a run-length code, or ``None``."""
        raw = self.annotations.segmentations[row]
        return shape_in(raw)[0] if memoryview(raw).nbytes else None

    def bbox(self, row: int) -> Any:
        raw = self.annotations.boxes[row]
        return loads(raw) if memoryview(raw).nbytes else None

    def hit(
        self,
        row: int,
        message: str,
        at: str = "",
        *,
        edits: Union[Sequence[Edit], Callable[[], Sequence[Edit]]] = (),
        **more: Any,
    ) -> Hit:
        """A hit at an annotation, or at its key ``at``."""
        table = self.annotations
        return Hit(
            message,
            self.path,
            f"/annotations/{row}" + (f"/{at}" if at else ""),
            image_id=self.shown_id(table.image_ids, table.has_image_id, row),
            image_name=self.image_name(int(self.image_rows[row])),
            annotation_id=self.shown_id(table.ids, table.has_id, row),
            edits=edits,
            **more,
        )

    @cached_property
    def needs_id(self) -> np.ndarray:
        """Whether an annotation needs another id: none, one that is not a number, 0, or one an earlier one has."""
        table = self.annotations
        first = table.has_id & (table.ids != 0)
        rows = np.flatnonzero(first)
        _, places = np.unique(table.ids[rows], return_index=True)
        good = np.zeros(table.count, bool)
        good[rows[places]] = True
        return ~good & table.usable

    @cached_property
    def fresh_ids(self) -> dict[int, int]:
        """Row -> a new id, for the annotations that need one: counted on from the largest."""
        table = self.annotations
        largest = int(table.ids[table.has_id].max(initial=0))
        return {int(row): largest + 1 + place for place, row in enumerate(np.flatnonzero(self.needs_id))}

    def category_pointers(self, category_ids: Iterable[int]) -> Iterator[tuple[str, int]]:
        """Where objects refer to these categories: pointer and id."""
        table = self.annotations
        for row in np.flatnonzero(table.has_category_id & np.isin(table.category_ids, list(category_ids))).tolist():
            yield f"/annotations/{row}/category_id", int(table.category_ids[row])


class PanopticFile(JsonFile):
    """A panoptic file: ``entries``, one an image, and their ``segments``."""

    _whole = _WholePanoptic
    entries: PanopticAnnotations
    segments: Segments

    def _read_records(self, elements: Sequence[Raw]) -> Sequence[Any]:
        decoder = msgspec.json.Decoder(PanopticRecord)
        records: list[Optional[PanopticRecord]] = []
        for row, raw in enumerate(elements):
            record: Optional[PanopticRecord] = None
            try:
                record = decoder.decode(raw)
                Segments.of([record])
                PanopticAnnotations.of([record])
            except (msgspec.MsgspecError, UnicodeDecodeError, OverflowError):
                record = self._entry(raw, f"/annotations/{row}")
            records.append(record)
        return records

    def _entry(self, raw: Raw, pointer: str) -> Optional[PanopticRecord]:
        schema = Schema(PanopticRecord, {"image_id": as_image_ref, "file_name": as_text})
        record = read_leniently(raw, schema, pointer, self.reading)
        if record is None:
            return None
        parts = msgspec.json.decode(raw, type=RawDict)
        if "segments_info" in parts:
            elements = read_array(parts["segments_info"], f"{pointer}/segments_info", self.reading)
            if elements is not None:
                rows = read_records(elements, SEGMENT, f"{pointer}/segments_info", self.reading)
                record.segments_info = [row or SegmentRecord() for row in rows]
        return record

    def _read_rows(self, rows: Sequence[Any]) -> None:
        self.entries = PanopticAnnotations.of(rows)
        self.segments = Segments.of(rows)

    @property
    def _referring(self) -> Any:
        return self.entries

    @property
    def _category_references(self) -> Iterable[int]:
        return np.unique(self.segments.category_ids[self.segments.has_category_id]).tolist()

    @cached_property
    def image_rows(self) -> np.ndarray:
        """For each entry the row of its image, -1 for none."""
        return np.where(self.entries.has_image_id, self.images.index.rows(self.entries.image_ids), -1)

    def segment_pointer(self, segment: int) -> str:
        return f"/annotations/{self.segments.entry[segment]}/segments_info/{self.segments.place[segment]}"

    def entry_hit(self, entry: int, message: str, at: str = "", **more: Any) -> Hit:
        """A hit at an image's entry, or at its key ``at``."""
        return Hit(
            message,
            self.path,
            f"/annotations/{entry}" + (f"/{at}" if at else ""),
            image_id=self.shown_id(self.entries.image_ids, self.entries.has_image_id, entry),
            image_name=self.image_name(int(self.image_rows[entry])) or self.entries.names[entry],
            **more,
        )

    def category_pointers(self, category_ids: Iterable[int]) -> Iterator[tuple[str, int]]:
        """Where segments refer to these categories: pointer and id."""
        table = self.segments
        for row in np.flatnonzero(table.has_category_id & np.isin(table.category_ids, list(category_ids))).tolist():
            yield f"{self.segment_pointer(row)}/category_id", int(table.category_ids[row])

    def segment_hit(self, segment: int, message: str, at: str = "", **more: Any) -> Hit:
        """A hit at a segment, or at its key ``at``; ``annotation_id`` is the segment's id."""
        place = f"segments_info/{self.segments.place[segment]}" + (f"/{at}" if at else "")
        own = self.shown_id(self.segments.ids, self.segments.has_id, segment)
        return self.entry_hit(int(self.segments.entry[segment]), message, place, annotation_id=own, **more)


__all__ = ["KEYS", "CocoFile", "JsonFile", "PanopticFile"]
