"""LabelMe JSON (https://github.com/wkentaro/labelme, version 5): a file beside each image, and ``labels.txt``.

Polygons stay as they are, several parts share a ``group_id``; masks are shapes of type ``mask``, so that holes stay.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import orjson

from seg2knet.converters.base import IGNORE, Encoded, Measured, Writer
from seg2knet.converters.output.checking import read_back
from seg2knet.converters.registry import register_writer
from seg2knet.converters.splitting.names import without_suffix
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.label_image import encode_png
from seg2knet.dataset.rle import rle_to_mask
from seg2knet.dataset.sample import Note, Polygons, Skip


@register_writer
class LabelmeWriter(Writer):
    name = "labelme"
    title = "LabelMe JSON"

    def encode(self, measured: Measured) -> Encoded:
        image = measured.sample.image
        shapes: list[dict[str, Any]] = []
        skips, changes, written = [], [], 0
        for number, (item, rle, box) in enumerate(zip(measured.sample.objects, measured.rles, measured.boxes), 1):
            place = f"{image.name}: {item.place}"
            if item.iscrowd and item.label != IGNORE:
                skips.append(Skip("crowd", place, detail="LabelMe has no crowds"))
                continue
            written += 1
            if item.attributes:
                changes.append(Note("attributes-as-description", place, ", ".join(map(str, item.attributes))))
            text = "; ".join(f"{key}: {value}" for key, value in (item.attributes or {}).items())
            common = {"label": item.label, "description": text, "flags": {}}
            if isinstance(item.shape, Polygons):
                group = number if len(item.shape.parts) > 1 else None
                shapes += [
                    {**common, "points": list(zip(part[0::2], part[1::2])), "shape_type": "polygon", "group_id": group}
                    for part in item.shape.parts
                ]
                continue
            x, y, width, height = box
            png = encode_png(rle_to_mask(rle)[y : y + height, x : x + width].astype("uint8"))
            corners = [[x, y], [x + width - 1, y + height - 1]]
            mask = {"points": corners, "shape_type": "mask", "group_id": None, "mask": base64.b64encode(png).decode()}
            shapes.append({**common, **mask})
        rest = {"shapes": shapes, "imageHeight": image.height, "imageWidth": image.width}
        return Encoded(orjson.dumps(rest, option=orjson.OPT_INDENT_2)[1:], written, {}, tuple(skips), tuple(changes))

    def image(self, split: str, name: str) -> str:
        return f"{split}/{name}"

    def open(self, root: Path, classes: ClassList, meta: Optional[dict[str, Any]], splits: Sequence[str]) -> None:
        self._root = root
        (root / "labels.txt").write_text("".join(f"{name}\n" for name in classes.names), encoding="utf-8")

    def add(self, split: str, name: str, fragment: Any) -> None:
        file = self._root / split / f"{without_suffix(name)}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        path = orjson.dumps(name.rpartition("/")[2])
        head = b'{\n  "version": "5.5.0",\n  "flags": {},\n  "imagePath": %b,\n  "imageData": null,' % path
        file.write_bytes(head + fragment + b"\n")

    def close(self) -> None:
        pass

    def check(self, tree: Path, written: int) -> list[str]:
        return read_back(tree, "labelme", written)
