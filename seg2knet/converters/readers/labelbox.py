"""Labelbox exports: v2 as NDJSON, a row an image, and v1 as a JSON list.

Masks are URLs that need a key or have expired: nothing is fetched. Files of them, named ``FEATURE_ID.png``, are taken
from anywhere below the source; what has none is a skip.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Optional

import numpy as np

from seg2knet.converters.base import Handle, ReaderOptions
from seg2knet.converters.options import option
from seg2knet.converters.readers.common.canvas import Canvas, NotAnObject, box, polygon
from seg2knet.converters.readers.common.encodings import foreground, grey
from seg2knet.converters.readers.common.json_reader import Record, RecordsReader, each, flat, label_of
from seg2knet.converters.readers.common.sources import labels_as_shown, read_text
from seg2knet.converters.registry import register_reader
from seg2knet.dataset.sample import Note, Rle, Shape, Skip
from seg2knet.errors import DataError, UsageError

_MAX_TEXT = 1 << 29
_KEYS = {"objects", "classifications"}


class LabelboxOptions(ReaderOptions):
    project: Optional[str] = option(None, "The project to read, by id or name, where rows have several.")
    label: Optional[int] = option(
        None, "Which of several labels of an image to read: 1 for the first, -1 for the last."
    )


@register_reader
class LabelboxReader(RecordsReader):
    name = "labelbox"
    title = "Labelbox"
    Options = LabelboxOptions
    suffixes = (".ndjson", ".jsonl", ".json")
    expected = 'rows with "data_row" and "projects" (v2), or a list with "Labeled Data" and "Label" (v1)'
    marks = (b'"data_row"', b'"projects"')

    @classmethod
    def load(cls, path: str) -> Any:
        if path.lower().endswith(".json"):
            return super().load(path)
        try:
            return [json.loads(line) for line in read_text(path, _MAX_TEXT).splitlines() if line.strip()]
        except (ValueError, RecursionError) as error:
            raise DataError("not NDJSON, a JSON object a line", file=path, found=str(error)) from None

    @classmethod
    def fits(cls, document: Any) -> bool:
        first = (document or [None])[0] if isinstance(document, list) else document
        return isinstance(first, dict) and ({"data_row", "projects"} <= first.keys() or "Labeled Data" in first)

    def records(self, document: Any, path: str) -> Iterable[Record]:
        for number, row in enumerate(document if isinstance(document, list) else [document], 1):
            if "data_row" in row:
                yield from self._row(row, f"{path}: row {number}")
                continue
            name = row.get("External ID") or row["Labeled Data"].partition("?")[0].rpartition("/")[2]
            label = row.get("Label")
            if not isinstance(label, dict):
                self.notes.append(Note("skipped-by-annotator", f"{path}: row {number}", f"Label: {label!r}"))
                label = {"objects": []}
            yield name, [[name], None, label.get("objects", []) if label.keys() & _KEYS else _oldest(label)]

    def _row(self, row: dict[str, Any], place: str) -> Iterable[Record]:
        data, media = row["data_row"], row.get("media_attributes") or {}
        wanted, projects = self.options.project, row["projects"]
        if wanted is not None:
            projects = {key: value for key, value in projects.items() if wanted in (key, value.get("name"))}
        if len(projects) > 1:
            found = ", ".join(f"{key} ({value.get('name')})" for key, value in projects.items())
            raise UsageError("an image of several projects", found=f"{place}: {found}", hint="--project ID")
        labels, label = [one for value in projects.values() for one in value["labels"]], self.options.label
        if len(labels) > 1:
            if label is None:
                found = f"{place}: {len(labels)} labels"
                raise UsageError("an image with several labels", found=found, hint="--label 1, or -1 for the last")
            labels = labels[label - (label > 0) :][:1]
        objects = labels[0]["annotations"].get("objects", []) if labels else []
        called = [data.get("external_id"), data.get("global_key"), data.get("row_data", "").rpartition("/")[2]]
        called = [name for name in called if isinstance(name, str) and name]
        if not called:
            self.skips.append(Skip("no-image-name", place, max(len(objects), 1)))
            return
        size = [media.get("width"), media.get("height")] if media.get("width") and media.get("height") else None
        yield called[0].replace("\\", "/").rpartition("/")[2], [called, size, objects]

    def draw(self, handle: Handle, path: str, record: Any) -> Canvas:
        called, size, objects = record
        canvas = self.canvas(handle, path, called, size)

        def take(entry: Any, place: str) -> None:
            label = label_of(entry.get("name") or entry.get("title") or entry.get("value"))
            canvas.add(label, self._shape(canvas, entry), place)

        return each(canvas, objects, "object", take)

    def _shape(self, canvas: Canvas, entry: dict[str, Any]) -> Shape:
        sides = entry.get("bounding_box") or entry.get("bbox")
        if sides:
            return box(sides["left"], sides["top"], sides["width"], sides["height"], self.options.boxes)
        if entry.get("polygon"):
            return polygon(flat(entry["polygon"]))
        for key in ("line", "point"):
            if entry.get(key):
                raise NotAnObject(f"{key}-has-no-area", f"a {key}")
        return self._mask(canvas, entry)

    def _mask(self, canvas: Canvas, entry: dict[str, Any]) -> Rle:
        feature = entry.get("feature_id") or entry.get("featureId")
        files = self.images.matches(f"{feature}.png") if isinstance(feature, str) else []
        if len(files) != 1:
            detail = f"nothing is fetched: download it as {feature}.png to anywhere below the source"
            raise NotAnObject("mask-is-a-url", detail)
        labels = labels_as_shown(files[0])
        color = (entry.get("composite_mask") or {}).get("color_rgb")
        exact = bool(color) and labels.ndim == 3
        mask = (labels == np.asarray(color)).all(axis=2) if exact else foreground(grey(labels), files[0])
        if mask.shape != (canvas.height, canvas.width):
            raise NotAnObject("size-differs", f"the mask is {mask.shape[1]}x{mask.shape[0]}")
        return canvas.bitmap(mask)


def _oldest(label: dict[str, Any]) -> list[dict[str, Any]]:
    """``{class: [{"geometry": [{"x", "y"}]}]}`` as objects."""
    lists = {name: entries for name, entries in label.items() if isinstance(entries, list)}
    return [{"name": name, "polygon": entry["geometry"]} for name, entries in lists.items() for entry in entries]
