"""YOLO's segmentation labels (https://docs.ultralytics.com/datasets/segment/): a text file a picture, a row an object,
``class x1 y1 x2 y2 ...`` in fractions of the picture as shown. A row of four numbers is a box: centre, width, height.
"""

from __future__ import annotations

import math
from functools import cached_property
from itertools import repeat
from operator import mul
from pathlib import Path
from typing import Optional, Union

from pydantic import Field

from seg2knet.converters.base import Evidence, Handle, Reader, ReaderOptions, Scan
from seg2knet.converters.readers.common.lists import ordered
from seg2knet.converters.readers.common.sources import picture, read_text
from seg2knet.converters.readers.yolo import folders as _yolo
from seg2knet.converters.readers.yolo.bridges import bridged, unbridged
from seg2knet.converters.registry import register_reader
from seg2knet.dataset import geometry
from seg2knet.dataset.classes import ClassInfo, ClassList
from seg2knet.dataset.sample import Note, Object, Polygons, Sample, Skip
from seg2knet.errors import Seg2KNetError

HAIR = 0.01
"""What lies outside by no more than a pixel and this fraction of the picture is clipped."""


class YoloOptions(ReaderOptions):
    """YOLO's own options."""

    unbridge: bool = Field(
        False,
        description="Take apart what ultralytics' converter joined by lines of no width: objects of several parts.",
    )


@register_reader
class YoloReader(Reader):
    name = "yolo"
    title = "YOLO segmentation"
    Options = YoloOptions

    @classmethod
    def sniff(cls, source: Path) -> Optional[Evidence]:
        try:
            config = _yolo.config_file(source)
            found = _yolo.find(source, None)
        except Seg2KNetError:
            return None
        labels = [label for *_, label in found.pictures if label]
        rows = sum(_has_rows(label) for label in labels[:20])
        if rows < len(labels[:20]):
            return None
        reason = f"{len(labels)} of {len(found.pictures)} pictures have a label file with rows of numbers"
        if config is not None:
            return Evidence(0.95, (f"{config.name} has names and splits", reason))
        return Evidence(0.8, (reason,))

    def scan(self) -> Scan:
        found = _yolo.find(self.source, self.options.images)
        notes = list(found.notes)
        without = sum(label is None for *_, label in found.pictures)
        if without:
            notes.append(Note("no-label-file", str(self.source), "pictures without one have no objects", without))
        classes = None
        if self._names is not None:
            infos = {name: ClassInfo(name) for _, name in sorted(self._names.items())}
            classes = ClassList(tuple(infos.values()))
        else:
            detail = "neither data.yaml nor classes.txt says their names"
            notes.append(Note("classes-called-by-number", str(self.source), detail))
        handles = [Handle(name, [path, label], split) for split, name, path, label in found.pictures]
        return Scan(ordered(handles), classes, tuple(found.skips), tuple(notes))

    @cached_property
    def _names(self) -> Optional[dict[int, str]]:
        return _yolo.names(self.source)

    def read(self, handle: Handle) -> Sample:
        path, label = handle.where
        image, _ = picture(handle.name, path, None)
        if label is None:
            return Sample(image, (), handle.split)
        rows = _Rows(label, image.width, image.height, self._names, self.options)
        for number, line in enumerate(read_text(label).splitlines(), 1):
            if line and not line.isspace():
                rows.take(number, line)
        return Sample(image, tuple(rows.objects), handle.split, tuple(rows.skips), tuple(rows.notes))


class _Rows:
    """Rows of one label file as objects.

    Args:
        path: the label file.
        width, height: of the picture as shown.
        names: of the classes; ``None``: they are called by number.
    """

    def __init__(
        self, path: str, width: int, height: int, names: Optional[dict[int, str]], options: YoloOptions
    ) -> None:
        self.path = path
        self.size = (width, height)
        self.huge = max(width, height) > geometry.MAX_COORDINATE
        self.hair = (min(1 / width, HAIR), min(1 / height, HAIR))
        self.names = names
        self.options = options
        self.objects: list[Object] = []
        self.skips: list[Skip] = []
        self.notes: list[Note] = []

    def take(self, number: int, line: str) -> None:
        """One row."""
        words = line.split()
        try:
            values = [*map(float, words)]
        except ValueError:
            self._lose("not-a-row", number, f"not numbers: {line.strip()[:60]!r}")
            return
        label = self._label(values[0])
        if label is None:
            self._lose("unknown-class", number, f"class {words[0][:20]} is not among the names")
            return
        del values[0]
        if not math.isfinite(sum(values)) and not all(map(math.isfinite, values)):
            self._lose("not-finite", number, "a coordinate that is not a finite number")
        elif len(values) == 4:
            self._box(number, label, values)
        elif len(values) < 6 or len(values) % 2:
            self._lose("not-a-row", number, f"{len(values)} numbers after the class: neither a box nor a polygon")
        elif self._inside(number, values):
            self._polygon(number, label, values)

    def _label(self, value: float) -> Optional[str]:
        if not (0 <= value < 1e9 and value == int(value)):
            return None
        return str(int(value)) if self.names is None else self.names.get(int(value))

    def _polygon(self, number: int, label: str, values: list[float]) -> None:
        parts: Union[list[list[float]], None] = None
        if bridged(values):
            if self.options.unbridge:
                parts = unbridged(values)
            else:
                detail = "parts joined by lines of no width; --unbridge takes them apart"
                self.notes.append(Note("bridged-parts", self._place(number), detail))
        flat = [self._in_pixels(part) for part in parts or [values]]
        # Three points or more, all in the picture: what could still be wrong is a picture miles long.
        problem = next(filter(None, map(geometry.polygon_problem, flat)), None) if self.huge else None
        if problem is not None:
            self._lose("not-a-polygon", number, problem)
            return
        self.objects.append(Object(label, Polygons(flat), False, self._place(number)))

    def _box(self, number: int, label: str, values: list[float]) -> None:
        x, y, width, height = values
        if width <= 0 or height <= 0:
            self._lose("not-a-box", number, f"width {width:g}, height {height:g}")
            return
        if self.options.boxes == "refuse":
            self._lose("box-only", number, "a box has no outline; --boxes as-polygons takes its corners")
            return
        corners = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
        if self._inside(number, corners):
            left, top, right, bottom = self._in_pixels(corners)
            polygon = geometry.box_polygon(left, top, right - left, bottom - top)
            self.objects.append(Object(label, Polygons([polygon]), False, self._place(number)))

    def _in_pixels(self, fractions: list[float]) -> list[float]:
        width, height = self.size
        pixels = fractions[:]
        pixels[0::2] = map(mul, fractions[0::2], repeat(width))
        pixels[1::2] = map(mul, fractions[1::2], repeat(height))
        return pixels

    def _inside(self, number: int, values: list[float]) -> bool:
        """Clip what lies outside by a hair, in place; what lies further out is lost, and so is the row."""
        if min(values) >= 0.0 and max(values) <= 1.0:
            return True
        clipped = 0
        for index, value in enumerate(values):
            if 0.0 <= value <= 1.0:
                continue
            hair = self.hair[index % 2]
            if not -hair <= value <= 1.0 + hair:
                hint = ": are these pixels?" if value > 2 else ""
                self._lose("outside-the-picture", number, f"{value:g} where 0 to 1 was expected{hint}")
                return False
            values[index] = min(max(value, 0.0), 1.0)
            clipped += 1
        self.notes.append(Note("clipped-to-the-picture", self._place(number), "a hair outside 0..1", clipped))
        return True

    def _place(self, number: int) -> str:
        return f"{self.path}: line {number}"

    def _lose(self, reason: str, number: int, detail: str) -> None:
        self.skips.append(Skip(reason, self._place(number), detail=detail))


def _has_rows(label: str) -> bool:
    try:
        lines = [line for line in read_text(label, 1 << 22).splitlines()[:20] if line.strip()]
        return all(len([float(word) for word in line.split()]) >= 5 for line in lines)
    except (Seg2KNetError, ValueError):
        return False
