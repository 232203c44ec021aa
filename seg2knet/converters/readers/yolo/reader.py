"""YOLO's segmentation labels (https://docs.ultralytics.com/datasets/segment/): a text file an image, a row an object,
``class x1 y1 x2 y2 ...`` in fractions of the image as shown. A row of four numbers is a box: centre, width, height.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from itertools import cycle
from operator import mul
from pathlib import Path
from typing import Optional

from seg2knet.converters.base import Evidence, Handle, Reader, ReaderOptions, Scan
from seg2knet.converters.options import option
from seg2knet.converters.readers.common.canvas import Canvas, NotAnObject, box, polygon
from seg2knet.converters.readers.common.lists import ordered
from seg2knet.converters.readers.common.sources import read_text
from seg2knet.converters.readers.yolo.folders import YoloFolder
from seg2knet.converters.registry import register_reader
from seg2knet.dataset import geometry
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.sample import Note, Polygons, Sample
from seg2knet.errors import Seg2KNetError

HAIR = 0.01
"""What lies outside by no more than a pixel and this fraction of the image is clipped."""


class YoloOptions(ReaderOptions):
    unbridge: bool = option(
        False, "Take apart what ultralytics' converter joined by lines of no width: objects of several parts."
    )


@register_reader
class YoloReader(Reader):
    name = "yolo"
    title = "YOLO segmentation"
    Options = YoloOptions

    @classmethod
    def evidence(cls, source: Path) -> Optional[Evidence]:
        folder = YoloFolder(source, None)
        handles = folder.handles()
        labels = [handle.where[1] for handle in handles if handle.where[1]]
        if not all(map(_has_rows, labels[:20])):
            return None
        reason = f"{len(labels)} of {len(handles)} images have a label file with rows of numbers"
        if folder.config is not None:
            return Evidence(0.95, (f"{folder.config.name} has names and splits", reason))
        return Evidence(0.8, (reason,))

    def scan(self) -> Scan:
        folder = YoloFolder(self.source, self.options.images)
        handles, notes = folder.handles(), folder.notes
        without = sum(handle.where[1] is None for handle in handles)
        if without:
            notes.append(Note("no-label-file", str(self.source), "images without one have no objects", without))
        if self._names is None:
            detail = "neither data.yaml nor classes.txt says their names"
            notes.append(Note("classes-called-by-number", str(self.source), detail))
        names = self._names and dict.fromkeys(name for _, name in sorted(self._names.items()))
        return Scan(ordered(handles), ClassList.of(names) if names else None, tuple(folder.skips), tuple(notes))

    @cached_property
    def _names(self) -> Optional[dict[int, str]]:
        return YoloFolder(self.source, None).names()

    def read(self, handle: Handle) -> Sample:
        path, label = handle.where
        canvas = Canvas(handle.name, label or path, path=path)
        for number, line in enumerate(read_text(label).splitlines() if label is not None else (), 1):
            if line and not line.isspace():
                with canvas.skipping(f"line {number}"):
                    self._take(canvas, f"line {number}", line)
        return canvas.sample(handle.split)

    def count(self, handle: Handle) -> int:
        label = handle.where[1]
        return sum(not line.isspace() for line in read_text(label).splitlines() if line) if label else 0

    def _take(self, canvas: Canvas, place: str, line: str) -> None:
        """One row; NotAnObject where it is not one."""
        words = line.split()
        try:
            values = [*map(float, words)]
        except ValueError:
            raise NotAnObject("not-a-row", f"not numbers: {line.strip()[:60]!r}") from None
        number = values.pop(0)
        whole = int(number) if 0 <= number < 1e9 and number == int(number) else -1
        label = (str(whole) if whole >= 0 else None) if self._names is None else self._names.get(whole)
        if label is None:
            raise NotAnObject("unknown-class", f"class {words[0][:20]} is not among the names")
        if not math.isfinite(sum(values)) and not all(map(math.isfinite, values)):
            raise NotAnObject("not-finite", "a coordinate that is not a finite number")
        if len(values) == 4:
            canvas.add(label, self._box(canvas, place, values), place)
        elif len(values) < 6 or len(values) % 2:
            raise NotAnObject("not-a-row", f"{len(values)} numbers after the class: neither a box nor a polygon")
        else:
            _clip(canvas, place, values)
            canvas.add(label, self._polygon(canvas, place, values), place)

    def _polygon(self, canvas: Canvas, place: str, values: list[float]) -> Polygons:
        parts: list[list[float]] = [values]
        if bridged(values):
            if self.options.unbridge:
                parts = unbridged(values)
            else:
                canvas.note("bridged-parts", place, "parts joined by lines of no width; --unbridge splits them")
        parts = [_in_pixels(canvas, part) for part in parts]
        # Three points or more, all in the image: what could still be wrong is an image miles long.
        huge = max(canvas.width, canvas.height) > geometry.MAX_COORDINATE
        return Polygons([polygon(part).parts[0] for part in parts] if huge else parts)

    def _box(self, canvas: Canvas, place: str, values: list[float]) -> Polygons:
        x, y, width, height = values
        box(x, y, width, height, self.options.boxes)  # says whether it is one, and wanted
        corners = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
        _clip(canvas, place, corners)
        left, top, right, bottom = _in_pixels(canvas, corners)
        return Polygons([geometry.box_polygon(left, top, right - left, bottom - top)])


def _in_pixels(canvas: Canvas, fractions: list[float]) -> list[float]:
    return [*map(mul, fractions, cycle((float(canvas.width), float(canvas.height))))]


def _clip(canvas: Canvas, place: str, values: list[float]) -> None:
    """Clip what lies outside by a hair, in place; NotAnObject where a coordinate lies further outside."""
    if min(values) >= 0.0 and max(values) <= 1.0:
        return
    outside = [(index, value) for index, value in enumerate(values) if not 0.0 <= value <= 1.0]
    for index, value in outside:
        hair = min(1 / (canvas.height if index % 2 else canvas.width), HAIR)
        if not -hair <= value <= 1.0 + hair:
            hint = ": are these pixels?" if value > 2 else ""
            raise NotAnObject("outside-the-image", f"{value:g} where 0 to 1 was expected{hint}")
        values[index] = min(max(value, 0.0), 1.0)
    canvas.note("clipped-to-the-image", place, "a hair outside 0..1", len(outside))


def _has_rows(label: str) -> bool:
    try:
        lines = [line for line in read_text(label, 1 << 22).splitlines()[:20] if line.strip()]
        return all(len([float(word) for word in line.split()]) >= 5 for line in lines)
    except (Seg2KNetError, ValueError):
        return False


Point = tuple[float, float]


def bridged(flat: Sequence[float]) -> bool:
    """Whether a ring touches itself in a corner, as a bridged one does (and few others): a cheap first look."""
    if 2 * len(set(flat[0::2])) == len(flat):
        return False  # no two corners even have the same x
    points = list(zip(flat[0::2], flat[1::2]))
    return len(set(points)) < len(points) - (points[0] == points[-1])


def unbridged(flat: Sequence[float]) -> list[list[float]]:
    """The parts of a ring ``[x0, y0, x1, y1, ...]``; the ring itself where it has no bridge.

    Converters that have an object of several parts walk around one, across to the next and back by the same line: that
    line is an edge that occurs once in each direction. Cut there, the ring falls into the parts. A hole may be bridged
    likewise; it stays, for parts of one object are a union and would fill it.
    """
    import shapely

    points = list(zip(flat[0::2], flat[1::2]))
    edges = set(zip(points, [*points[1:], points[0]]))
    rings: list[tuple[int, list[Point]]] = []
    walked: dict[Point, int] = {}
    for index, point in enumerate([*points, points[0]]):
        if point not in walked:
            walked[point] = index
            continue
        ring = [point]  # the walk is back at a corner: what it went round since then is a ring
        while next(reversed(walked)) != point:
            ring.insert(1, walked.popitem()[0])
        rings.append((walked[point], ring))
    solid = [ring for _, ring in sorted(rings) if len(ring) >= 3]
    outlines = list(map(shapely.Polygon, solid))
    hole = any(
        2 * int(shapely.contains_xy(outline, inner).sum()) > len(inner)  # most corners lie within another ring
        for outline in outlines
        for inner in solid
    )
    bridge = any(start != end and (end, start) in edges for start, end in edges)
    if not bridge or hole or len(solid) < 2:
        return [list(flat)]
    return [[number for point in ring for number in point] for ring in solid]
