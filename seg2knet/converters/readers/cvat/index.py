"""Where things stand in a CVAT XML file, found in one pass by expat, which says the byte of every tag; what its
``<meta>`` says.

A file has one ``<meta>`` and then ``<image>`` elements, or ``<track>`` elements with a shape a frame. What is kept of
an element is where it begins and ends, so that a file of many gigabytes costs some bytes an image, and each worker
parses what it is to read. (https://docs.cvat.ai/docs/manual/advanced/xml_format/)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional, Union
from xml.parsers import expat

import msgspec

from seg2knet.converters.readers.common import xml
from seg2knet.converters.readers.common.sources import mapped, rgb
from seg2knet.dataset.classes import ClassInfo, ClassList
from seg2knet.dataset.text import whole_number
from seg2knet.errors import DataError

_ENCODING = re.compile(rb"""<\?xml[^>]*encoding\s*=\s*["']([\w.-]+)["']""")
_PIECE = 1 << 20
_MAX_ATTRIBUTES = 1 << 20
_NO_CLASS = frozenset(("tag", "points", "polyline", "skeleton", "cuboid"))
_OF_FRAMES = ("frame", "outside", "keyframe")
_CUT_OFF = frozenset((3, 5, 20))  # expat: no element found, unclosed token, unclosed CDATA section


class Element(msgspec.Struct, gc=False):
    """An element: its attributes, its first byte and the one where its end tag begins (after it, where it is empty),
    and, of a track, the elements in it."""

    tag: str
    attributes: dict[str, str]
    start: int
    end: int = 0
    shapes: list[Element] = []


class File:
    """A CVAT file; DataError where it cannot be read, or is in an encoding that is not supported."""

    def __init__(self, path: Union[str, Path]) -> None:
        self.path = str(path)
        self._data = mapped(path)
        head = self._data[:4096]
        if head[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in head[:64]:
            raise DataError("XML in UTF-16", file=path, expected="UTF-8, as CVAT writes it", hint="save it as UTF-8")
        declared = _ENCODING.search(head)
        self.encoding = declared[1].decode("ascii") if declared else "utf-8"
        try:
            "".encode(self.encoding)
        except LookupError:
            raise DataError("XML in an unknown encoding", file=path, found=self.encoding, expected="UTF-8") from None

    def element(self, start: int, end: int) -> Any:
        """Part of the file, parsed; DataError where it is not XML, or not in the encoding that the file declares."""
        try:
            text = self._data[start:end].decode(self.encoding)
        except UnicodeDecodeError as error:
            place = f"byte {start + error.start}"
            raise DataError(f"not in {self.encoding}", file=self.path, place=place, found=error.reason) from None
        if not (text.endswith("/>") and text.count("<") == 1):
            tag = re.match(r"<([\w.-]+)", text)
            text += f"</{tag[1]}>" if tag else ""
        return xml.parse(text, self.path, f"byte {start}")


class Pass:
    """One pass over a file: all ``meta``, ``image`` and ``track`` elements in its order; DataError where a document
    type is declared, or the file is cut off or damaged."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.open: list[Optional[Element]] = []
        self.done: list[Element] = []

    def __iter__(self) -> Iterator[Element]:
        data = b" "
        with open(self.path, "rb") as file:
            while data:
                data = file.read(_PIECE)
                try:
                    self.parser.Parse(data, not data)
                except expat.ExpatError as error:
                    raise self._damaged(error) from None
                yield from self.done
                self.done.clear()

    def _damaged(self, error: expat.ExpatError) -> DataError:
        place = f"line {error.lineno}, column {error.offset}"
        if error.code not in _CUT_OFF:
            return DataError("not XML", file=self.path, place=place, found=expat.ErrorString(error.code))
        tag = next((element.tag for element in reversed(self.open) if element is not None), "annotations")
        return DataError(f"<{tag}> has no end", file=self.path, place=place, hint="is the file cut off?")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        depth = len(self.open)
        track = self.open[1] if depth == 2 else None
        kept = depth == 1 or (track is not None and track.tag == "track")
        if depth == 1 and sum(map(len, attributes.values())) > _MAX_ATTRIBUTES:
            raise DataError(f"a <{tag}> with attributes of over a MiB", file=self.path)
        self.open.append(Element(tag, attributes, self.parser.CurrentByteIndex, shapes=[]) if kept else None)
        if depth == 1 and tag == "image":  # of what is in it nothing is kept
            self.parser.StartElementHandler = None

    def _end(self, tag: str) -> None:
        if self.parser.StartElementHandler is None:
            if tag != "image":
                return
            self.parser.StartElementHandler = self._start
        element = self.open.pop() if self.open else None
        if element is None:
            return
        element.end = self.parser.CurrentByteIndex
        if len(self.open) == 1 and tag in ("image", "track", "meta"):
            self.done.append(element)
        elif len(self.open) == 2 and self.open[1] is not None:
            element.attributes = {key: element.attributes[key] for key in _OF_FRAMES if key in element.attributes}
            self.open[1].shapes.append(element)

    def _doctype(self, *_: Any) -> None:
        raise xml.doctype(self.path)


class Task(msgspec.Struct, frozen=True):
    """One task: its id, as shapes and images name it (empty in the export of one task); its name; train and the like,
    or empty; width and height of the video's frames, where they are said; its frames in the video's own numbers, of
    which ``stop`` is the last."""

    number: str = ""
    name: str = ""
    subset: str = ""
    size: Optional[tuple[int, int]] = None
    start: int = 0
    stop: Optional[int] = None
    step: int = 1


class Meta(msgspec.Struct, frozen=True):
    """Labels in their order (``None`` where they are not said) and tasks by id."""

    classes: Optional[ClassList] = None
    tasks: dict[str, Task] = {}

    def task(self, number: Optional[str]) -> Task:
        """The task of that id, else the only one there is."""
        if number in self.tasks:
            return self.tasks[number]
        return next(iter(self.tasks.values())) if len(self.tasks) == 1 else Task(number or "")


def read_meta(meta: Any) -> Meta:
    infos: dict[str, ClassInfo] = {}
    for label in meta.iter("label"):
        name = label.findtext("name")
        # A part of a skeleton is no class: it has its parent's name beside its own. Nor is what has no area.
        if name and name.strip() and label.find("parent") is None and xml.text(label, "type") not in _NO_CLASS:
            infos.setdefault(name, ClassInfo(name, color=rgb(xml.text(label, "color"))))
    tasks = [_task(element) for element in [*meta.iter("task"), *meta.iter("job")]]
    return Meta(ClassList(tuple(infos.values())) if infos else None, {task.number: task for task in tasks})


def _task(element: Any) -> Task:
    width, height, start, stop = (
        whole_number(xml.text(element, path))
        for path in ("original_size/width", "original_size/height", "start_frame", "stop_frame")
    )
    step = re.search(r"step\s*=\s*(\d{1,6})", xml.text(element, "frame_filter"))
    size = (width, height) if width and height else None
    number, name, subset = (xml.text(element, path) for path in ("id", "name", "subset"))
    return Task(number, name, subset, size, start or 0, stop, max(int(step[1]), 1) if step else 1)
