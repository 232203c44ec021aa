"""VGG Image Annotator 1 and 2 (https://www.robots.ox.ac.uk/~vgg/software/via/): JSON exports, project files, CSV.

``{"NAME" + "SIZE": {"filename", "size", "regions"}}``, where regions are a list (VIA 2) or an object (VIA 1) of
``shape_attributes``, pixels of the image, and ``region_attributes``, one of which is the class. VIA says no image
sizes, so images must be there. The COCO that VIA exports is read as ``coco``.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from itertools import zip_longest
from pathlib import PurePosixPath
from typing import Any, Optional
from urllib.parse import unquote, urlsplit

from typing_extensions import Literal

from seg2knet.converters.base import Handle, ReaderOptions
from seg2knet.converters.options import option
from seg2knet.converters.readers.common.canvas import Canvas, NotAnObject, box, ellipse, polygon
from seg2knet.converters.readers.common.json_reader import Record, RecordsReader, each, label_of
from seg2knet.converters.readers.common.sources import read_rows
from seg2knet.converters.registry import register_reader
from seg2knet.dataset.files import load_json
from seg2knet.dataset.sample import Note, Shape
from seg2knet.errors import DataError, UsageError

_REGION_COLUMNS = ("region_shape_attributes", "region_attributes")


class ViaOptions(ReaderOptions):
    class_attribute: Optional[str] = option(
        None, "The region attribute that holds the class; not needed where there is one alone."
    )
    class_name: str = option("object", "The class of all regions, where no region has an attribute.")
    polylines: Literal["skip", "as-polygons"] = option(
        "skip", "A polyline has no area: skip it, or close it, where outlines were traced with it."
    )


@register_reader
class ViaReader(RecordsReader):
    name = "via"
    title = "VIA (VGG Image Annotator)"
    Options = ViaOptions
    suffixes = (".json", ".csv")
    expected = 'entries with "filename" and "regions"'
    marks = (b'"filename"', b'"regions"')

    @classmethod
    def load(cls, path: str) -> Any:
        return _from_csv(path) if path.lower().endswith(".csv") else load_json(path)

    @classmethod
    def fits(cls, document: Any) -> bool:
        if not isinstance(document, dict):
            return False
        entries = document.get("_via_img_metadata", document)
        first = next(iter(entries.values()), None) if isinstance(entries, dict) else None
        return "_via_img_metadata" in document or (isinstance(first, dict) and {"filename", "regions"} <= first.keys())

    def records(self, document: Any, path: str) -> Iterable[Record]:
        entries = document.get("_via_img_metadata", document)
        given = {key: entry.get("regions") or [] for key, entry in entries.items() if isinstance(entry, dict)}
        regions = {key: list(one.values()) if isinstance(one, dict) else one for key, one in given.items()}
        attribute = self._attribute([region for one in regions.values() for region in one], path)
        options = document.get("_via_attributes", {}).get("region", {}).get(attribute, {}).get("options", {})
        for key, found in regions.items():
            file = entries[key]["filename"]
            name = (unquote(urlsplit(file).path) if "://" in file else "") or file
            yield PurePosixPath(name.replace("\\", "/")).name, [name, found, attribute, options]

    def _attribute(self, regions: list[Any], path: str) -> Optional[str]:
        """The attribute that is the class; ``None`` where regions have none, UsageError where they have several."""
        names = Counter(name for region in regions for name in region.get("region_attributes") or {})
        wanted = self.options.class_attribute
        if wanted is not None and names and wanted not in names:
            raise UsageError("no such region attribute", found=wanted, expected=f"one of {', '.join(sorted(names))}")
        if wanted is None and len(names) > 1:
            raise UsageError(
                "regions have several attributes: which one is the class?",
                found=f"{path}: {', '.join(f'{name} ({count})' for name, count in names.items())}",
                hint=f"--class-attribute {names.most_common(1)[0][0]}",
            )
        if not names and regions:
            detail = f"no region has an attribute, so all are of the class {self.options.class_name!r} (--class-name)"
            self.notes.append(Note("one-class", path, detail, len(regions)))
        return wanted or next(iter(names), None)

    def draw(self, handle: Handle, path: str, record: Any) -> Canvas:
        name, regions, attribute, options = record
        canvas = self.canvas(handle, path, [name])

        def take(region: Any, place: str) -> None:
            label = self.options.class_name
            if attribute is not None:
                label = _class(region["region_attributes"].get(attribute), options)
            canvas.add(label, self._shape(region["shape_attributes"]), place)

        return each(canvas, regions, "region", take)

    def _shape(self, shape: dict[str, Any]) -> Shape:
        kind = shape.get("name")
        if kind in ("polygon", "polyline"):
            if kind == "polyline" and self.options.polylines == "skip":
                raise NotAnObject("line-has-no-area", "a polyline; --polylines as-polygons closes it")
            xs, ys = shape["all_points_x"], shape["all_points_y"]
            if len(xs) != len(ys):
                raise NotAnObject("not-a-polygon", f"{len(xs)} x and {len(ys)} y")
            return polygon([number for point in zip(xs, ys) for number in point])
        if kind == "rect":
            return box(shape["x"], shape["y"], shape["width"], shape["height"], self.options.boxes)
        if kind == "circle":
            return ellipse(shape["cx"], shape["cy"], shape["r"], shape["r"])
        if kind == "ellipse":
            degrees = math.degrees(shape.get("theta") or 0)
            return ellipse(shape["cx"], shape["cy"], shape["rx"], shape["ry"], degrees)
        raise NotAnObject("point-has-no-area" if kind == "point" else "unknown-shape-type", f"a {kind}")


def _class(value: Any, options: dict[str, Any]) -> str:
    """From text, a number, or a checkbox's ``{"cat": true, "dog": false}``; option ids become what they stand for."""
    if isinstance(value, dict):
        ticked = [name for name, state in value.items() if state]
        if len(ticked) > 1:
            raise NotAnObject("several-classes", ", ".join(ticked))
        value = ticked[0] if ticked else None
    text = options.get(value) if isinstance(value, str) and isinstance(options, dict) else None
    return label_of(text if isinstance(text, str) and text.strip() else value)


def _from_csv(path: str) -> Any:
    """The CSV export as the JSON one."""
    document: dict[str, Any] = {}
    head, *rows = read_rows(path) or [[]]
    try:
        for row in (dict(zip_longest(head, values, fillvalue="")) for values in rows):
            name = row.get("filename") or row.get("#filename")
            if not name or any(column not in row for column in _REGION_COLUMNS):
                return None
            entry = document.setdefault(f"{name}{row.get('file_size')}", {"filename": name, "regions": []})
            shape, attributes = (json.loads(row[column]) for column in _REGION_COLUMNS)
            if shape:
                entry["regions"].append({"shape_attributes": shape, "region_attributes": attributes})
    except ValueError as error:
        raise DataError("not VIA's CSV", file=path, found=str(error)) from None
    return document
