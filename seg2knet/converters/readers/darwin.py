"""V7 Darwin JSON 1.0 and 2.0 (https://docs.v7labs.com/reference/darwin-json): one file an image.

The paths of a polygon are filled by the even-odd rule: a ring in another is a hole. Masks of a raster layer are one
run-length code, row by row, whose values stand for the annotations with ``mask``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from seg2knet.converters.base import Handle
from seg2knet.converters.readers.common.canvas import Canvas, NotAnObject, box, ellipse
from seg2knet.converters.readers.common.json_reader import JsonReader, each, flat, has, label_of
from seg2knet.converters.registry import register_reader
from seg2knet.dataset.sample import Shape
from seg2knet.errors import DataError

_NO_AREA = ("line", "keypoint", "skeleton", "cuboid", "tag", "string", "table", "link", "graph")


@register_reader
class DarwinReader(JsonReader):
    name = "darwin"
    title = "V7 Darwin JSON"
    expected = 'an object with "item" (or "image") and "annotations"'

    @classmethod
    def fits(cls, document: Any) -> bool:
        return has(document, "annotations", "item") or has(document, "annotations", "image", "filename")

    def draw(self, handle: Handle, path: str, record: Any) -> Canvas:
        item = record.get("item") or record["image"]
        slot: dict[str, Any] = next(iter(item.get("slots") or [item]))
        if slot.get("type", "image") != "image":
            raise DataError("not an image", file=path, found=str(slot["type"]), hint="export the frames as images")
        files = slot.get("source_files") or [{}]
        name = item.get("name") or item.get("filename") or files[0].get("file_name") or handle.name
        folder = str(item.get("path") or "/").strip("/")
        called = [f"{folder}/{name}" if folder else name, name, str(item.get("original_filename") or name)]
        canvas = self.canvas(handle, path, called, (slot.get("width"), slot.get("height")))
        masks = self._raster(canvas, record["annotations"])

        def take(entry: Any, place: str) -> None:
            if "raster_layer" in entry:
                return
            if "slot_names" in entry and slot.get("slot_name") not in (None, *entry["slot_names"]):
                raise NotAnObject("of-another-slot", f"{entry['slot_names']}: images of several slots are not read")
            shape = masks.get(entry.get("id")) if "mask" in entry else self._shape(canvas, entry)
            if shape is None:
                raise NotAnObject("no-pixels", "the raster layer has no pixel of it")
            canvas.add(label_of(entry.get("name")), shape, place)

        return each(canvas, record["annotations"], "annotation", take)

    def _shape(self, canvas: Canvas, entry: dict[str, Any]) -> Shape:
        for key in ("polygon", "complex_polygon"):
            if key in entry:
                paths = entry[key].get("paths") or entry[key]["path"]
                rings = [flat(ring) for ring in (paths if isinstance(paths[0], list) else [paths])]
                return canvas.rings(rings, even_odd=True)
        if "ellipse" in entry:
            center, radius = entry["ellipse"]["center"], entry["ellipse"]["radius"]
            degrees = math.degrees(entry["ellipse"].get("angle") or 0)
            return ellipse(center["x"], center["y"], radius["x"], radius["y"], degrees)
        found = next((key for key in _NO_AREA if key in entry), None)
        if found is None and "bounding_box" in entry:
            sides = entry["bounding_box"]
            return box(sides["x"], sides["y"], sides["w"], sides["h"], self.options.boxes)
        raise NotAnObject(f"{found}-has-no-area" if found else "unknown-shape-type", ", ".join(entry)[:100])

    def _raster(self, canvas: Canvas, annotations: list[Any]) -> dict[str, Shape]:
        """Masks of the raster layers by annotation id."""
        masks: dict[str, Shape] = {}
        layers = [entry.get("raster_layer") for entry in annotations if isinstance(entry, dict)]
        for layer in filter(None, layers):
            code = np.asarray(layer["dense_rle"], np.int64).reshape(-1, 2)
            if (code[:, 1] < 0).any() or code[:, 1].sum() != canvas.height * canvas.width:
                raise ValueError(f"dense_rle sums to {code[:, 1].sum()}, not to {canvas.height * canvas.width}")
            labels = np.repeat(code[:, 0], code[:, 1]).reshape(canvas.height, canvas.width)
            for key, value in layer["mask_annotation_ids_mapping"].items():
                if (labels == value).any():
                    masks[key] = canvas.bitmap(labels == value)
        return masks
