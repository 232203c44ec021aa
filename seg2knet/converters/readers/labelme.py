"""LabelMe JSON (https://github.com/wkentaro/labelme), versions 1 to 7, and what other tools write in its form.

One JSON a picture: ``shapes`` with ``label``, ``points`` ``[[x, y], ...]``, ``shape_type`` (the oldest have none:
a polygon) and ``group_id``; ``imagePath``; ``imageData``, the picture in base64. Coordinates
are pixels of the picture as shown.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import Any, Optional

import msgspec
import numpy as np
from pydantic import Field

from seg2knet.converters.base import IGNORE, Evidence, Handle, Reader, ReaderOptions, Scan
from seg2knet.converters.files import load_json, natural, walk
from seg2knet.converters.registry import register_reader
from seg2knet.converters.splits import canonical
from seg2knet.converters.upright import Fit, fit, settle
from seg2knet.dataset import geometry, images
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.sample import Image, Note, Object, Polygons, Sample, Shape, Skip
from seg2knet.errors import DataError

BACKGROUND = "_background_"
_NO_AREA = frozenset({"point", "points", "line", "linestrip"})
_SUFFIX = re.compile(r"^(.+?)[-_ ](\d+)$")


class LabelMeOptions(ReaderOptions):
    """LabelMe's own options."""

    strip_instance_suffix: bool = Field(
        False, description="Labels number instances (person-1, person-2), as old files do: the class is person."
    )


@register_reader
class LabelMeReader(Reader):
    name = "labelme"
    title = "LabelMe JSON"
    Options = LabelMeOptions

    @classmethod
    def sniff(cls, source: Path) -> Optional[Evidence]:
        looked = list(_first(_annotations(source), 12))
        fits = [path for path in looked if _looks_right(path)]
        if not fits:
            return None
        return Evidence(
            len(fits) / len(looked),
            (f'{len(fits)} of the first {len(looked)} JSON files have "shapes" and "imagePath"',),
        )

    def scan(self) -> Scan:
        paths = sorted(_annotations(self.source), key=lambda path: natural(path.as_posix()))
        if not paths:
            raise DataError(
                "no LabelMe annotation here",
                file=self.source,
                found="no .json file" if self.source.exists() else "no such folder",
                expected="a folder with LabelMe's JSON files, at any depth, or one such file",
            )
        root = self._root
        handles = [Handle(_stem(path, root), str(path), _split_of(path, root)) for path in paths]
        if len({handle.split for handle in handles}) > 1 and any(handle.split is None for handle in handles):
            handles = [msgspec.structs.replace(handle, split=None) for handle in handles]
        order = {"train": 0, "val": 1, "test": 2, None: 3}
        handles.sort(key=lambda handle: order[handle.split])
        listed = self._labels_file()
        return Scan(handles, listed)

    def read(self, handle: Handle) -> Sample:
        path = Path(handle.where)
        document = load_json(path)
        if not isinstance(document, dict) or not isinstance(document.get("shapes"), list):
            raise DataError(
                "not a LabelMe annotation",
                file=path,
                found=_keys(document),
                expected='an object with a list of "shapes"',
            )
        image, size, header = self._picture(path, document)
        shapes = _Shapes(path, size.width, size.height, self.options.strip_instance_suffix)
        shapes.read(document["shapes"])
        objects, skips, notes = settle(size, header, shapes.objects, str(path))
        return Sample(image, objects, handle.split, (*shapes.skips, *skips), (*shapes.notes, *notes))

    @property
    def _root(self) -> Path:
        return self.source if self.source.is_dir() else self.source.parent

    def _labels_file(self) -> Optional[ClassList]:
        for folder in (self._root, self._root.parent):
            file = folder / "labels.txt"
            if file.is_file():
                lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
                names = [line.strip() for line in lines if line.strip()]
                return ClassList.of([name for name in names if name not in (IGNORE, BACKGROUND)])
        return None

    def _picture(self, path: Path, document: dict[str, Any]) -> tuple[Image, Fit, images.Header]:
        declared = _size(document)
        file = self._find_picture(path, document.get("imagePath"))
        extra = {"flags": document["flags"]} if _any_flag(document.get("flags")) else None
        if file is not None:
            header = images.probe(file)
            name = self._name(file, path)
            size = fit(declared, header)
            return Image(name, size.width, size.height, file, header.orientation, extra=extra), size, header
        data = _embedded(document.get("imageData"), path)
        if data is not None:
            header = images.probe_bytes(data, f"{path}: imageData")
            size = fit(declared, header)
            name = f"{_stem(path, self._root)}{_ENDINGS.get(header.format, '.png')}"
            return Image(name, size.width, size.height, None, header.orientation, data, extra), size, header
        if declared is None:
            raise DataError(
                "neither the picture nor its size is to be found",
                file=path,
                found=f'"imagePath": {document.get("imagePath")!r}, no "imageData", no sizes',
                expected="the picture beside the JSON",
                hint="name the pictures' folder with --images-dir",
            )
        name = _tail(document.get("imagePath")) or path.stem
        folder = _stem(path, self._root).rpartition("/")[0]
        return (
            Image(f"{folder}/{name}" if folder else name, *declared, extra=extra),
            Fit(*declared),
            images.Header(*declared),
        )

    def _find_picture(self, path: Path, said: Any) -> Optional[str]:
        """The picture: where ``imagePath`` says, by its name alone, or the one with the JSON's own stem."""
        folders = [str(path.parent)]
        if self.options.images is not None:
            folders.append(str(self.options.images))
        if isinstance(said, str) and said and images.is_image(said):
            clean = said.replace("\\", "/")
            tries = [os.path.join(folder, clean) for folder in folders if not _absolute(said)]
            tries += [os.path.join(folder, _tail(said)) for folder in folders]
            if os.path.isabs(clean):
                tries.append(clean)
            for candidate in tries:
                if os.path.isfile(candidate):
                    return os.path.normpath(os.path.abspath(candidate))
        for folder in folders:
            for suffix in images.SUFFIXES:
                for ending in (suffix, suffix.upper()):
                    candidate = os.path.join(folder, path.stem + ending)
                    if os.path.isfile(candidate):
                        return os.path.abspath(candidate)
        return None

    def _name(self, file: str, path: Path) -> str:
        """The picture's name in the data set: its place below the source, else beside its JSON."""
        root = os.path.abspath(self._root)
        if file.startswith(root + os.sep):
            return file[len(root) + 1 :].replace(os.sep, "/")
        folder = _stem(path, self._root).rpartition("/")[0]
        base = os.path.basename(file)
        return f"{folder}/{base}" if folder else base


class _Shapes:
    """The shapes of one file on their way to objects: in order, parts of one group joined.

    Args:
        path: the annotation, for places.
        width, height: of the picture.
        strip: whether labels number their instances.
    """

    def __init__(self, path: Path, width: int, height: int, strip: bool) -> None:
        self.path = path
        self.width = width
        self.height = height
        self.strip = strip
        self.objects: list[Object] = []
        self.skips: list[Skip] = []
        self.notes: list[Note] = []

    def read(self, shapes: list[Any]) -> None:
        """Read all shapes; one that makes no object becomes a skip."""
        found: dict[Any, list[tuple[int, Object]]] = {}
        for index, entry in enumerate(shapes):
            try:
                label, number = self._label(entry, index)
                shape = self._shape(entry)
            except _NoObject as reason:
                place = f"{self.path}: shape {index}"
                self.skips.append(Skip(reason.kind, place, asked=reason.kind == "background", detail=str(reason)))
                continue
            crowd = label == IGNORE
            group = entry.get("group_id")
            key: Any = (label, group, number)
            if not isinstance(group, (int, str)) or isinstance(group, bool):
                key = (label, None, number) if number is not None else index
            made = Object(label, shape, crowd, f"shape {index}", _attributes(entry))
            found.setdefault(key, []).append((index, made))
        self.objects = [self._joined([made for _, made in parts]) for parts in found.values()]

    def _joined(self, parts: list[Object]) -> Object:
        if len(parts) == 1:
            return parts[0]
        first = parts[0]
        self.notes.append(
            Note("parts-joined", f"{self.path}: {first.place}", f"{len(parts)} parts of one {first.label}")
        )
        shape = geometry.join([part.shape for part in parts], self.height, self.width)
        return msgspec.structs.replace(first, shape=shape)

    def _label(self, entry: Any, index: int) -> tuple[str, Optional[int]]:
        if not isinstance(entry, dict):
            raise _NoObject("not-a-shape", f"found {type(entry).__name__}, expected an object")
        label = entry.get("label")
        if isinstance(label, (int, float)) and not isinstance(label, bool):
            label = str(label)
        if not isinstance(label, str) or not label.strip():
            raise _NoObject("no-label", f"label {label!r}")
        label = label.strip()
        if label == BACKGROUND:
            raise _NoObject("background", "the label _background_ means no object")
        numbered = _SUFFIX.match(label) if self.strip else None
        if numbered:
            return numbered.group(1), int(numbered.group(2))
        return label, None

    def _shape(self, entry: dict[str, Any]) -> Shape:
        kind = entry.get("shape_type") or "polygon"
        points = _points(entry.get("points"))
        if kind in _NO_AREA or (kind == "polygon" and len(points) == 1):
            raise _NoObject(f"{'point' if len(points) == 1 else kind}-has-no-area", f"a {kind} of {len(points)} points")
        if kind == "mask":
            return self._mask(entry.get("mask"), points)
        maker = _OUTLINES.get(kind)
        if maker is None:
            raise _NoObject("unknown-shape-type", repr(kind))
        part = maker(points)
        problem = geometry.polygon_problem(part)
        if problem:
            raise _NoObject("polygon-too-few-points" if len(part) < 6 else "polygon-unusable", problem)
        return Polygons([part])

    def _mask(self, text: Any, points: list[list[float]]) -> Shape:
        """A mask shape: a PNG in base64 whose upper left pixel lies at the floor of the first corner."""
        if not isinstance(text, str) or not points:
            raise _NoObject("mask-unreadable", "no mask or no corner")
        try:
            pixels = images.decode_labels(base64.b64decode(text, validate=False))
        except (binascii.Error, ValueError, DataError) as error:
            raise _NoObject("mask-unreadable", str(error).splitlines()[0]) from None
        left, top = (int(np.floor(min(point[axis] for point in points))) for axis in (0, 1))
        canvas = np.zeros((self.height, self.width), np.uint8)
        inside: np.ndarray = (pixels if pixels.ndim == 2 else pixels.max(axis=2)) > 0
        high, wide = inside.shape
        y0, x0 = max(top, 0), max(left, 0)
        y1, x1 = min(top + high, self.height), min(left + wide, self.width)
        if y0 < y1 and x0 < x1:
            canvas[y0:y1, x0:x1] = inside[y0 - top : y1 - top, x0 - left : x1 - left]
        return geometry.mask_to_rle(canvas)


class _NoObject(Exception):
    """A shape that is no object, and why: a skip's reason and detail."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


def _points(points: Any) -> list[list[float]]:
    if not isinstance(points, list):
        raise _NoObject("no-points", f"points {type(points).__name__}")
    for point in points:
        if (
            not isinstance(point, list)
            or len(point) < 2
            or type(point[0]) not in _NUMBERS
            or type(point[1]) not in _NUMBERS
        ):
            raise _NoObject("no-points", f"a point {point!r}")
    return points


_NUMBERS = frozenset({int, float})


def _polygon(points: list[list[float]]) -> list[float]:
    return [number for point in points for number in point[:2]]


def _rectangle(points: list[list[float]]) -> list[float]:
    if len(points) != 2:
        return _polygon(points)  # some tools write four corners
    (x0, y0), (x1, y1) = points[0][:2], points[1][:2]
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def _circle(points: list[list[float]]) -> list[float]:
    if len(points) != 2:
        raise _NoObject("circle-without-radius", f"{len(points)} points; a circle has its centre and one on the rim")
    (x, y), (x1, y1) = points[0][:2], points[1][:2]
    radius = float(np.hypot(x1 - x, y1 - y))
    return geometry.ellipse_polygon(x, y, radius, radius)


def _ellipse(points: list[list[float]]) -> list[float]:
    """From opposite corners of its box."""
    if len(points) != 2:
        return _polygon(points)
    (x0, y0), (x1, y1) = points[0][:2], points[1][:2]
    return geometry.ellipse_polygon((x0 + x1) / 2, (y0 + y1) / 2, abs(x1 - x0) / 2, abs(y1 - y0) / 2)


_OUTLINES = {
    "polygon": _polygon,
    "rectangle": _rectangle,
    "circle": _circle,
    "ellipse": _ellipse,
    "oriented_rectangle": _polygon,
    "rotation": _polygon,  # AnyLabeling's name for the same
}
_ENDINGS = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "TIFF": ".tif", "WEBP": ".webp"}


def _attributes(entry: dict[str, Any]) -> Optional[dict[str, Any]]:
    kept: dict[str, Any] = {}
    if _any_flag(entry.get("flags")):
        kept["flags"] = entry["flags"]
    if isinstance(entry.get("description"), str) and entry["description"]:
        kept["description"] = entry["description"]
    if isinstance(entry.get("attributes"), dict) and entry["attributes"]:
        kept.update(entry["attributes"])
    return kept or None


def _any_flag(flags: Any) -> bool:
    return isinstance(flags, dict) and any(flags.values())


def _size(document: dict[str, Any]) -> Optional[tuple[int, int]]:
    width, height = document.get("imageWidth"), document.get("imageHeight")
    if isinstance(width, (int, float)) and isinstance(height, (int, float)) and width > 0 and height > 0:
        return int(width), int(height)
    return None


def _embedded(text: Any, path: Path) -> Optional[bytes]:
    if not isinstance(text, str) or not text:
        return None
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text)
    except (binascii.Error, ValueError) as error:
        raise DataError("the embedded picture is damaged", file=path, place="imageData", found=str(error)) from None


def _annotations(source: Path) -> Iterator[Path]:
    if source.is_dir():
        yield from map(Path, walk(source, (".json",)))
    elif source.is_file():
        yield source


def _first(paths: Iterator[Path], count: int) -> Iterator[Path]:
    for path, _ in zip(paths, range(count)):
        yield path


def _looks_right(path: Path) -> bool:
    with open(path, "rb") as file:
        if b'"shapes"' not in file.read():
            return False
    try:
        document = load_json(path)
    except DataError:
        return False
    return isinstance(document, dict) and isinstance(document.get("shapes"), list) and "imagePath" in document


def _stem(path: Path, root: Path) -> str:
    """The annotation's place below the source, without its suffix, with forward slashes."""
    return path.relative_to(root).as_posix()[: -len(path.suffix) or None]


def _split_of(path: Path, root: Path) -> Optional[str]:
    """The split that the first folder's name says."""
    parts = path.relative_to(root).parts
    return canonical(parts[0]) if len(parts) > 1 else None


def _absolute(path: str) -> bool:
    return path.startswith("/") or PureWindowsPath(path).is_absolute()


def _tail(path: Any) -> str:
    """The last part of a path of any system."""
    return path.replace("\\", "/").rpartition("/")[2] if isinstance(path, str) else ""


def _keys(document: Any) -> str:
    return f"keys {', '.join(map(str, list(document)[:8]))}" if isinstance(document, dict) else type(document).__name__
