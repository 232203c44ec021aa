"""OpenImages V5 and later (https://storage.googleapis.com/openimages/web/factsfigures_v7.html): mask PNGs and the CSVs
``SPLIT-annotations-object-segmentation.csv`` that say whose they are. A mask may be smaller or larger than its image.
"""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import Any, Optional

import cv2
import numpy as np

from seg2knet.converters.base import Evidence, Handle, Scan
from seg2knet.converters.readers.common import sources
from seg2knet.converters.readers.common.canvas import Canvas
from seg2knet.converters.readers.common.encodings import foreground, grey
from seg2knet.converters.readers.common.lists import Splits
from seg2knet.converters.readers.common.sources import ImageFiles, SourceReader, absent, files_of, labels_as_shown
from seg2knet.converters.registry import register_reader
from seg2knet.converters.splitting.splits import canonical
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.files import walk
from seg2knet.dataset.sample import Note, Sample, Skip
from seg2knet.dataset.text import natural
from seg2knet.errors import DataError

_CSV = "annotations-object-segmentation.csv"
_NAMES = "class-descriptions"
_MAX_CSV = 1 << 30
_COLUMNS = ["MaskPath", "ImageID", "LabelName"]


@register_reader
class OpenImagesReader(SourceReader):
    name = "openimages"
    title = "OpenImages masks"

    @classmethod
    def evidence(cls, source: Path) -> Optional[Evidence]:
        files = _tables(source)
        return Evidence(0.97, (f"{os.path.basename(files[0])} says whose masks are",)) if files else None

    def scan(self) -> Scan:
        files = _tables(self.source)
        if not files:
            raise absent(f"SPLIT-{_CSV}, and the masks that it lists", self.source)
        pngs, names = ImageFiles(self.source, walk(self.source, (".png",))), _class_names(self.source)
        found: dict[str, list[Any]] = {}
        skips: list[Skip] = []
        for file in files:
            split = canonical(os.path.basename(file).partition("-")[0]) or ""
            for number, (png, shown, label) in enumerate(_rows(file), 2):
                image, mask = self._image(shown, split), pngs.find(png)
                place = f"{file}: line {number}"
                if image is None or mask is None:
                    missing = f"image {shown}" if image is None else png
                    skips.append(Skip("image-missing" if image is None else "mask-missing", place, detail=missing))
                    continue
                name = sources.relative(image, str(self.source))
                key = name if split and split in map(canonical, name.split("/")) else posixpath.join(split, name)
                found.setdefault(key, [image]).append([names.get(label, label), mask, place])
        if not found:
            rows = f"{len(skips)} rows"
            raise DataError("not one image with its mask", file=self.source, found=rows, hint="--images-dir DIR")
        handles = Splits({}).handles(sorted(found.items(), key=lambda item: natural(item[0])))
        used = {label for _, *masks in found.values() for label, *_ in masks}
        classes = ClassList.of([name for name in dict.fromkeys(names.values()) if name in used])
        unused = len(set(names.values()) - used)
        note = Note("class-without-mask", str(self.source), "a class that no mask is of is left out", unused)
        known = classes if used <= set(classes.names) else None
        return Scan(handles, known, tuple(skips), (note,) if unused else ())

    def read(self, handle: Handle) -> Sample:
        image, *masks = handle.where
        canvas = Canvas(handle.name, image, path=image)
        for label, path, place in masks:
            with canvas.skipping(place):
                mask = foreground(grey(labels_as_shown(path)), path)
                if mask.shape != (canvas.height, canvas.width):
                    size = (canvas.width, canvas.height)
                    canvas.note("mask-resized", place, f"{mask.shape[1]}x{mask.shape[0]} to {size[0]}x{size[1]}")
                    mask = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
                canvas.add(label, canvas.bitmap(mask), place)
        return canvas.sample(handle.split)

    def _image(self, number: str, split: str) -> Optional[str]:
        """An image by its id; the one in the split's folder, where several have it."""
        paths = [path for path in self.images.matches(number) if os.path.splitext(os.path.basename(path))[0] == number]
        inside = [
            path for path in paths if split in map(canonical, sources.relative(path, str(self.source)).split("/"))
        ]
        paths = inside if len(paths) > 1 else paths
        return paths[0] if len(paths) == 1 else None


def _class_names(source: Path) -> dict[str, str]:
    """Names by id (``/m/04yx4``); the file has a heading in V6, none before."""
    paths = (path for path in files_of(source, (".csv",)) if _NAMES in os.path.basename(path))
    rows = (row for path in paths for row in sources.read_rows(path) if len(row) > 1)
    return {row[0]: row[1] for row in rows if row[0] != "LabelName"}


def _tables(source: Path) -> list[str]:
    return files_of(source, (_CSV,)) if source.is_dir() else []


def _rows(path: str) -> list[list[str]]:
    """Of each mask its file, its image and its class; what a row that is cut off lacks is empty."""
    head, *rows = sources.read_rows(path, _MAX_CSV) or [_COLUMNS]
    if not set(head).issuperset(_COLUMNS):
        found, expected = ", ".join(head)[:200], ", ".join(_COLUMNS)
        raise DataError("not OpenImages' table", file=path, found=found, expected=expected)
    places = [head.index(column) for column in _COLUMNS]
    return [[row[place] if place < len(row) else "" for place in places] for row in rows]
