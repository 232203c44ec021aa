"""Annotation files as rules see them: columns, whatever the state of the file. Nothing here raises for bad data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from seg2knet.validators.model import Hit
from seg2knet.validators.subjects.json_file import JsonFile
from seg2knet.validators.subjects.measure import Shapes, measure, shapes_in
from seg2knet.validators.subjects.outlines import Shape
from seg2knet.validators.subjects.records import ANNOTATION, PANOPTIC, loads
from seg2knet.validators.subjects.tables import Annotations, PanopticAnnotations, Segments, array_of

T = TypeVar("T")
Owner = TypeVar("Owner")


def once(owner: Owner, function: Callable[[Owner], T]) -> T:
    """What a function says of its only argument, worked out the first time it is asked."""
    known = vars(owner).setdefault("_known", {})
    if function not in known:
        known[function] = function(owner)
    return known[function]


class CocoFile(JsonFile):
    """An instance file: its ``annotations``; what refers to what, and the shapes' measures, are worked out when asked
    for."""

    schema = ANNOTATION
    _own_keys = ("iscrowd", "image_id", "category_id", "area", "bbox", "segmentation")
    annotations: Annotations

    def _read_rows(self, rows: Sequence[Any]) -> None:
        self.annotations = self.referring = self.objects = Annotations(rows)

    def pointer(self, row: int) -> str:
        return f"/annotations/{row}"

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

    def once(self, function: Callable[[CocoFile], T]) -> T:
        return once(self, function)

    def segmentation(self, row: int) -> Any:
        """An annotation's segmentation as Python objects, ``None`` where absent."""
        return loads(self.annotations.segmentations[row])

    def outlines(self, rows: Iterable[int]) -> list[Shape]:
        """Segmentations of annotations, read leniently: polygons, a run-length code, or ``None``."""
        return shapes_in(array_of([self.annotations.segmentations[row] for row in rows]))[0]

    def bbox(self, row: int) -> Any:
        return loads(self.annotations.boxes[row])

    def hit(self, row: int, message: str, at: str = "", **more: Any) -> Hit:
        """A hit at an annotation, or at its key ``at``."""
        table = self.annotations
        ids = {
            "image_id": self.shown_id(table.image_ids, table.has_image_id, row),
            "image_name": self.image_name(int(self.image_rows[row])),
            "annotation_id": self.shown_id(table.ids, table.has_id, row),
        }
        return self.hit_at(f"/annotations/{row}", message, at, **ids, **more)

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

    def entry_hit(self, entry: int, message: str, at: str = "", **more: Any) -> Hit:
        """A hit at an image's entry, or at its key ``at``."""
        ids = {
            "image_id": self.shown_id(self.entries.image_ids, self.entries.has_image_id, entry),
            "image_name": self.image_name(int(self.image_rows[entry])) or self.entries.names[entry],
        }
        return self.hit_at(f"/annotations/{entry}", message, at, **ids, **more)

    def segment_hit(self, segment: int, message: str, at: str = "", **more: Any) -> Hit:
        """A hit at a segment, or at its key ``at``; ``annotation_id`` is the segment's id."""
        place = f"segments_info/{self.segments.place[segment]}" + (f"/{at}" if at else "")
        own = self.shown_id(self.segments.ids, self.segments.has_id, segment)
        return self.entry_hit(int(self.segments.entry[segment]), message, place, annotation_id=own, **more)
