"""LabelMe JSON (https://github.com/wkentaro/labelme, version 5): a file beside each image, and ``labels.txt``.

Polygons stay as they are, several parts share a ``group_id``; masks are shapes of type ``mask``, so that holes stay.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import orjson

from seg2knet.converters.base import Encoded, Measured, Writer
from seg2knet.converters.registry import register_writer
from seg2knet.converters.splitting.names import without_suffix
from seg2knet.converters.writers.shapes import items
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.label_image import encode_png
from seg2knet.dataset.sample import Note, Skip


@register_writer
class LabelmeWriter(Writer):
    name = "labelme"
    title = "LabelMe JSON"
    reread = True

    def encode(self, measured: Measured) -> Encoded:
        image = measured.sample.image
        shapes: list[dict[str, Any]] = []
        skips: list[Skip] = []
        changes: list[Note] = []
        written = 0
        for item in items(measured, "LabelMe", skips, ignored=True):
            written += 1
            changes += item.attributes_as("attributes-as-description")
            text = "; ".join(f"{key}: {value}" for key, value in (item.object.attributes or {}).items())
            common: dict[str, Any] = {"label": item.object.label, "description": text, "flags": {}, "group_id": None}
            if item.polygons:
                group = item.number if len(item.polygons) > 1 else None
                shapes += [
                    {**common, "points": list(zip(part[0::2], part[1::2])), "shape_type": "polygon", "group_id": group}
                    for part in item.polygons
                ]
                continue
            x, y, width, height = item.box
            png = base64.b64encode(encode_png(item.window().astype("uint8"))).decode()
            corners = [[x, y], [x + width - 1, y + height - 1]]
            shapes.append({**common, "points": corners, "shape_type": "mask", "mask": png})
        rest = {"shapes": shapes, "imageHeight": image.height, "imageWidth": image.width}
        return Encoded(orjson.dumps(rest, option=orjson.OPT_INDENT_2)[1:], written, {}, skips, changes)

    def image(self, split: str, name: str) -> str:
        return f"{split}/{name}"

    def open(self, root: Path, classes: ClassList, meta: Optional[dict[str, Any]], splits: Sequence[str]) -> None:
        self._root = root
        (root / "labels.txt").write_text("".join(f"{name}\n" for name in classes.names), encoding="utf-8")

    def add(self, split: str, name: str, fragment: Any) -> None:
        file = self._root / split / f"{without_suffix(name)}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(document(name.rpartition("/")[2], fragment))


def document(image: str, fragment: bytes) -> bytes:
    """A finished LabelMe file: what was encoded, and the image's path from the file."""
    head = b'{\n  "version": "5.5.0",\n  "flags": {},\n  "imagePath": %b,\n  "imageData": null,' % orjson.dumps(image)
    return head + fragment + b"\n"
