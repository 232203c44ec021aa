"""What readers of JSON formats share: files that fit, images of records, objects one by one.

A format has one JSON an image (``JsonReader``), or files with a record an image (``RecordsReader``). A subclass says by
``fits`` which documents are its own and by ``draw`` what objects a document or record has. What is malformed in one
object is a skip, in a record an error of its image.
"""

from __future__ import annotations

import os
import posixpath
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Optional

from seg2knet.converters.base import Evidence, Handle, Scan
from seg2knet.converters.readers.common.canvas import Canvas, NotAnObject
from seg2knet.converters.readers.common.lists import Splits
from seg2knet.converters.readers.common.sources import SourceReader, absent, files_of, relative
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.files import load_json
from seg2knet.dataset.sample import Note, Sample, Skip
from seg2knet.errors import DataError

_LOOK = 12
_LARGE = 1 << 25
MALFORMED = (TypeError, KeyError, ValueError, AttributeError, IndexError, OverflowError)
"""What reading a value of the wrong kind raises."""

Record = tuple[str, Any]
"""An image's name, and what ``draw`` needs."""


class JsonReader(SourceReader):
    """A format of JSON files, one an image."""

    suffixes: ClassVar[tuple[str, ...]] = (".json",)
    expected: ClassVar[str]
    marks: ClassVar[tuple[bytes, ...]] = ()
    """Words by which a file that is too large to be parsed for a guess is told, where a file has many images."""

    @classmethod
    @abstractmethod
    def fits(cls, document: Any) -> bool:
        """Whether a document is of this format."""

    @abstractmethod
    def draw(self, handle: Handle, path: str, record: Any) -> Canvas:
        """An image with its objects, from a document or a record of one."""

    @classmethod
    def files(cls, source: Path) -> list[str]:
        """The annotation files of a source, in natural order."""
        return files_of(source, cls.suffixes)

    @classmethod
    def load(cls, path: str) -> Any:
        """The document; DataError where it cannot be read."""
        return load_json(path)

    @classmethod
    def evidence(cls, source: Path) -> Optional[Evidence]:
        looked = cls.files(source)[:_LOOK]
        fitting = sum(map(cls._fits, looked))
        reason = f"{fitting} of {len(looked)} files looked at have {cls.expected}"
        return Evidence(1.0 if fitting == len(looked) else 0.8, (reason,)) if fitting else None

    @classmethod
    def _fits(cls, path: str) -> bool:
        try:
            if os.path.getsize(path) <= _LARGE:
                return cls.fits(cls.load(path))
            with open(path, "rb") as file:
                head = file.read(1 << 16)
            return bool(cls.marks) and all(mark in head for mark in cls.marks)
        except (DataError, OSError, *MALFORMED):
            return False

    def scan(self) -> Scan:
        found, paths, root = list[tuple[str, Any]](), self.files(self.source), str(self.root)
        self.skips: list[Skip] = []
        self.notes: list[Note] = []
        for suffix in self.suffixes:
            for path in (path for path in paths if path.lower().endswith(suffix)):
                records = self.listed(path, relative(path, root), len(paths) == 1)
                found += [(name, [path, record]) for name, record in records]
            if found:
                break  # the files of other suffixes are another export of the same
        if not found:
            raise absent(self.expected, self.source)
        return Scan(Splits({}).handles(found), self.classes(), tuple(self.skips), tuple(self.notes))

    def listed(self, path: str, below: str, alone: bool) -> Iterable[Record]:
        """The images of a file, which stands at ``below`` in the source, ``alone`` or with others."""
        return [(below, None)]

    def classes(self) -> Optional[ClassList]:
        """The class list, where a file says it; called after ``listed``."""
        return None

    def read(self, handle: Handle) -> Sample:
        path, record = handle.where
        try:
            if record is None:
                record = self.load(path)
                if not self.fits(record):
                    raise self.malformed(path, None)
            return self.draw(handle, path, record).sample(handle.split)
        except MALFORMED as error:
            raise self.malformed(path, error) from None

    def malformed(self, path: str, error: Optional[Exception]) -> DataError:
        found = f"{type(error).__name__}: {error}"[:200] if error is not None else "another document"
        return DataError(f"not as {self.title} has it", file=path, found=found, expected=self.expected)

    def canvas(
        self,
        handle: Handle,
        path: str,
        called: Sequence[str],
        declared: Optional[tuple[Any, Any]] = None,
        folders: Sequence[str] = (),
    ) -> Canvas:
        """The canvas of an image of the annotation file ``path``: ``called`` so, the likeliest first, to be found in
        ``folders``, beside the file or anywhere below the source.

        Raises DataError: several images are called so, or there is neither an image nor a size.
        """
        tails = [name.replace("\\", "/").lstrip("/") for name in called]
        base = tails[0].rpartition("/")[2]
        tails = [*tails, *(tail.rpartition("/")[2] for tail in tails)]
        tails = [tail for tail in dict.fromkeys(tails) if tail and ".." not in tail.split("/")]
        places = [os.path.join(folder, tail) for folder in (*folders, os.path.dirname(path)) for tail in tails]
        beside = next(filter(os.path.isfile, places), None) if self.options.images is None else None
        file = beside or self.images.only(tails, path)
        name = posixpath.join(posixpath.dirname(handle.name), os.path.basename(file) if file else base)
        return Canvas(name, f"{path}: image {base!r}", path=file, declared=size_of(declared))


class RecordsReader(JsonReader):
    """A format of files with a record an image."""

    @abstractmethod
    def records(self, document: Any, path: str) -> Iterable[Record]:
        """The images of a document."""

    def listed(self, path: str, below: str, alone: bool) -> Iterable[Record]:
        document = self.load(path)
        if not alone and not self.fits(document):
            return []
        try:
            folder = posixpath.dirname(below)
            return [(posixpath.join(folder, name), record) for name, record in self.records(document, path)]
        except MALFORMED as error:
            raise self.malformed(path, error) from None


def has(document: Any, objects: str, head: str, key: str = "") -> bool:
    """Whether a document has a list of ``objects``, and an object ``head`` that has this key."""
    above = document.get(head) if isinstance(document, dict) else None
    return isinstance(above, dict) and (not key or key in above) and isinstance(document.get(objects), list)


def each(canvas: Canvas, items: Any, kind: str, take: Callable[[Any, str], None], first: int = 1) -> Canvas:
    """Read items one by one as ``KIND NUMBER``; one that is malformed or not an object becomes a skip."""
    for number, item in enumerate(items if isinstance(items, list) else [], first):
        place = f"{kind} {number}"
        try:
            take(item, place)
        except MALFORMED as error:
            canvas.skip("malformed", place, f"{type(error).__name__}: {error}"[:200])
        except (NotAnObject, DataError) as problem:
            canvas.refuse(problem, place)
    return canvas


def flat(points: Any) -> list[float]:
    """``[x, y, ...]`` from ``[[x, y], ...]`` or ``[{"x": x, "y": y}, ...]``, numbers as they are; else NotAnObject."""
    if isinstance(points, list) and points and isinstance(points[0], dict):
        points = [[point.get("x"), point.get("y")] for point in points]
    if type(points) is not list or not set(map(type, points)) <= {list}:
        raise NotAnObject("no-points", f"points {points!r:.60}")
    lengths = set(map(len, points))
    if min(lengths, default=2) < 2:
        raise NotAnObject("no-points", "a point without x and y")
    numbers = list(chain.from_iterable(points if lengths == {2} else (point[:2] for point in points)))
    if not set(map(type, numbers)) <= {int, float}:
        wrong = next(number for number in numbers if type(number) not in (int, float))
        raise NotAnObject("no-points", f"a coordinate {wrong!r:.60}")
    return numbers


def label_of(value: Any) -> str:
    """A class's name; NotAnObject where there is none."""
    if type(value) in (int, float):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise NotAnObject("no-label", f"label {value!r:.60}")
    return value.strip()


def size_of(declared: Optional[tuple[Any, Any]]) -> Optional[tuple[int, int]]:
    """Width and height that an annotation says, where they can be."""
    if declared is None or not all(type(side) in (int, float) and side >= 1 for side in declared):
        return None
    return int(declared[0]), int(declared[1])
