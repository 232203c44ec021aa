"""CVAT XML 1.1, for images and for video (https://docs.cvat.ai/docs/manual/advanced/xml_format/).

A file is indexed once (``index``); an image is parsed by whoever reads it.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from operator import itemgetter
from pathlib import Path
from typing import Any, Optional

import msgspec
import numpy as np

from seg2knet.converters.base import Evidence, Handle, Reader, ReaderOptions, Scan
from seg2knet.converters.options import option
from seg2knet.converters.readers.common import xml
from seg2knet.converters.readers.common.canvas import Canvas, NotAnObject, box, ellipse, polygon
from seg2knet.converters.readers.common.lists import ordered
from seg2knet.converters.readers.common.sources import ImageFiles, absent, documents, unread
from seg2knet.converters.readers.cvat.index import Element, File, Meta, Pass, Task, read_meta
from seg2knet.converters.registry import register_reader
from seg2knet.converters.splitting import names
from seg2knet.converters.splitting.splits import canonical
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.rle import size_allowed
from seg2knet.dataset.sample import Note, Rle, Sample, Shape
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


NO_AREA = {
    "polyline": "line-has-no-area", "points": "point-has-no-area", "cuboid": "cuboid-has-no-mask",
    "skeleton": "skeleton-has-no-area",
}  # fmt: skip
SHAPES = frozenset(("box", "polygon", "ellipse", "mask", *NO_AREA))
LONGEST_GAP = 100_000
"""Frames between two key frames, an hour of video; more is a forged number."""

Entry = tuple[int, int, tuple[str, str], int, int, float]
_MOVING = {"box": ("xtl", "ytl", "xbr", "ybr"), "ellipse": ("cx", "cy", "rx", "ry"), "polygon": ("points",)}


def take(
    canvas: Canvas, element: Any, number: int, boxes: str, label: str = "", override: Optional[dict[str, str]] = None
) -> None:
    """Read one shape, the ``number``-th of its image from 1 on; ``boxes`` says what to do with upright ones
    (``refuse``, ``as-polygons``), ``label`` is a track's, which its shapes do not repeat, and ``override`` are
    attributes in place of the element's own (an interpolated shape, a track's group)."""
    tag = element.tag
    if tag not in SHAPES:
        if tag == "tag":
            canvas.note("tag-ignored", "", "a tag is of the whole image, so no object")
        return
    place = f"{tag} {number}"
    values = {"rotation": "0", **element.attrib, **(override or {})}
    label = label or values.get("label", "")
    group, order = values.get("group_id") or "0", xml.number(values.get("z_order"))
    key, z = (group, label) if group != "0" else None, int(order) if order is not None and abs(order) < 1e9 else 0
    with canvas.skipping(place):
        if tag in NO_AREA:
            raise NotAnObject(NO_AREA[tag], f"{label!r}")
        if not label.strip():
            raise NotAnObject("no-label", f"a {tag} without a label")
        shape = _shape(canvas, tag, values, boxes)
        canvas.add(label, shape, place, group=key, attributes=_attributes(element), z=z)


def _shape(canvas: Canvas, tag: str, values: dict[str, str], boxes: str) -> Shape:
    if tag == "mask":
        return _mask(canvas, values)
    if tag == "polygon":
        return polygon(_points(values.get("points", "")))
    if tag == "ellipse":
        cx, cy, rx, ry = _numbers(values, "cx", "cy", "rx", "ry")
        return ellipse(cx, cy, rx, ry, *_numbers(values, "rotation"))
    left, top, right, bottom = _numbers(values, "xtl", "ytl", "xbr", "ybr")
    return box(left, top, right - left, bottom - top, boxes, *_numbers(values, "rotation"))


def _mask(canvas: Canvas, values: dict[str, str]) -> Rle:
    """``rle`` counts row by row in the window at ``left``, ``top`` of ``width`` by ``height``, zeros first."""
    left, top, width, height = (int(value) for value in _numbers(values, "left", "top", "width", "height"))
    if not size_allowed(height, width):
        raise NotAnObject("not-a-mask", f"a window of {width}x{height}")
    try:
        runs = [int(part) for part in values.get("rle", "").split(",")]
        found = f"{sum(runs):,}"
    except ValueError:
        runs, found = [-1], "not numbers"
    if min(runs) < 0 or sum(runs) != width * height:
        raise NotAnObject("not-a-mask", f"runs sum to {found} where the window has {width * height:,} pixels")
    marks = np.zeros(len(runs), bool)
    marks[1::2] = True
    return canvas.bitmap(np.repeat(marks, runs).reshape(height, width), left, top)


def _points(text: str) -> list[float]:
    """A flat polygon from ``x,y;x,y``."""
    try:
        flat = [*map(float, text.replace(";", ",").split(","))]
    except ValueError:
        flat = []
    # As many commas as there are points, and a semicolon between each two: in pairs, then.
    if not flat or 2 * text.count(",") != len(flat) or text.count(";") != text.count(",") - 1:
        raise NotAnObject("not-a-polygon", f"points {text[:60]!r}")
    return flat


def _numbers(values: dict[str, str], *keys: str) -> list[float]:
    found = (xml.number(values.get(key)) for key in keys)
    numbers = [number for number in found if number is not None and abs(number) <= 1e9]  # NaN is not
    if len(numbers) < len(keys):
        raise NotAnObject("not-numbers", ", ".join(f"{key}={values.get(key)!r}" for key in keys))
    return numbers


def _attributes(element: Any) -> Optional[dict[str, Any]]:
    found: dict[str, Any] = {}
    for child in element:
        if child.tag == "attribute" and child.get("name"):
            text = (child.text or "").strip()
            found[child.get("name")] = {"true": True, "false": False}.get(text.lower(), text)
    if element.get("occluded") == "1":
        found.setdefault("occluded", True)
    return found or None


class Frames(msgspec.Struct):
    """Shapes by task and frame: where in the file one begins and ends, label and group of its track, and, where it is
    between two key frames, where the next one's begins and ends (else 0) and how far between it is. ``gaps`` are frames
    between key frames of which the file says nothing though an object is there."""

    entries: dict[tuple[str, int], list[Entry]] = {}
    gaps: int = 0

    def add(self, track: Element, steps: dict[str, int], fill: bool) -> None:
        """Take in a track; ``steps``: frames to the next, by task; ``fill``: interpolate where key frames are all."""
        task, label, group = (track.attributes.get(key, "") for key in ("task_id", "label", "group_id"))
        framed = [(whole_number(shape.attributes.get("frame", "")), shape) for shape in track.shapes]
        keys = sorted(((frame, s) for frame, s in framed if frame is not None and s.tag in SHAPES), key=itemgetter(0))
        step = max(steps.get(task, next(iter(steps.values()), 1)), 1)
        sparse = all(shape.attributes.get("keyframe", "1") != "0" for _, shape in keys)
        for (frame, shape), (later, ahead) in zip(keys, [*keys[1:], (-1, track)]):
            if shape.attributes.get("outside") == "1":
                continue
            begun = (shape.start, shape.end, (label, group))
            self.entries.setdefault((task, frame), []).append((*begun, 0, 0, 0.0))
            if not sparse or not 0 <= later - frame <= LONGEST_GAP:
                continue
            between = range(frame + step, later, step)
            if not fill:
                self.gaps += len(between)
                continue
            gone = ahead.attributes.get("outside") == "1"
            following = (0, 0) if gone else (ahead.start, ahead.end)
            for middle in between:
                share = 0.0 if gone else (middle - frame) / (later - frame)
                self.entries.setdefault((task, middle), []).append((*begun, *following, share))


def between(one: Any, two: Any, share: float) -> dict[str, str]:
    """Attributes of a shape between two key frames, as CVAT shows it: straight from the one to the other.

    Boxes, ellipses and polygons of as many points move; masks and polygons whose points were added to or taken from
    stay as they were, for which there are none.
    """
    if one.tag != two.tag or one.tag not in _MOVING:
        return {}
    moved = {key: _moved(one.get(key, ""), two.get(key, ""), share) for key in _MOVING[one.tag]}
    result = {key: value for key, value in moved.items() if value is not None}
    if len(result) < len(moved):
        return {}
    start, end = xml.number(one.get("rotation") or "0"), xml.number(two.get("rotation") or "0")
    if start is not None and end is not None:
        result["rotation"] = repr(start + ((end - start + 180) % 360 - 180) * share)  # the shorter way round
    return result


def _moved(first: str, second: str, share: float) -> Optional[str]:
    """Numbers between those of two texts, which have the same separators."""
    moved = []
    for one, two in zip(re.split("([,;])", first), re.split("([,;])", second)):
        start, end = xml.number(one), xml.number(two)
        if one == two:
            moved.append(one)
        elif start is not None and end is not None:
            moved.append(repr(start + (end - start) * share))
        else:
            return None
    return "".join(moved) if first.count(",") == second.count(",") else None


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
