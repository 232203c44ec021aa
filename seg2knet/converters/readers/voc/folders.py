"""Pascal VOC's folders, and what its XML says of objects.

Format: Everingham et al., *The PASCAL Visual Object Classes Challenge 2012 Development Kit*, sections 4 and 10.2. Boxes
are counted from 1 and hold their last pixel: ``xmin`` 1, ``xmax`` 3 are the first three columns.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, Optional

import msgspec

from seg2knet.converters.readers.common import xml
from seg2knet.converters.readers.common.labelmap import Labelmap
from seg2knet.converters.readers.common.sources import ImageFiles, by_stem
from seg2knet.dataset.files import walk
from seg2knet.dataset.images import SUFFIXES
from seg2knet.errors import DataError

NAMES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""The challenge's classes; their numbers begin with 1."""

_CLASS_FOLDERS = ("SegmentationClass", "SegmentationClassPNG", "SegmentationClassRaw", "SegmentationClassAug")
_OBJECT_FOLDERS = ("SegmentationObject", "SegmentationObjectPNG")
_XML_FOLDERS = ("Annotations",)
_IMAGE_FOLDERS = ("JPEGImages", "PNGImages", "Images", "img")


class Root:
    """A folder laid out as VOC's, or in no way (``flat``): XML files anywhere, images beside them. ``prefix`` is what
    the names of its images begin with; ``files`` are by kind and relative path without suffix."""

    def __init__(self, path: Path, prefix: str, images: Optional[Path], flat: bool = False) -> None:
        self.path = path
        self.prefix = prefix
        self.flat = flat
        xmls = path if flat else _child(path, _XML_FOLDERS, (".xml",))
        classes, objects = (None if flat else _child(path, names) for names in (_CLASS_FOLDERS, _OBJECT_FOLDERS))
        self.classes, self.xmls = by_stem(classes, SUFFIXES), by_stem(xmls, (".xml",))
        self.files = {"classes": self.classes, "objects": by_stem(objects, SUFFIXES), "xml": self.xmls}
        root = images or (None if flat else _child(path, _IMAGE_FOLDERS)) or path
        masks = {*self.classes.values(), *self.files["objects"].values()}  # they are no images of a set that has none
        self.images = ImageFiles(root, (file for file in walk(root, SUFFIXES) if file not in masks))


class Boxed(msgspec.Struct, frozen=True):
    """An object of an XML file: its class, its box (x, y, width, height in pixels from 0; ``None`` where it has none
    that can be), the flat polygon where a tool wrote one, ``difficult`` and the like."""

    name: str
    box: Optional[tuple[float, float, float, float]]
    polygon: Optional[list[float]]
    attributes: dict[str, Any]


class Document(msgspec.Struct, frozen=True):
    """An XML file: the image's name and size, where they are said, and the objects."""

    filename: str
    size: Optional[tuple[int, int]]
    objects: list[Boxed]


def roots(source: Path, images: Optional[Path]) -> list[Root]:
    """All VOC folders in a source: itself, or those up to two levels down (``VOCdevkit/VOC2012``)."""
    if not source.is_dir():
        return []
    for depth in ("", "*", "*/*"):
        folders = sorted(path for path in source.glob(depth) if path.is_dir()) if depth else [source]
        found = [path for path in folders if _child(path, _CLASS_FOLDERS) or _child(path, _XML_FOLDERS, (".xml",))]
        if found:
            prefixes = [path.relative_to(source).as_posix() + "/" if len(found) > 1 else "" for path in found]
            return [Root(path, prefix, images) for path, prefix in zip(found, prefixes)]
    flat = any(xml.root_tag(path) == "annotation" for path in walk(source, (".xml",)))
    return [Root(source, "", images, flat=True)] if flat else []


def _child(folder: Path, names: Sequence[str], suffixes: Sequence[str] = SUFFIXES) -> Optional[Path]:
    """The first of these folders that holds such files, in any case of letters: labelme2voc fills ``SegmentationClass``
    with arrays and puts the images of them into ``SegmentationClassPNG``."""
    inside = {}
    with contextlib.suppress(OSError):
        inside = {entry.name.lower(): Path(entry.path) for entry in os.scandir(folder) if entry.is_dir()}
    there = [inside[name.lower()] for name in names if name.lower() in inside]
    return next((path for path in there if any(True for _ in walk(path, suffixes))), None)


def palette(count: int = 256) -> list[int]:
    """VOC's colour of each number (the kit's ``VOClabelcolormap``), packed as ``red | green << 8 | blue << 16``."""
    bits = [(3 * bit + channel, 8 * channel + 7 - bit) for bit in range(8) for channel in range(3)]
    return [sum((number >> source & 1) << target for source, target in bits) for number in range(count)]


def with_palette(labelmap: Labelmap) -> Labelmap:
    """A label map that says no colours, with VOC's."""
    numbers = {number for number in (*labelmap.names, *labelmap.void) if 0 <= number < 256}
    colors = labelmap.colors or {color: number for number, color in enumerate(palette()) if number in numbers}
    return msgspec.structs.replace(labelmap, colors=colors)


def document(path: str) -> Document:
    """Read an XML file; DataError where it is no XML, or of another kind."""
    root = xml.read(path)
    if root.tag != "annotation":
        raise DataError("not a VOC annotation", file=path, found=f"<{root.tag}>", expected="<annotation>")
    if root.find("object/polygon/pt") is not None or root.find("object/segm") is not None:
        raise DataError(
            "an annotation of LabelMe's old web tool, which is another format with the same first tag", file=path,
            found="<polygon><pt>", expected="<bndbox>",
            hint="open and save it with LabelMe (https://github.com/wkentaro/labelme) and convert its JSON",
        )  # fmt: skip
    width, height = (xml.number(root.findtext(f"size/{side}")) for side in ("width", "height"))
    size = (int(width), int(height)) if width and height and 1 <= width < 1e9 and 1 <= height < 1e9 else None
    return Document(xml.text(root, "filename"), size, [_boxed(element) for element in root.findall("object")])


def _boxed(element: Any) -> Boxed:
    found = (xml.number(element.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax"))
    sides, box = [side for side in found if side is not None], None
    if len(sides) == 4:
        left, top, right, bottom = sides
        # A tool that counts from 0 writes 0, which VOC never does.
        x, y = max(left - 1, 0.0), max(top - 1, 0.0)
        if right > x and bottom > y and max(map(abs, (x, y, right, bottom))) < 1e7:
            box = (x, y, right - x, bottom - y)
    flags = (key for key in ("difficult", "truncated", "occluded") if xml.text(element, key) == "1")
    attributes: dict[str, Any] = dict.fromkeys(flags, True)
    if xml.text(element, "pose").lower() not in ("", "unspecified"):
        attributes["pose"] = xml.text(element, "pose")
    return Boxed(xml.text(element, "name"), box, _polygon(element), attributes)


def _polygon(element: Any) -> Optional[list[float]]:
    """Roboflow's ``<polygon><x1>..</x1><y1>..</y1>...``; its numbers are from 0."""
    polygon = element.find("polygon")
    if polygon is None:
        return None
    pairs = ((polygon.findtext(f"x{index}"), polygon.findtext(f"y{index}")) for index in range(1, len(polygon) + 1))
    points = takewhile(lambda point: None not in point, (tuple(map(xml.number, pair)) for pair in pairs))
    return [number for point in points for number in point if number is not None] or None
