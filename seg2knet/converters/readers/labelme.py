"""LabelMe JSON (https://github.com/wkentaro/labelme), versions 1 to 7, and what other tools write in its form.

One JSON an image: ``shapes`` with ``label``, ``points`` ``[[x, y], ...]``, ``shape_type`` (the oldest have none:
a polygon) and ``group_id``; ``imagePath``; ``imageData``, the image in base64. Coordinates are pixels of the image
as shown.
"""

from __future__ import annotations

import base64
import math
import os
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Optional, TypedDict, Union

import msgspec

from seg2knet.converters.base import IGNORE, Handle, ReaderOptions
from seg2knet.converters.options import option
from seg2knet.converters.readers.common.canvas import Canvas, NotAnObject, box, ellipse, polygon
from seg2knet.converters.readers.common.json_reader import JsonReader, each, flat, label_of, size_of
from seg2knet.converters.readers.common.sources import read_list, relative
from seg2knet.converters.registry import register_reader
from seg2knet.dataset import geometry, images
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.files import parse_json, read_json
from seg2knet.dataset.sample import Polygons, Shape
from seg2knet.errors import DataError

_ENDINGS = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "TIFF": ".tif", "WEBP": ".webp"}
_BACKGROUND = "_background_"
_NO_AREA = frozenset({"point", "points", "line", "linestrip"})
_OUTLINES = frozenset({"polygon", "rectangle", "ellipse", "oriented_rectangle", "rotation"})  # AnyLabeling's rotation
_NUMBERED = re.compile(r"^(.+?)(?:[-_ ](\d+)|(?<=[^\W\d])(\d+))$")


_NEAR = msgspec.Meta(ge=-1_000_000, le=1_000_000)
_Coordinate = Union[Annotated[int, _NEAR], Annotated[float, _NEAR]]


_Shape = TypedDict(  # noqa: UP013  # its points are checked while the file is parsed, and tuples then
    "_Shape", {
        "points": list[tuple[_Coordinate, _Coordinate]], "label": str, "shape_type": Any, "group_id": Any, "flags": Any,
        "description": Any, "attributes": Any, "mask": Any,
    }, total=False,
)  # fmt: skip
_Document = TypedDict(  # noqa: UP013
    "_Document", {
        "shapes": list[_Shape], "imagePath": Any, "imageData": Any, "imageWidth": Any, "imageHeight": Any, "flags": Any,
    }, total=False,
)  # fmt: skip
_DECODER = msgspec.json.Decoder(_Document)


class LabelMeOptions(ReaderOptions):
    strip_instance_suffix: bool = option(
        False, "Labels number instances (person-1, person-2), as old files do: the class is person."
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
        self._root = str(self.root)
        self._base = os.path.abspath(self._root)
        self._folders = [os.path.abspath(self.options.images)] if self.options.images is not None else []

    @classmethod
    def fits(cls, document: Any) -> bool:
        return isinstance(document, dict) and isinstance(document.get("shapes"), list)

    @classmethod
    def load(cls, path: str) -> Any:
        data = read_json(path)
        try:
            return _DECODER.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return parse_json(data, path)  # something unusual, or wrong: looked at piece by piece

    def count(self, handle: Handle) -> int:
        document = self.load(handle.where[0])
        return len(document["shapes"]) if self.fits(document) else 0

    def draw(self, handle: Handle, path: str, record: Any) -> Canvas:
        stem, said = os.path.splitext(relative(path, self._root))[0], record.get("imagePath")
        folder = stem.rpartition("/")[0]
        file = self._find_image(stem, said)
        data = _embedded(record.get("imageData"), path) if file is None else None
        if file is not None and file.startswith(self._base + os.sep):
            name = file[len(self._base) + 1 :].replace(os.sep, "/")
        elif data is not None:
            name = stem + _ENDINGS.get(images.probe_bytes(data, f"{path}: imageData").format, ".png")
        else:  # one from elsewhere as if it stood beside its annotation
            name = os.path.basename(file) if file is not None else _tail(said) or stem.rpartition("/")[2]
            name = f"{folder}/{name}" if folder else name
        declared = size_of((record.get("imageWidth"), record.get("imageHeight")))
        canvas = Canvas(name, path, path=file, data=data, declared=declared, extra=_flags(record) or None)

        def take(shape: Any, place: str) -> None:
            if type(shape) is not dict:
                raise NotAnObject("not-a-shape", f"found {type(shape).__name__}, expected an object")
            label, number = label_of(shape.get("label")), None
            if label == _BACKGROUND:
                raise NotAnObject("background", f"the label {_BACKGROUND} means no object", asked=True)
            numbered = _NUMBERED.match(label) if self.options.strip_instance_suffix else None
            if numbered:
                label, number = numbered[1], int(numbered[2] or numbered[3])
            outline = _outline(canvas, shape, self.options.boxes)
            group = shape.get("group_id") if type(shape.get("group_id")) in (int, str) else None
            key = None if number is None and group is None else (label, group, number)
            canvas.add(label, outline, place, group=key, attributes=_attributes(shape))

        return each(canvas, record["shapes"], "shape", take, first=0)

    def classes(self) -> Optional[ClassList]:
        """Of ``labels.txt``, which LabelMe is started with."""
        for folder in (Path(self._base), Path(self._base).parent):
            if (folder / "labels.txt").is_file():
                names = dict.fromkeys(read_list(folder / "labels.txt"))
                return ClassList.of([name for name in names if name not in (IGNORE, _BACKGROUND)])
        return None

    def _find_image(self, stem: str, said: Any) -> Optional[str]:
        """The image: where ``imagePath`` says, by its name alone, or the one with the annotation's own stem; always
        below the source or ``--images-dir``, for an annotation must not fetch files from elsewhere."""
        folders = [os.path.dirname(f"{self._base}{os.sep}{stem}"), *self._folders]
        if isinstance(said, str) and images.is_image(said):
            clean = said.replace("\\", "/")
            inside = tuple(os.path.join(folder, "") for folder in (self._base, *self._folders))
            for candidate in filter(os.path.isfile, _tries(folders, clean)):
                whole = candidate if "/" not in clean else os.path.normpath(candidate)
                if whole.startswith(inside):
                    return whole
        own = os.path.basename(stem)
        endings = [ending for suffix in images.SUFFIXES for ending in (suffix, suffix.upper())]
        paths = (f"{folder}/{own}{ending}" for ending in endings for folder in folders)
        return next(filter(os.path.isfile, paths), None)


def _tries(folders: list[str], said: str) -> Iterator[str]:
    """Where an image may be that an annotation says is at ``said``."""
    if not (said.startswith("/") or said[1:3] == ":/"):  # of Windows, its back-slashes turned
        yield from (f"{folder}/{said}" for folder in folders)
    if "/" in said:
        yield from (f"{folder}/{_tail(said)}" for folder in folders)
    if os.path.isabs(said):
        yield said


def _embedded(text: Any, path: str) -> Optional[bytes]:
    if not isinstance(text, str) or not text:
        return None
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text)
    except ValueError as error:
        raise DataError("the embedded image is damaged", file=path, place="imageData", found=str(error)) from None


def _tail(path: Any) -> str:
    """The last part of a path of any system."""
    return path.replace("\\", "/").rpartition("/")[2] if isinstance(path, str) else ""


def _outline(canvas: Canvas, shape: dict[str, Any], boxes: str) -> Shape:
    kind, pairs = shape.get("shape_type") or "polygon", shape.get("points")
    checked = isinstance(pairs, list) and pairs and type(pairs[0]) is tuple
    points = [*chain.from_iterable(pairs or ())] if checked else flat(pairs)
    if checked and kind == "polygon" and len(points) >= 6:
        return Polygons([points])
    if kind == "mask":
        return _mask(canvas, shape.get("mask"), points)
    if type(kind) is str and kind in _NO_AREA:
        raise NotAnObject(f"{kind}-has-no-area", f"a {kind} of {len(points) // 2} points")
    if kind == "circle":
        if len(points) != 4:
            detail = f"{len(points) // 2} points; a circle has its centre and one on the rim"
            raise NotAnObject("circle-without-radius", detail)
        radius = math.hypot(points[2] - points[0], points[3] - points[1])
        return polygon(geometry.ellipse_polygon(points[0], points[1], radius, radius), "polygon-unusable")
    if type(kind) is not str or kind not in _OUTLINES:
        raise NotAnObject("unknown-shape-type", repr(kind)[:80])
    if kind == "polygon" and len(points) == 2:
        raise NotAnObject("point-has-no-area", "a polygon of one point")
    if len(points) == 4 and kind == "ellipse":  # opposite corners of its box
        x0, y0, x1, y1 = points
        return ellipse((x0 + x1) / 2, (y0 + y1) / 2, abs(x1 - x0) / 2, abs(y1 - y0) / 2)
    xs, ys = points[0::2], points[1::2]
    if kind == "rectangle" and (len(points) == 4 or (len(points) == 8 and len(set(xs)) == len(set(ys)) == 2)):
        return box(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys), boxes)
    return polygon(points, "polygon-too-few-points" if len(points) < 6 else "polygon-unusable")


def _mask(canvas: Canvas, text: Any, points: list[float]) -> Shape:
    """A mask shape: a PNG in base64 whose upper left pixel lies at the floor of the first corner."""
    if not isinstance(text, str) or not points:
        raise NotAnObject("mask-unreadable", "no mask or no corner")
    pixels = images.decode_labels(base64.b64decode(text))
    left, top = math.floor(min(points[0::2])), math.floor(min(points[1::2]))
    return canvas.bitmap((pixels if pixels.ndim == 2 else pixels.max(axis=2)) > 0, left, top)


def _attributes(shape: dict[str, Any]) -> Optional[dict[str, Any]]:
    kept, text, attributes = _flags(shape), shape.get("description"), shape.get("attributes")
    if isinstance(text, str) and text:
        kept["description"] = text
    return {**kept, **attributes} if isinstance(attributes, dict) and attributes else kept or None


def _flags(entry: dict[str, Any]) -> dict[str, Any]:
    """The flags of a file or a shape, where one is set."""
    flags = entry.get("flags")
    return {"flags": flags} if isinstance(flags, dict) and any(flags.values()) else {}
