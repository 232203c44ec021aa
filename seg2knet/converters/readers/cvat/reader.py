"""CVAT XML 1.1, for images and for video (https://docs.cvat.ai/docs/manual/advanced/xml_format/).

A file is indexed once (``index``); an image is parsed by whoever reads it (``shapes``).
"""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from typing import Any, Optional

from seg2knet.converters.base import Evidence, Handle, Reader, ReaderOptions, Scan
from seg2knet.converters.options import option
from seg2knet.converters.readers.common import xml
from seg2knet.converters.readers.common.canvas import Canvas
from seg2knet.converters.readers.common.lists import ordered
from seg2knet.converters.readers.common.sources import ImageFiles, absent, documents, unread
from seg2knet.converters.readers.cvat.index import Element, File, Meta, Pass, Task, read_meta
from seg2knet.converters.readers.cvat.shapes import Frames, between, take
from seg2knet.converters.registry import register_reader
from seg2knet.converters.splitting import names
from seg2knet.converters.splitting.splits import canonical
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.sample import Note, Sample
from seg2knet.dataset.text import natural, whole_number
from seg2knet.errors import DataError, UsageError

_FRAME = re.compile(r"(?:^|.*[/_])frame_(\d{1,9})$", re.IGNORECASE)


class CvatOptions(ReaderOptions):
    video: Optional[Path] = option(None, "The video that was annotated, to take the frames from.")
    interpolate: bool = option(
        False, "Fill frames between key frames where the file has key frames alone (CVAT itself writes all)."
    )


@register_reader
class CvatReader(Reader):
    name = "cvat"
    title = "CVAT XML 1.1"
    paint_order = True
    Options = CvatOptions

    def __init__(self, source: Path, options: Optional[ReaderOptions] = None) -> None:
        super().__init__(source, options)
        self._files: dict[str, File] = {}
        self._video: Optional[Video] = None

    def __getstate__(self) -> dict[str, Any]:
        # Open files stay here; another process opens its own.
        return {**self.__dict__, "_files": {}, "_video": None}

    @classmethod
    def evidence(cls, source: Path) -> Optional[Evidence]:
        paths = _documents(source)
        reason = f"{len(paths)} XML file{'s' * (len(paths) > 1)} with <annotations>, as CVAT writes them"
        return Evidence(0.95, (reason,)) if paths else None

    def scan(self) -> Scan:
        paths = _documents(self.source)
        if not paths:
            raise absent("a CVAT XML file (annotations.xml), or a folder with one", self.source)
        if self.options.video is not None and (len(paths) > 1 or not self.options.video.is_file()):
            found = f"{self.options.video}, {len(paths)} XML files"
            raise UsageError("--video is one video of one XML file", found=found)
        classes: Optional[ClassList] = ClassList()
        index = _Index(self.options)
        others = [path for path in documents(self.source, ".xml") if path not in paths]
        index.notes += unread("xml-not-read", others, "not CVAT's")
        for path in paths:
            meta = index.add(self._file(path), "" if len(paths) == 1 else _below(path, self.source))
            classes = classes.merged(meta.classes) if classes is not None and meta.classes is not None else None
        return Scan(ordered(index.handles()), classes, (), tuple(index.notes))

    def read(self, handle: Handle) -> Sample:
        where, data = handle.where, None
        file = self._file(where["file"])
        if where["image"] is None and self.options.video is not None and "frame" in where:
            self._video = self._video or Video(self.options.video)
            data = self._video.png(where["frame"])
        declared = tuple(where["size"]) if all(where["size"]) else None
        place = f"{where['file']}: image {handle.name!r}"
        canvas = Canvas(handle.name, place, path=where["image"], data=data, declared=declared, strict=True)
        if "entries" not in where:
            for number, child in enumerate(file.element(where["start"], where["end"]), 1):
                take(canvas, child, number, self.options.boxes)
            return canvas.sample(handle.split)
        for number, (start, end, (label, group), next_start, next_end, share) in enumerate(where["entries"], 1):
            element, override = file.element(start, end), {"group_id": group}
            if next_end:
                override.update(between(element, file.element(next_start, next_end), share))
            take(canvas, element, number, self.options.boxes, label, override)
        return canvas.sample(handle.split)

    def _file(self, path: Any) -> File:
        if str(path) not in self._files:
            self._files[str(path)] = File(path)
        return self._files[str(path)]


class _Index:
    """Handles of all files, as they are found."""

    def __init__(self, options: CvatOptions) -> None:
        self.options = options
        self.images: list[tuple[Optional[str], str, str, dict[str, Any]]] = []
        self.notes: list[Note] = []

    def add(self, file: File, prefix: str) -> Meta:
        """One file; ``prefix`` is what its images' names begin with."""
        images = ImageFiles(self.options.images or Path(file.path).absolute().parent)
        meta, frames = Meta(), Frames()
        for element in Pass(file.path):
            if element.tag == "meta":
                meta = read_meta(file.element(element.start, element.end))
            elif element.tag == "image":
                self._image(file, element, images, prefix)
            else:
                steps = {number: task.step for number, task in meta.tasks.items()}
                frames.add(element, steps, self.options.interpolate)
        if frames.gaps:
            detail = "the file has key frames alone; --interpolate fills what lies between, as CVAT shows it"
            self.notes.append(Note("frames-between-key-frames-empty", file.path, detail, frames.gaps))
        self._frames(file, frames, meta, images, prefix)
        return meta

    def handles(self) -> list[Handle]:
        """Names as in the file; where two of a split would be called the same, with their subset before them."""
        times, again = Counter((split, name) for split, _, name, _ in self.images), Counter[tuple[Optional[str], str]]()
        result = []
        for split, subset, name, where in self.images:
            name = f"{subset}/{name}" if times[split, name] > 1 and subset else name
            again[split, name] += 1
            if again[split, name] > 1:
                place, (stem, ending) = f"{where['file']}: image {name!r}", os.path.splitext(name)
                self.notes.append(Note("image-named-twice", place, "the second one gets a number"))
                name = f"{stem}_{again[split, name]}{ending}"
            result.append(Handle(name, where, split))
        return result

    def _image(self, file: File, element: Element, images: ImageFiles, prefix: str) -> None:
        values = element.attributes
        # CVAT writes names of files on a share with a slash before them.
        parts, subset = values.get("name", "").replace("\\", "/").split("/"), values.get("subset", "")
        name = "/".join(part for part in parts if part not in ("", "."))
        size = [whole_number(values.get(side, "")) for side in ("width", "height")]
        where = {"file": file.path, "start": element.start, "end": element.end, "size": size}
        where["image"] = _find(images, name, subset)
        self.images.append((canonical(subset), _folder(subset), name and prefix + name, where))

    def _frames(self, file: File, frames: Frames, meta: Meta, images: ImageFiles, prefix: str) -> None:
        tasks = sorted({task for task, _ in frames.entries})
        if not tasks and (self.options.video is None or self.images):
            return
        for number in tasks or [""]:
            task = meta.task(number)
            shown = _frame_images(images, task if len(tasks) > 1 else None)
            inside = f"{_folder(task.name) or number}/" if len(tasks) > 1 else ""
            numbers = {frame for task_number, frame in frames.entries if task_number == number} | set(shown)
            if self.options.video is not None:
                there = Video(self.options.video).count()
                last = there - 1 if task.stop is None else min(task.stop, there - 1)
                numbers |= set(range(task.start, last + 1, task.step))
            for frame in sorted(numbers):
                image = shown.get(frame)
                ending = os.path.splitext(image)[1] if image else ".png"
                where = {"file": file.path, "frame": frame, "image": image, "size": task.size or [0, 0]}
                where["entries"] = frames.entries.get((number, frame), [])
                name = f"{prefix}{inside}frame_{frame:06d}{ending}"
                self.images.append((canonical(task.subset), _folder(task.subset), name, where))


def _documents(source: Path) -> list[Path]:
    """CVAT files of a source, in natural order."""
    return [path for path in documents(source, ".xml") if xml.root_tag(str(path)) == "annotations"]


def _below(path: Path, source: Path) -> str:
    """The folder of a file below the source, for the names of its images; with the file's stem where it has company."""
    parts = path.relative_to(source).parent.parts
    parts += (path.stem,) if len(list(path.parent.glob("*.xml"))) > 1 else ()
    return "".join(f"{part}/" for part in parts)


def _find(images: ImageFiles, name: str, subset: str) -> Optional[str]:
    """Where CVAT's exports put an image: ``images/SUBSET/NAME``, ``images/NAME``; else wherever there is one such."""
    own = [f"images/{subset}/{name}", f"{subset}/{name}"] if subset else []
    known = next((path for path in (*own, f"images/{name}", name) if path in images.paths), None)
    return images.paths[known] if known else next(filter(None, map(images.find, [*own[1:], name])), None)


def _frame_images(images: ImageFiles, task: Optional[Task]) -> dict[int, str]:
    """Images of frames by number; of one task, where there are several, by its folder."""
    names = {task.name, task.subset} if task is not None else set()
    paths = [path for path in images.paths if task is None or not names.isdisjoint(path.split("/")[:-1])]
    matches = {path: _FRAME.match(os.path.splitext(path)[0]) for path in sorted(paths, key=natural, reverse=True)}
    return {int(match[1]): images.paths[path] for path, match in matches.items() if match}


def _folder(name: str) -> str:
    """A subset's or task's name as a folder's, empty where it cannot be one."""
    try:
        return names.safe(name.replace("/", "_")) if name else ""
    except DataError:
        return ""


class Video:
    """A video file. Frames are best asked for in rising order: seeking is inexact, so it is read from the beginning."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._capture: Any = None
        self._next = 0

    def png(self, frame: int) -> bytes:
        """A frame, counted from 0, as PNG; DataError where the video cannot be read, or has no such frame."""
        import cv2

        if self._capture is None or frame < self._next:
            self._capture = cv2.VideoCapture(str(self.path))
            self._next = 0
            if not self._capture.isOpened():
                raise DataError("the video cannot be opened", file=self.path, expected="a format that OpenCV decodes")
        while self._next <= frame:
            if not self._capture.grab():
                found = f"{self._next} frames"
                raise DataError("the video has no such frame", file=self.path, place=f"frame {frame}", found=found)
            self._next += 1
        good, image = self._capture.retrieve()
        if not good:
            raise DataError("a frame cannot be decoded", file=self.path, place=f"frame {frame}")
        return cv2.imencode(".png", image)[1].tobytes()

    def count(self) -> int:
        """How many frames the container says that there are; 0 where it cannot be read."""
        import cv2

        capture = cv2.VideoCapture(str(self.path))
        return max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0) if capture.isOpened() else 0
