"""LabelMe's JSON (https://github.com/wkentaro/labelme, version 5) as the writer and predictions have it."""

from __future__ import annotations

import base64
from typing import Any

import orjson

from seg2knet.dataset.label_image import encode_png
from seg2knet.dataset.rle import rle_bbox, window
from seg2knet.dataset.sample import Object, Polygons


def shapes(item: Object, number: int) -> list[dict[str, Any]]:
    """An object as shapes: polygons as they are, several with ``number`` as their ``group_id``; a mask as what its
    box has. Attributes are the description.
    """
    text = "; ".join(f"{key}: {value}" for key, value in (item.attributes or {}).items())
    common: dict[str, Any] = {"label": item.label, "description": text, "flags": {}, "group_id": None, "mask": None}
    if isinstance(item.shape, Polygons):
        parts = item.shape.parts
        common |= {"shape_type": "polygon", "group_id": number if len(parts) > 1 else None}
        return [{**common, "points": list(zip(part[0::2], part[1::2]))} for part in parts]
    x, y, width, height = box = rle_bbox(item.shape)
    png = encode_png(window(item.shape, box).astype("uint8"))
    corners = [[x, y], [x + width - 1, y + height - 1]]
    return [{**common, "points": corners, "shape_type": "mask", "mask": base64.b64encode(png).decode()}]


def encoded(shapes: list[dict[str, Any]], width: int, height: int) -> bytes:
    """All of a file but its beginning, for ``document``."""
    rest = {"shapes": shapes, "imageHeight": height, "imageWidth": width}
    return orjson.dumps(rest, option=orjson.OPT_INDENT_2)[1:]


def document(image: str, encoded: bytes) -> bytes:
    """A whole file; ``image`` is the image's path from there."""
    head = b'{\n  "version": "5.5.0",\n  "flags": {},\n  "imagePath": %b,\n  "imageData": null,' % orjson.dumps(image)
    return head + encoded + b"\n"
