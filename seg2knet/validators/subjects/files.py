"""Annotation files as rules see them: columns, whatever the state of the file. Nothing here raises for bad data."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, List, Optional, TypeVar

import msgspec
import numpy as np
from msgspec import Raw, Struct

from seg2knet.dataset.coco_json import LISTS, ImageRecord
from seg2knet.validators.model import Hit
from seg2knet.validators.subjects import records
from seg2knet.validators.subjects.document import Fault, JsonText, RawDict
from seg2knet.validators.subjects.measure import Shapes, measure, shapes_in
from seg2knet.validators.subjects.outlines import Shape
from seg2knet.validators.subjects.records import ANNOTATION, PANOPTIC, WORD_IDS, Reading, Schema, loads, read_array
from seg2knet.validators.subjects.tables import Annotations, Category, Images, PanopticAnnotations, Segments, array_of

if TYPE_CHECKING:
    from seg2knet.validators.subjects.data import Part

_SMALL_TEXT = 16 << 20
T = TypeVar("T")
Owner = TypeVar("Owner")
Record = TypeVar("Record")


def once(owner: Owner, function: Callable[[Owner], T]) -> T:
    """What a function says of its only argument, worked out the first time it is asked."""
    known = vars(owner).setdefault("_known", {})
    if function not in known:
        known[function] = function(owner)
    return known[function]


class _Whole(Struct, Generic[Record], gc=False):
    """A sound file, read in one go."""

    images: List[ImageRecord]
    annotations: List[Record]
    categories: List[Raw]


class JsonFile(ABC):
    """The images, categories and annotations of a file, and what is wrong with its JSON.

    Attributes:
        document: its text. part: the split it belongs to. reading: values of the wrong type.
        has: which of the three top-level keys are there with an array under them.
        keys: all top-level keys; ``None`` where the file's top is not an object (or no JSON), with ``top`` saying what.
        referring: the table whose rows refer to images. objects: the one whose rows refer to categories.
    """

    schema: Schema
    referring: Any
    objects: Any
    _own_keys: tuple[str, ...] = ("segments_info", "image_id")
    """Keys that an annotation has once, and nothing else in the file; of a large file only the first is counted."""

    def __init__(self, path: Path, content: Optional[Path] = None, jobs: int = 1) -> None:
        """``content``: a file to read in its place; ``jobs``: how many processes may read it."""
        self.path = path
        self.jobs = jobs
        self.part: Optional[Part] = None
        self.document = JsonText(path, content)
        self.reading = Reading()
        self.has = dict.fromkeys(LISTS, False)
        self.keys: Optional[list[str]] = None
        self.top = ""
        self.images = Images([])
        self.categories: list[Category] = []
        self._read_rows([])
        if len(self.document.text):
            self._read()
            self.document.release()

    @property
    def faults(self) -> list[Fault]:
        return self.document.faults

    @cached_property
    def fault_pointers(self) -> set[str]:
        """Where values of the wrong type are."""
        return {fault.pointer for fault in self.reading.faults}

    def _read(self) -> None:
        try:
            whole = self.document.decode(_Whole[self.schema.kind])  # type: ignore[name-defined]
            self.images = Images(whole.images)
            self._read_rows(whole.annotations)
            self._read_categories(whole.categories)
            self.has = dict.fromkeys(LISTS, True)
            self.keys = list(LISTS)
        except (msgspec.ValidationError, OverflowError, UnicodeDecodeError):
            self._read_leniently()
        except (msgspec.DecodeError, RecursionError) as error:
            self.document.refuse(error)

    def _read_leniently(self) -> None:
        self.reading = Reading()
        try:
            top = self.document.decode(RawDict)
        except msgspec.ValidationError:
            first = bytes(self.document.text[:4096]).lstrip()[:1]
            self.top = {b"[": "an array", b'"': "a string"}.get(first, "not an object")
            return
        except (msgspec.DecodeError, RecursionError) as error:
            self.document.refuse(error)
            return
        self.keys = list(top)
        found = {key: read_array(top[key], f"/{key}", self.reading) if key in top else None for key in LISTS}
        self.has = {key: elements is not None for key, elements in found.items()}
        arrays = {key: elements or [] for key, elements in found.items()}
        self._read_categories(arrays["categories"])
        self.images = Images(records.read_records(arrays["images"], records.IMAGE, "/images", self.reading))
        self._read_rows(records.read_records(arrays["annotations"], self.schema, "/annotations", self.reading))

    def _read_categories(self, elements: Sequence[Raw]) -> None:
        self._category_texts = list(elements)
        read = records.read_records(elements, records.CATEGORY, "/categories", self.reading)
        self.categories = [Category.of(index, record) for index, record in enumerate(read)]

    @abstractmethod
    def _read_rows(self, rows: Sequence[Any]) -> None:
        """Make the tables of the file's annotations."""

    def pointer(self, row: int) -> str:
        """Where a row of ``objects`` stands."""
        return f"/annotations/{row}"

    # Questions that rules ask.

    @cached_property
    def image_rows(self) -> np.ndarray:
        """For each annotation the row of its image, ``(N,)`` int64, -1 for none."""
        return np.where(self.referring.has_image_id, self.images.index.rows(self.referring.image_ids), -1)

    @cached_property
    def category_indices(self) -> np.ndarray:
        """For each object the index of its category, ``(N,)`` int64, -1 for none."""
        known, inverse = np.unique(self.objects.category_ids, return_inverse=True)
        places = np.array([*map(self.category_index, known.tolist())], np.int64)
        return np.where(self.objects.has_category_id, places[inverse], -1)

    def category_pointers(self, category_ids: Iterable[int]) -> Iterator[tuple[str, int]]:
        """Where objects refer to these categories: pointer and id."""
        table = self.objects
        for row in np.flatnonzero(table.has_category_id & np.isin(table.category_ids, list(category_ids))).tolist():
            yield f"{self.pointer(row)}/category_id", int(table.category_ids[row])

    @cached_property
    def category_places(self) -> dict[int, int]:
        """Category id -> the first index with it."""
        return {category.id: category.index for category in reversed(self.categories) if category.id is not None}

    def category_index(self, category_id: int) -> int:
        return self.category_places.get(category_id, -1)

    def raw_category(self, index: int) -> dict[str, Any]:
        """A category with all its keys, as it stands in the file."""
        value = loads(self._category_texts[index])
        return value if isinstance(value, dict) else {}

    def image_name(self, row: int) -> Optional[str]:
        return self.images.names[row] if row >= 0 else None

    def hit_at(self, place: str, message: str, at: str = "", **more: Any) -> Hit:
        """A hit at a place in the file, or at its key ``at``; ``more`` as in ``Hit``."""
        return Hit(message, self.path, f"{place}/{at}" if at else place, **more)

    def hit(self, row: int, message: str, at: str = "", **more: Any) -> Hit:
        """A hit at an annotation (of a panoptic file: an image's entry), or at its key ``at``."""
        table, name = self.referring, self.image_name(int(self.image_rows[row]))
        known = {"image_id": self.shown_id(table.image_ids, table.has_image_id, row), "image_name": name}
        return self.hit_at(f"/annotations/{row}", message, at, **{**known, **more})

    def image_hit(self, row: int, message: str, at: str = "", **more: Any) -> Hit:
        shown_id = self.shown_id(self.images.ids, self.images.has_id, row)
        return self.hit_at(f"/images/{row}", message, at, image_id=shown_id, image_name=self.images.names[row], **more)

    def category_hit(self, category: Category, message: str, at: str = "", **more: Any) -> Hit:
        return self.hit_at(f"/categories/{category.index}", message, at, **more)

    def shown_id(self, ids: np.ndarray, there: np.ndarray, row: int) -> Any:
        """An id as it stands in the file: the word where it is one."""
        return self.as_written(int(ids[row])) if row >= 0 and there[row] else None

    def as_written(self, number: int) -> Any:
        if number < WORD_IDS:
            return number
        words = [*self.reading.image_words.items(), *self.reading.category_words.items()]
        return next((word for word, value in words if value == number), number)

    def repeated_keys(self) -> Iterator[tuple[str, str]]:
        """(pointer of the object, key) where the top level or an annotation has a key twice."""
        text = self.document.text
        # A top-level key twice is a whole array twice: of a large file the objects' one key tells it too.
        top, own = (LISTS, self._own_keys) if len(text) < _SMALL_TEXT else ((), self._own_keys[:1])
        times = Counter(re.findall(b'"(%b)"' % b"|".join(key.encode() for key in (*top, *own)), text))
        more = any(times[key.encode()] > self.referring.count for key in own)
        if any(times[key.encode()] > 1 for key in top) or (more and not top):
            yield from (("", key) for key in _twice(bytes(text)))
        if more and self.has["annotations"]:
            elements = msgspec.json.decode(self.document.decode(RawDict)["annotations"], type=List[Raw])
            for row, element in enumerate(elements):
                if any(bytes(element).count(b'"%b"' % key.encode()) > 1 for key in self._own_keys):
                    yield from ((f"/annotations/{row}", key) for key in _twice(bytes(element)))

    @cached_property
    def largest_image_id(self) -> int:
        """The largest number that is an image's id or that an annotation refers to: new ids lie beyond it."""
        table = self.referring
        return _largest(self.images.ids[self.images.has_id], table.image_ids[table.has_image_id])

    @cached_property
    def largest_category_id(self) -> int:
        return _largest([*self.category_places], self.objects.category_ids[self.objects.has_category_id])

    def number_of(self, word: str, pointer: str) -> Optional[int]:
        """The number that is to replace an id that is a word: beyond every id and reference; ``None`` for a reference
        to a word that no image or category has."""
        if "category" in pointer or pointer.startswith("/categories/"):
            number = self.reading.category_words[word]
            return self.largest_category_id + 1 + number - WORD_IDS if number in self.category_places else None
        number = self.reading.image_words[word]
        return self.largest_image_id + 1 + number - WORD_IDS if self.images.index.row(number) >= 0 else None


def _largest(*ids: Any) -> int:
    """The largest id that is written as a number, at least 0."""
    numbers = np.concatenate([np.asarray(some, np.int64) for some in ids])
    return int(numbers[numbers < WORD_IDS].max(initial=0))


def _twice(text: bytes) -> list[str]:
    """The keys that the outermost object of a JSON text has twice."""
    keys: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        keys[:] = [key for key, _ in pairs]  # the outermost comes last

    json.loads(text, object_pairs_hook=note, parse_int=float)
    return [key for key, times in Counter(keys).items() if times > 1]


class CocoFile(JsonFile):
    """An instance file: its ``annotations``; what refers to what, and shapes' measures, are worked out on demand."""

    schema = ANNOTATION
    _own_keys = ("iscrowd", "image_id", "category_id", "area", "bbox", "segmentation")
    annotations: Annotations

    def _read_rows(self, rows: Sequence[Any]) -> None:
        self.annotations = self.referring = self.objects = Annotations(rows)

    @cached_property
    def sizes(self) -> np.ndarray:
        """Height and width of each annotation's image, ``(N, 2)`` int64, 0 where they are not known."""
        images = self.images
        return np.append(np.stack([images.heights, images.widths], 1), [[0, 0]], 0)[self.image_rows]

    @cached_property
    def shapes(self) -> Shapes:
        shapes = measure(self.annotations, self.sizes, self.jobs)
        self.document.release()
        return shapes

    def segmentation(self, row: int) -> Any:
        """An annotation's segmentation as Python objects, ``None`` where absent."""
        return loads(self.annotations.segmentations[row])

    def outlines(self, rows: Iterable[int]) -> list[Shape]:
        """Segmentations of annotations, read leniently: polygons, a run-length code, or ``None``."""
        return shapes_in(array_of([self.annotations.segmentations[row] for row in rows]))[0]

    def bbox(self, row: int) -> Any:
        return loads(self.annotations.boxes[row])

    def hit(self, row: int, message: str, at: str = "", **more: Any) -> Hit:
        own = self.shown_id(self.annotations.ids, self.annotations.has_id, row)
        return super().hit(row, message, at, annotation_id=own, **more)

    @cached_property
    def fresh_ids(self) -> dict[int, int]:
        """Row -> a new id, counted on from the largest, for each annotation that needs one: it has none, one that is
        not a number, 0, or one that an earlier annotation has."""
        table = self.annotations
        rows = np.flatnonzero(table.has_id & (table.ids != 0))
        good = np.zeros(table.count, bool)
        good[rows[np.unique(table.ids[rows], return_index=True)[1]]] = True
        largest = int(table.ids[table.has_id].max(initial=0))
        return {row: largest + 1 + place for place, row in enumerate(np.flatnonzero(~good & table.usable).tolist())}


class PanopticFile(JsonFile):
    """A panoptic file: ``entries``, one an image, and their ``segments``."""

    schema = PANOPTIC
    entries: PanopticAnnotations
    segments: Segments

    def _read_rows(self, rows: Sequence[Any]) -> None:
        self.entries = self.referring = PanopticAnnotations(rows)
        self.segments = self.objects = Segments(rows)

    def pointer(self, row: int) -> str:
        return f"/annotations/{self.segments.entry[row]}/segments_info/{self.segments.place[row]}"

    def hit(self, row: int, message: str, at: str = "", **more: Any) -> Hit:
        name = self.image_name(int(self.image_rows[row])) or self.entries.names[row]
        return super().hit(row, message, at, image_name=name, **more)

    def segment_hit(self, segment: int, message: str, at: str = "", **more: Any) -> Hit:
        """A hit at a segment, or at its key ``at``; ``annotation_id`` is the segment's id."""
        place = f"segments_info/{self.segments.place[segment]}" + (f"/{at}" if at else "")
        own = self.shown_id(self.segments.ids, self.segments.has_id, segment)
        return self.hit(int(self.segments.entry[segment]), message, place, annotation_id=own, **more)
