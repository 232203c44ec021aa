"""Annotation files as rules see them: columns, whatever the state of the file. Nothing here raises for bad data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, List, Optional, TypeVar, Union

import msgspec
import numpy as np
from msgspec import UNSET, Raw, Struct

from seg2knet.validators.document import Document, Fault, RawDict
from seg2knet.validators.model import Edit, Hit
from seg2knet.validators.records import (
    ANNOTATION,
    CATEGORY,
    IMAGE,
    SEGMENT,
    WORD_IDS,
    AnnotationRecord,
    EntryRecord,
    ImageRecord,
    Reading,
    Schema,
    SegmentRecord,
    as_image_ref,
    as_text,
    loads,
    read_array,
    read_leniently,
    read_records,
)
from seg2knet.validators.tables import (
    Annotations,
    Category,
    Entries,
    Images,
    Segments,
    float_column,
    int_column,
)

if TYPE_CHECKING:
    from seg2knet.validators.data import Part
    from seg2knet.validators.measure import Shapes

KEYS = ("images", "annotations", "categories")
T = TypeVar("T")


class _Whole(Struct, gc=False):
    """A sound instance file, read in one go."""

    images: List[ImageRecord]
    annotations: List[AnnotationRecord]
    categories: List[Raw]


class _WholePanoptic(Struct, gc=False):
    images: List[ImageRecord]
    annotations: List[EntryRecord]
    categories: List[Raw]


class JsonFile:
    """What instance and panoptic files have in common: images, categories, and what is wrong with the JSON.

    Attributes:
        path: the file. document: its text. part: the split it belongs to.
        images, categories: the tables.
        has: which of the three top-level keys are there with an array under them.
        keys: all top-level keys; ``None`` where the file's top is no object (or no JSON), with ``top`` saying what.
        reading: values of the wrong type.
    """

    def __init__(self, path: Path, content: Optional[Path] = None) -> None:
        self.path = path
        self.part: Optional[Part] = None
        self.document = Document(path, content)
        self.reading = Reading()
        self.has = dict.fromkeys(KEYS, False)
        self.keys: Optional[list[str]] = None
        self.top = ""
        self.images = Images.of([])
        self.categories: list[Category] = []
        self._read_rows([])
        if self.document.readable:
            self._read()
            self.document.release()

    @property
    def faults(self) -> list[Fault]:
        return self.document.faults

    _whole: type[Struct] = _Whole

    def _read(self) -> None:
        try:
            whole = self.document.decode(self._whole)
            self._take(whole.images, whole.annotations)
            self._read_categories(whole.categories)
            self.has = dict.fromkeys(KEYS, True)
            self.keys = list(KEYS)
        except (msgspec.ValidationError, OverflowError, UnicodeDecodeError):
            self._read_by_goodwill()
        except (msgspec.DecodeError, RecursionError) as error:
            self.document.refuse(error)

    def _take(self, images: Sequence[Optional[ImageRecord]], rows: Sequence[Any]) -> None:
        self.images = Images.of(images)
        self._read_rows(rows)

    def _read_by_goodwill(self) -> None:
        self.reading = Reading()
        try:
            top = self.document.decode(RawDict)
        except (msgspec.DecodeError, RecursionError) as error:
            self._refuse_top(error)
            return
        self.keys = list(top)
        arrays = {}
        for key in KEYS:
            elements = read_array(top[key], f"/{key}", self.reading) if key in top else None
            self.has[key] = elements is not None
            arrays[key] = elements or []
        self._read_categories(arrays["categories"])
        images = list(read_records(arrays["images"], IMAGE, "/images", self.reading))
        self._take(images, self._records_by_goodwill(arrays["annotations"]))

    def _refuse_top(self, error: Exception) -> None:
        if isinstance(error, msgspec.ValidationError):
            first = bytes(self.document.text[:4096]).lstrip()[:1]
            self.top = {b"[": "an array", b'"': "a string"}.get(first, "no object")
        else:
            self.document.refuse(error)

    def _read_categories(self, elements: Sequence[Raw]) -> None:
        self._category_texts = list(elements)
        records = list(read_records(elements, CATEGORY, "/categories", self.reading))
        self.categories = [Category.of(index, record) for index, record in enumerate(records)]

    def _records_by_goodwill(self, elements: Sequence[Raw]) -> Sequence[Any]:
        raise NotImplementedError

    def _read_rows(self, rows: Sequence[Any]) -> None:
        raise NotImplementedError

    # Questions that rules ask.

    def category_pointers(self, category_ids: Iterable[int]) -> Iterator[tuple[str, int]]:
        raise NotImplementedError

    def image_row(self, image_id: int) -> int:
        """The first row with that id, or -1."""
        return self.images.index.row(image_id)

    @cached_property
    def category_places(self) -> dict[int, int]:
        """Category id -> the first index with it."""
        places: dict[int, int] = {}
        for category in self.categories:
            if category.id is not None:
                places.setdefault(category.id, category.index)
        return places

    def raw_category(self, index: int) -> dict[str, Any]:
        """A category with all its keys, as it stands in the file."""
        value = loads(self._category_texts[index])
        return value if isinstance(value, dict) else {}

    def category_index(self, category_id: int) -> int:
        """The first category with that id, or -1."""
        return self.category_places.get(category_id, -1)

    def image_name(self, row: int) -> Optional[str]:
        return self.images.names[row] if row >= 0 else None

    def image_hit(self, row: int, message: str, at: str = "", **more: Any) -> Hit:
        """A hit at an image, or at its key ``at``."""
        return Hit(
            message,
            self.path,
            f"/images/{row}" + (f"/{at}" if at else ""),
            image_id=self.shown_id(self.images.ids, self.images.has_id, row),
            image_name=self.images.names[row],
            **more,
        )

    def category_hit(self, category: Category, message: str, at: str = "", **more: Any) -> Hit:
        return Hit(message, self.path, f"/categories/{category.index}" + (f"/{at}" if at else ""), **more)

    def shown_id(self, ids: np.ndarray, there: np.ndarray, row: int) -> Any:
        """An id as it stands in the file: the word where it is one."""
        if row < 0 or not there[row]:
            return None
        return self.as_written(int(ids[row]))

    def as_written(self, number: int) -> Any:
        if number < WORD_IDS:
            return number
        for words in (self.reading.image_words, self.reading.category_words):
            for word, value in words.numbers.items():
                if value == number:
                    return word
        return number

    def number_of(self, word: str, pointer: str) -> int:
        """The number that is to replace an id that is a word: after the largest that is there."""
        of_category = "category" in pointer or pointer.startswith("/categories/")
        words = self.reading.category_words if of_category else self.reading.image_words
        if of_category:
            real = [category.id for category in self.categories if category.id is not None and category.id < WORD_IDS]
            largest = max(real, default=0)
        else:
            ids = self.images.ids[self.images.has_id & (self.images.ids < WORD_IDS)]
            largest = int(ids.max(initial=0))
        return max(largest, 0) + 1 + words.numbers[word] - WORD_IDS


class CocoFile(JsonFile):
    """An instance file.

    Attributes:
        annotations: the table; its ``image_rows`` and the shapes' measures are worked out when asked for.
    """

    annotations: Annotations

    def _records_by_goodwill(self, elements: Sequence[Raw]) -> Sequence[Any]:
        return list(read_records(elements, ANNOTATION, "/annotations", self.reading))

    def _read_rows(self, rows: Sequence[Any]) -> None:
        self.annotations = Annotations.of(rows, self.document.text)

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
        from seg2knet.validators.measure import measure

        return measure(self)

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
        text = self.annotations.segmentations[row]
        return loads(text) if text else None

    def bbox(self, row: int) -> Any:
        text = self.annotations.boxes[row]
        return loads(text) if text else None

    def annotation(self, row: int) -> dict[str, Any]:
        """An annotation as a dictionary; what is absent is ``None``."""
        table = self.annotations
        area = float(table.areas[row])
        return {
            "id": self.shown_id(table.ids, table.has_id, row),
            "image_id": self.shown_id(table.image_ids, table.has_image_id, row),
            "category_id": self.shown_id(table.category_ids, table.has_category_id, row),
            "iscrowd": int(table.crowd[row]),
            "area": None if math.isnan(area) else area,
            "bbox": self.bbox(row),
            "segmentation": self.segmentation(row),
        }

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
        """Whether an annotation needs another id: none, one that is no number, 0, or one an earlier one has."""
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
    """A panoptic file: ``entries``, one a picture, and their ``segments``."""

    _whole = _WholePanoptic
    entries: Entries
    segments: Segments

    def _records_by_goodwill(self, elements: Sequence[Raw]) -> Sequence[Any]:
        decoder = msgspec.json.Decoder(EntryRecord)
        records: list[Optional[EntryRecord]] = []
        for row, raw in enumerate(elements):
            record: Optional[EntryRecord] = None
            try:
                record = decoder.decode(raw)
                segments_of([record])
                Entries.of([record])
            except (msgspec.MsgspecError, UnicodeDecodeError, OverflowError):
                record = self._entry(raw, f"/annotations/{row}")
            records.append(record)
        return records

    def _entry(self, raw: Raw, pointer: str) -> Optional[EntryRecord]:
        schema = Schema(EntryRecord, {"image_id": as_image_ref, "file_name": as_text})
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
        self.entries = Entries.of(rows)
        self.segments = segments_of(rows)

    @cached_property
    def image_rows(self) -> np.ndarray:
        """For each entry the row of its image, -1 for none."""
        return np.where(self.entries.has_image_id, self.images.index.rows(self.entries.image_ids), -1)

    def segment_pointer(self, segment: int) -> str:
        return f"/annotations/{self.segments.entry[segment]}/segments_info/{self.segments.place[segment]}"

    def entry_hit(self, entry: int, message: str, at: str = "", **more: Any) -> Hit:
        """A hit at a picture's entry, or at its key ``at``."""
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


def segments_of(records: Sequence[Optional[EntryRecord]]) -> Segments:
    """All entries' segments as columns."""
    lists = [
        record.segments_info if record is not None and isinstance(record.segments_info, list) else []
        for record in records
    ]
    counts = np.fromiter(map(len, lists), np.int64, len(lists))
    rows = [segment for segments in lists for segment in segments]
    ids, has_id = int_column([row.id for row in rows])
    category_ids, has_category_id = int_column([row.category_id for row in rows])
    crowd, has_crowd = int_column([row.iscrowd for row in rows])
    entry = np.repeat(np.arange(len(lists)), counts)
    place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return Segments(
        entry,
        place,
        ids,
        has_id,
        category_ids,
        has_category_id,
        crowd,
        has_crowd,
        float_column([row.area for row in rows]),
        boxes_of([row.bbox for row in rows]),
    )


def boxes_of(raws: Sequence[Raw]) -> np.ndarray:
    """Boxes, ``(N, 4)`` float64; NaN where there is none, or what is there is not four finite numbers."""
    text = b"[" + b",".join([bytes(raw) or b"null" for raw in raws]) + b"]"
    try:
        rows = msgspec.json.decode(text, type=List[Optional[List[float]]])
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


__all__ = ["KEYS", "UNSET", "CocoFile", "JsonFile", "PanopticFile"]
