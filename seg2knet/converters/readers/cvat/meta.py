"""What a CVAT file's ``<meta>`` says: labels, and the frames, size and name of each task."""

from __future__ import annotations

import re
from typing import Any, Optional

import msgspec

from seg2knet.converters.readers.common import xml
from seg2knet.dataset.classes import ClassInfo, ClassList

_NO_CLASS = frozenset(("tag", "points", "polyline", "skeleton", "cuboid"))


class Task(msgspec.Struct, frozen=True):
    """One task.

    Attributes:
        number: its id, as shapes and images name it; empty in the export of one task.
        name: of the task.
        subset: train and the like; empty for none.
        size: width and height of the video's frames, where they are said.
        start, stop, step: its frames, in the video's own numbers; ``stop`` is the last one.
        source: the video's file name.
    """

    number: str = ""
    name: str = ""
    subset: str = ""
    size: Optional[tuple[int, int]] = None
    start: int = 0
    stop: Optional[int] = None
    step: int = 1
    source: str = ""


class Meta(msgspec.Struct, frozen=True):
    """Labels in their order (``None`` where they are not said) and tasks by id."""

    classes: Optional[ClassList] = None
    tasks: dict[str, Task] = {}

    def task(self, number: Optional[str]) -> Task:
        """The task of that id, else the only one there is."""
        if number in self.tasks:
            return self.tasks[number]
        return next(iter(self.tasks.values())) if len(self.tasks) == 1 else Task(number or "")


def read(meta: Any) -> Meta:
    """From the ``<meta>`` element."""
    tasks = {}
    for element in [*meta.iter("task"), *meta.iter("job")]:
        task = _task(element, xml.text(meta, "source"))
        tasks[task.number] = task
    return Meta(_classes(meta), tasks)


def _classes(meta: Any) -> Optional[ClassList]:
    infos: dict[str, ClassInfo] = {}
    for label in meta.iter("label"):
        name = label.findtext("name")
        # A part of a skeleton is no class: it has its parent's name beside its own. Nor is what has no area.
        if name and name.strip() and label.find("parent") is None and xml.text(label, "type") not in _NO_CLASS:
            infos.setdefault(name, ClassInfo(name, color=_color(xml.text(label, "color"))))
    return ClassList(tuple(infos.values())) if infos else None


def _color(text: str) -> Optional[tuple[int, int, int]]:
    if not re.fullmatch("#[0-9a-fA-F]{6}", text):
        return None
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def _task(element: Any, source: str) -> Task:
    width = _whole(xml.text(element, "original_size/width"))
    height = _whole(xml.text(element, "original_size/height"))
    step = re.search(r"step\s*=\s*(\d{1,6})", xml.text(element, "frame_filter"))
    return Task(
        xml.text(element, "id"),
        xml.text(element, "name"),
        xml.text(element, "subset"),
        (width, height) if width and height else None,
        _whole(xml.text(element, "start_frame")) or 0,
        _whole(xml.text(element, "stop_frame")),
        max(int(step[1]), 1) if step else 1,
        xml.text(element, "source") or source,
    )


def _whole(text: str) -> Optional[int]:
    return int(text) if re.fullmatch(r"\d{1,9}", text) else None
