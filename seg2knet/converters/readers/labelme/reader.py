"""LabelMe JSON (https://github.com/wkentaro/labelme), versions 1 to 7, and what other tools write in its form.

One JSON an image: ``shapes`` with ``label``, ``points`` ``[[x, y], ...]``, ``shape_type`` (the oldest have none:
a polygon) and ``group_id``; ``imagePath``; ``imageData``, the image in base64. Coordinates are pixels of the image
as shown.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

from pydantic import Field

from seg2knet.converters.base import IGNORE, Handle, ReaderOptions, Scan
from seg2knet.converters.readers.common.canvas import Canvas
from seg2knet.converters.readers.common.json_reader import JsonReader, size_of
from seg2knet.converters.readers.common.sources import absent, read_list
from seg2knet.converters.readers.labelme.shapes import BACKGROUND, any_flag, draw
from seg2knet.converters.registry import register_reader
from seg2knet.converters.splitting.splits import canonical
from seg2knet.dataset import images
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.layout import SPLITS
from seg2knet.dataset.text import naturally
from seg2knet.errors import DataError

_ENDINGS = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "TIFF": ".tif", "WEBP": ".webp"}


class LabelMeOptions(ReaderOptions):
    """LabelMe's own options."""

    strip_instance_suffix: bool = Field(
        False, description="Labels number instances (person-1, person-2), as old files do: the class is person."
    )


@register_reader
class LabelMeReader(JsonReader):
    name = "labelme"
    title = "LabelMe JSON"
    paint_order = True
    Options = LabelMeOptions
    expected = '"shapes" and "imagePath"'

    def __init__(self, source: Path, options: Optional[ReaderOptions] = None) -> None:
        super().__init__(source, options)
        root = str(self.source if self.source.is_dir() else self.source.parent)
        self._root = os.path.join(root, "")  # before a path's part below it
        self._base = os.path.abspath(root)
        self._folders = [os.path.abspath(self.options.images)] if self.options.images is not None else []

    @classmethod
    def fits(cls, document: Any) -> bool:
        return isinstance(document, dict) and isinstance(document.get("shapes"), list)

    def scan(self) -> Scan:
        names = naturally(path[len(self._root) :] for path in self.files(self.source))
        if not names:
            raise absent("LabelMe's JSON files, at any depth, or one such file", self.source)
        parted = all(map(_split_of, names))
        handles = (
            Handle(_stem(name), [self._root + name, None], split)
            for split in (SPLITS if parted else (None,))
            for name in names
            if not parted or _split_of(name) == split
        )
        return Scan(list(handles), self.classes())

    def count(self, handle: Handle) -> int:
        document = self.load(handle.where[0])
        return len(document["shapes"]) if self.fits(document) else 0

    def draw(self, handle: Handle, path: str, record: Any) -> Canvas:
        stem = _stem(path[len(self._root) :])
        folder = stem.rpartition("/")[0]
        file = self._find_image(stem, record.get("imagePath"))
        data = _embedded(record.get("imageData"), path) if file is None else None
        if file is not None:
            # Named by its place below the source; one from elsewhere as if it stood beside its annotation.
            inside = file.startswith(self._base + os.sep)
            name = file[len(self._base) + 1 :].replace(os.sep, "/") if inside else _in(folder, os.path.basename(file))
        elif data is not None:
            name = stem + _ENDINGS.get(images.probe_bytes(data, f"{path}: imageData").format, ".png")
        else:
            name = _in(folder, _tail(record.get("imagePath")) or stem.rpartition("/")[2])
        declared = size_of((record.get("imageWidth"), record.get("imageHeight")))
        extra = {"flags": record["flags"]} if any_flag(record.get("flags")) else None
        canvas = Canvas(name, path, path=file, data=data, declared=declared, extra=extra)
        draw(canvas, record["shapes"], self.options.boxes, self.options.strip_instance_suffix)
        return canvas

    def classes(self) -> Optional[ClassList]:
        """Of ``labels.txt``, which LabelMe is started with."""
        for folder in (Path(self._base), Path(self._base).parent):
            if (folder / "labels.txt").is_file():
                names = dict.fromkeys(read_list(folder / "labels.txt"))
                return ClassList.of([name for name in names if name not in (IGNORE, BACKGROUND)])
        return None

    def _is_below(self, path: str) -> bool:
        """Whether a path is below the source or ``--images-dir``: an annotation must not fetch files from elsewhere."""
        whole = os.path.normpath(path)
        return any(whole.startswith(os.path.join(folder, "")) for folder in (self._base, *self._folders))

    def _find_image(self, stem: str, said: Any) -> Optional[str]:
        """The image: where ``imagePath`` says, by its name alone, or the one with the annotation's own stem."""
        folders = [os.path.dirname(f"{self._base}{os.sep}{stem}"), *self._folders]
        if isinstance(said, str) and images.is_image(said):
            clean = said.replace("\\", "/")
            for candidate in _tries(folders, clean):
                if os.path.isfile(candidate) and self._is_below(candidate):
                    return candidate if "/" not in clean else os.path.normpath(candidate)
        own = os.path.basename(stem)
        endings = (ending for suffix in images.SUFFIXES for ending in (suffix, suffix.upper()))
        paths = (f"{folder}/{own}{ending}" for ending in list(endings) for folder in folders)
        return next(filter(os.path.isfile, paths), None)


def _tries(folders: list[str], said: str) -> Iterator[str]:
    """Where an image may be that an annotation says is at ``said``."""
    absolute = said.startswith("/") or said[1:3] == ":/"  # of Windows, its back-slashes turned
    if not absolute:
        yield from (f"{folder}/{said}" for folder in folders)
    if "/" in said:
        yield from (f"{folder}/{_tail(said)}" for folder in folders)
    if os.path.isabs(said):
        yield said


def _in(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _embedded(text: Any, path: str) -> Optional[bytes]:
    if not isinstance(text, str) or not text:
        return None
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text)
    except (binascii.Error, ValueError) as error:
        raise DataError("the embedded image is damaged", file=path, place="imageData", found=str(error)) from None


def _stem(below: str) -> str:
    """An annotation's place below the source, without its suffix, with forward slashes."""
    return os.path.splitext(below)[0].replace(os.sep, "/")


def _split_of(below: str) -> Optional[str]:
    """The split that the first folder's name says."""
    folder, slash, _ = below.partition(os.sep)
    return canonical(folder) if slash else None


def _tail(path: Any) -> str:
    """The last part of a path of any system."""
    return path.replace("\\", "/").rpartition("/")[2] if isinstance(path, str) else ""
