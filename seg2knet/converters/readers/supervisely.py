"""Supervisely projects (https://docs.supervisely.com): ``meta.json``, and in each data set ``ann/IMAGE.json`` and
``img/IMAGE``. Data sets called train, val and test are splits. Objects are polygons with holes, bitmaps (a PNG,
compressed, in base64, at an origin), rectangles whose last pixel counts; later ones lie over earlier ones.
"""

from __future__ import annotations

import base64
import contextlib
import io
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Optional

import numpy as np
from PIL import Image as pillow

from seg2knet.converters.base import Handle
from seg2knet.converters.readers.common.canvas import Canvas, NotAnObject, box
from seg2knet.converters.readers.common.json_reader import JsonReader, Record, each, flat, has, label_of
from seg2knet.converters.readers.common.sources import files_of, rgb
from seg2knet.converters.registry import register_reader
from seg2knet.dataset import images
from seg2knet.dataset.classes import ClassInfo, ClassList
from seg2knet.dataset.files import load_json
from seg2knet.dataset.sample import Shape
from seg2knet.errors import DataError

_NO_AREA = {"point": "point", "line": "line", "polyline": "line", "graph": "skeleton", "cuboid": "cuboid"}
_MAX_PNG = 1 << 26


@register_reader
class SuperviselyReader(JsonReader):
    name = "supervisely"
    title = "Supervisely"
    paint_order = True
    expected = 'a project: meta.json, DATASET/ann/IMAGE.json with "size" and "objects"'

    @classmethod
    def files(cls, source: Path) -> list[str]:
        files = super().files(source)
        return [path for path in files if os.path.basename(os.path.dirname(path)) == "ann" or source.is_file()]

    def listed(self, path: str, below: str, alone: bool) -> Iterable[Record]:
        return [("/".join(part for part in below.split("/") if part != "ann"), None)]

    @classmethod
    def fits(cls, document: Any) -> bool:
        return has(document, "objects", "size", "height")

    def classes(self) -> Optional[ClassList]:
        """Of ``meta.json``, in its order; DataError where it is of videos, point clouds or volumes."""
        paths = files_of(self.source, ("meta.json",)) if self.source.is_dir() else []
        for path in (path for path in paths if os.path.basename(path) == "meta.json"):
            meta = load_json(path)
            if not isinstance(meta, dict) or not isinstance(meta.get("classes"), list):
                continue
            kind = meta.get("projectType", "images")
            if kind != "images":
                raise DataError("a Supervisely project of images was expected", file=path, found=str(kind))
            entries = [one for one in meta["classes"] if isinstance(one, dict) and isinstance(one.get("title"), str)]
            infos = {one["title"]: ClassInfo(one["title"], color=rgb(one.get("color"))) for one in entries}
            return ClassList(tuple(info for name, info in infos.items() if name.strip()))
        return None

    def draw(self, handle: Handle, path: str, record: Any) -> Canvas:
        size, beside = record["size"], os.path.join(os.path.dirname(os.path.dirname(path)), "img")
        called = [os.path.basename(path)[: -len(".json")]]
        canvas = self.canvas(handle, path, called, (size["width"], size["height"]), [beside])

        def take(entry: Any, place: str) -> None:
            canvas.add(label_of(entry.get("classTitle")), self._shape(canvas, entry), place)

        return each(canvas, record["objects"], "object", take)

    def _shape(self, canvas: Canvas, entry: dict[str, Any]) -> Shape:
        kind = entry.get("geometryType") or entry.get("shape")
        if kind == "polygon":
            points = entry["points"]
            return canvas.rings([flat(points["exterior"])], [flat(ring) for ring in points.get("interior") or []])
        if kind in ("bitmap", "alpha_mask"):
            code = entry.get("bitmap") or entry.get("alpha_mask") or {}
            left, top = (int(number) for number in code["origin"])
            return canvas.bitmap(_bitmap(code["data"]), left, top)
        if kind == "rectangle":
            (left, top), (right, bottom) = entry["points"]["exterior"]
            x, y = min(left, right), min(top, bottom)
            return box(x, y, abs(right - left) + 1, abs(bottom - top) + 1, self.options.boxes)
        name = _NO_AREA.get(str(kind).partition("_")[0])
        raise NotAnObject(f"{name}-has-no-area" if name else "unknown-shape-type", f"a {kind}")


def _bitmap(text: str) -> np.ndarray:
    """``(h, w)`` bool: base64 of a PNG, compressed or not; its alpha, or what is not 0."""
    data = base64.b64decode(text)
    with contextlib.suppress(zlib.error):  # some tools leave it uncompressed
        data = zlib.decompressobj().decompress(data, _MAX_PNG)
    try:
        alpha = "A" in images.probe_bytes(data).mode
        with pillow.open(io.BytesIO(data)) as opened:
            pixels = np.asarray(opened.getchannel("A") if alpha else opened)
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error...
        raise NotAnObject("mask-unreadable", str(error).splitlines()[0]) from None
    return (pixels if pixels.ndim == 2 else pixels.max(axis=2)) > 0
