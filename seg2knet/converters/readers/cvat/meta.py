"""What a CVAT file's ``<meta>`` says: labels, and the frames, size and name of each task."""

from __future__ import annotations

import re
from typing import Any, Optional

import msgspec

from seg2knet.converters.readers.common import xml
from seg2knet.converters.readers.common.sources import rgb
from seg2knet.dataset.classes import ClassInfo, ClassList
from seg2knet.dataset.text import whole_number

_NO_CLASS = frozenset(("tag", "points", "polyline", "skeleton", "cuboid"))


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


def read(meta: Any) -> Meta:
    """From the ``<meta>`` element."""
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
