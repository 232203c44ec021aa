"""Pascal VOC (http://host.robots.ox.ac.uk/pascal/VOC/voc2012/): masks of classes and of objects with VOC's palette.

No white border; crowds are 255, ignored. ``labelmap.txt`` says the classes, as CVAT and Datumaro write it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from seg2knet.converters.base import IGNORE, Encoded, Measured, Writer
from seg2knet.converters.readers.voc.folders import palette
from seg2knet.converters.registry import register_writer
from seg2knet.converters.splitting.names import without_suffix
from seg2knet.converters.writers.painting import paint_all, write_labelmap
from seg2knet.dataset.classes import ClassList, Color
from seg2knet.dataset.images import saved
from seg2knet.errors import DataError

_FOLDERS = {"classes": "SegmentationClass", "objects": "SegmentationObject"}
IGNORED = 255
MOST = 254


@register_writer
class VocWriter(Writer):
    name = "voc"
    title = "Pascal VOC"
    needs_classes = True
    jpeg_only = True
    most_classes = MOST
    reread = True

    def encode(self, measured: Measured) -> Encoded:
        objects, name = measured.sample.objects, measured.sample.image.name
        if len(objects) > MOST:
            raise DataError("too many objects for a VOC mask", file=name, found=str(len(objects)))
        crowds = [item.iscrowd or item.label == IGNORE for item in objects]
        painting, skips, changes = paint_all(measured, self.options, crowds)
        ids = [IGNORED if crowd else index for index, crowd in enumerate(crowds, 1)]
        kinds = [IGNORED if crowd else self.numbers[item.label] for item, crowd in zip(objects, crowds)]
        tables = {"classes": [0, *kinds], "objects": [0, *ids]}
        blobs = {kind: _png(painting.image(np.array(table, np.uint8))) for kind, table in tables.items()}
        return Encoded(None, len(objects) - len(skips), blobs, skips, changes)

    def image(self, split: str, name: str) -> str:
        return f"JPEGImages/{split}/{name}"

    def blob(self, kind: str, split: str, name: str) -> str:
        return f"{_FOLDERS[kind]}/{split}/{without_suffix(name)}.png"

    def open(self, root: Path, classes: ClassList, meta: Optional[dict[str, Any]], splits: Sequence[str]) -> None:
        write_labelmap(root, dict(enumerate(zip(classes.names, _colors()[1:]), 1)))
        folder = root / "ImageSets" / "Segmentation"
        folder.mkdir(parents=True, exist_ok=True)
        self.files = {split: open(folder / f"{split}.txt", "w", encoding="utf-8") for split in splits}  # noqa: SIM115

    def add(self, split: str, name: str, fragment: Any) -> None:
        self.files[split].write(f"{split}/{without_suffix(name)}\n")


def _colors() -> list[Color]:
    return [(color & 255, color >> 8 & 255, color >> 16) for color in palette()]


def _png(numbers: np.ndarray) -> bytes:
    """``(H, W)`` uint8 as a PNG with VOC's palette."""
    from PIL import Image

    image = Image.fromarray(numbers, "P")
    image.putpalette([channel for color in _colors() for channel in color])
    return saved(image, "PNG")
