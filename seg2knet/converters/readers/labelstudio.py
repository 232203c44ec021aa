"""Label Studio JSON (https://labelstud.io/guide/export): tasks with ``data`` and ``annotations``; JSON-MIN.

Coordinates are percent of the image. A geometry and its label are one item of a result, or two with one ``id``.

Brush strokes are the bit stream of thi.ng's rle-pack, which is not COCO's run-length code.

32 bits: how many values; 5: their size in bits, less one; 4 times 4: bits of a run's length, less one, by size class.
Then runs until all values are there: one bit that says whether the run repeats one value, 2 bits of size class, the
length less one, and the value or the values. Values are red, green, blue, alpha, pixel by pixel, row by row.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Optional
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from seg2knet.converters.base import Handle, ReaderOptions
from seg2knet.converters.options import option
from seg2knet.converters.readers.common.canvas import Canvas, NotAnObject, box, ellipse, polygon
from seg2knet.converters.readers.common.json_reader import Record, RecordsReader, each, flat, label_of
from seg2knet.converters.registry import register_reader
from seg2knet.dataset.grouping import grouped
from seg2knet.dataset.rle import size_allowed
from seg2knet.dataset.sample import Note, Shape
from seg2knet.errors import DataError, UsageError

_GEOMETRY = ("points", "rle", "radiusX", "width", "x")
_NOT_REGIONS = frozenset({"relation", "choices", "textarea", "rating", "taxonomy", "number", "pairwise", "datetime"})
_UPLOADED = re.compile(r"^[0-9a-f]{8}-(.+)$")
_MIN_KEYS = frozenset({"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time"})


class LabelStudioOptions(ReaderOptions):
    annotator: Optional[str] = option(
        None,
        "Which annotation of a task to read where there are several: newest, ground-truth, all (their "
        "objects together), or an annotator's id.",
    )
    predictions: bool = option(False, "Read a model's predictions where a task has no annotation.")


@register_reader
class LabelStudioReader(RecordsReader):
    name = "labelstudio"
    title = "Label Studio JSON"
    Options = LabelStudioOptions
    expected = 'tasks with "data" and "annotations"'
    marks = (b'"data"', b'"result"')

    @classmethod
    def fits(cls, document: Any) -> bool:
        first = (document or [None])[0] if isinstance(document, list) else document
        if not isinstance(first, dict):
            return False
        done = any(isinstance(first.get(key), list) for key in ("annotations", "completions", "predictions"))
        return (isinstance(first.get("data"), dict) and done) or "annotation_id" in first or _is_stored(first)

    def records(self, document: Any, path: str) -> Iterable[Record]:
        cancelled = 0
        for number, task in enumerate(document if isinstance(document, list) else [document], 1):
            if _is_stored(task):
                if not isinstance(task["task"], dict):
                    hint = "choose Export, JSON in the project: it has tasks and annotations together"
                    raise DataError("Label Studio's annotations without their tasks", file=path, hint=hint)
                task = {**task["task"], "annotations": [task]}
            place = f"{path}: task {task.get('id', number)}"
            if "data" not in task:
                task = _from_min(task)
            annotations = task.get("annotations") or task.get("completions") or []
            kept = [one for one in annotations if not (one.get("was_cancelled") or one.get("skipped"))]
            cancelled += len(annotations) - len(kept)
            if not kept and self.options.predictions:
                kept = (task.get("predictions") or [])[-1:]
            kept = self._chosen(kept, place)
            results = [item for one in kept for item in one.get("result") or []]
            yield from _images(task, results)
        if cancelled:
            self.notes.append(Note("cancelled-annotation", path, "was_cancelled, so left out", cancelled))

    def _chosen(self, annotations: list[dict[str, Any]], place: str) -> list[dict[str, Any]]:
        """Those that the options name; UsageError where there are several and they do not."""
        wanted = self.options.annotator
        if wanted == "ground-truth" and any(one.get("ground_truth") for one in annotations):
            annotations = [one for one in annotations if one.get("ground_truth")]
        elif wanted not in (None, "newest", "all", "ground-truth"):
            return [one for one in annotations if _annotator(one) == wanted]
        if len(annotations) < 2 or wanted == "all":
            return annotations
        if wanted == "newest":
            return [max(annotations, key=lambda one: str(one.get("updated_at") or one.get("created_at") or ""))]
        raise UsageError(
            "a task with several annotations: which one to read?",
            found=f"{place}: by {', '.join(_annotator(one) for one in annotations)}",
            hint="--annotator newest, ground-truth, all, or an annotator's id",
        )

    def draw(self, handle: Handle, path: str, record: Any) -> Canvas:
        called, results = record
        sizes = ((item.get("original_width"), item.get("original_height")) for item in results)
        canvas = self.canvas(handle, path, called, next((size for size in sizes if all(size)), None))

        def take(region: Any, place: str) -> None:
            value, kind, label = region
            shape = self._shape(canvas, value, kind)
            canvas.add(label_of(label), shape, place)

        return each(canvas, list(_regions(results)), "region", take)

    def _shape(self, canvas: Canvas, value: dict[str, Any], kind: str) -> Shape:
        across, down = canvas.width / 100, canvas.height / 100
        if "rle" in value:
            return canvas.bitmap(brush_mask(value["rle"], canvas.height, canvas.width))
        if "points" in value:
            if value.get("closed") is False:
                raise NotAnObject("line-has-no-area", "an open polygon")
            points = flat(value["points"])
            return polygon([number * (down if index % 2 else across) for index, number in enumerate(points)])
        if "radiusX" in value:
            radii = value["radiusX"] * across, value["radiusY"] * down
            return ellipse(value["x"] * across, value["y"] * down, *radii, value.get("rotation") or 0)
        if "keypoint" in kind or "height" not in value:
            raise NotAnObject("point-has-no-area" if "keypoint" in kind else "unknown-shape-type", f"a {kind}")
        left, top = value["x"] * across, value["y"] * down
        width, height = value["width"] * across, value["height"] * down
        degrees = value.get("rotation") or 0
        # Turned about the upper left corner; the centre goes round with it.
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        x, y = left + (width * cos - height * sin - width) / 2, top + (width * sin + height * cos - height) / 2
        return box(x, y, width, height, self.options.boxes, degrees)


def _is_stored(entry: dict[str, Any]) -> bool:
    """Whether it is an annotation as a target storage holds it: a file of its own, with its task or that one's id."""
    return isinstance(entry.get("result"), list) and "task" in entry and "data" not in entry


def _annotator(annotation: dict[str, Any]) -> str:
    by = annotation.get("completed_by", "unknown")
    return str(by.get("email") or by.get("id")) if isinstance(by, dict) else str(by)


def _images(task: dict[str, Any], results: list[dict[str, Any]]) -> Iterator[Record]:
    """The images of a task, each with its results: a list of images has ``item_index``."""
    urls = next((value for value in task["data"].values() if _is_url(value)), None)
    if isinstance(urls, list):
        for index, url in enumerate(urls):
            called = _called(url)
            own = [item for item in results if item.get("item_index", 0) == index]
            yield posixpath.basename(called[0]), [called, own]
        return
    called = [*(_called(urls) if urls else []), *_called(task.get("file_upload"))]
    called = list(dict.fromkeys(called)) or [f"task_{task.get('id')}"]
    yield posixpath.basename(called[0]), [called, results]


def _is_url(value: Any) -> bool:
    """Whether a field of a task is a path or URL, or a list of some."""
    if isinstance(value, list):
        return bool(value) and all(map(_is_url, value))
    return isinstance(value, str) and re.search(r"^(/|\w+://)|\.\w{3,4}($|\?)", value) is not None


def _called(url: Any) -> list[str]:
    """What a URL calls an image: its path below the folder of local files, its name without and with the 8 digits that
    Label Studio puts before the name of an upload."""
    if not isinstance(url, str) or not url:
        return []
    parts = urlsplit(url)
    local = parse_qs(parts.query).get("d", [])
    path = unquote(local[0] if local else parts.path).replace("\\", "/").rstrip("/")
    name = posixpath.basename(path)
    uploaded = _UPLOADED.match(name)
    return [path] * bool(local) + ([uploaded[1], name] if uploaded else [name] if name else [])


def _regions(results: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str, Any]]:
    """Geometry, kind and label of each region; items of one ``id`` are one region."""
    there = (item for item in results if item.get("type") not in _NOT_REGIONS and isinstance(item.get("value"), dict))
    regions = grouped((item.get("id") or f"item {number}", item) for number, item in enumerate(there))
    for items in regions.values():
        shaped = next((item for item in items if any(key in item["value"] for key in _GEOMETRY)), items[0])
        texts = [value for item in items for key, value in item["value"].items() if key.endswith("labels")]
        labels = [label for text in texts if isinstance(text, list) for label in text]
        yield shaped["value"], str(shaped.get("type")), next(iter(labels), None)


def _from_min(task: dict[str, Any]) -> dict[str, Any]:
    """A task of JSON-MIN as one of JSON: what a tag holds is a list of values."""
    results = []
    data = {}
    for key, values in task.items():
        if isinstance(values, list) and values and all(isinstance(value, dict) for value in values):
            for value in values:
                sizes = {side: value.get(side) for side in ("original_width", "original_height")}
                kind = next((name for name in value if name.endswith("labels")), "labels")
                results.append({"type": kind, "value": value, **sizes})
        elif key not in _MIN_KEYS:
            data[key] = values
    annotation = {"completed_by": task.get("annotator"), "result": results, "created_at": task.get("created_at")}
    return {"id": task.get("id"), "data": data, "annotations": [annotation]}


def brush_mask(rle: Sequence[int], height: int, width: int) -> np.ndarray:
    """``(height, width)`` bool: alpha of a stroke above 0; NotAnObject where it is damaged, or of another size."""
    data = bytes(rle)
    expected = 4 * height * width
    count = int.from_bytes(data[:4], "big")
    if count != expected or not size_allowed(height, width):
        raise NotAnObject("brush-size-differs", f"{count:,} values, {width}x{height} pixels of 4 have {expected:,}")
    bits = _Bits(data, 32)
    word = bits.take(5) + 1
    sizes = [bits.take(4) + 1 for _ in range(4)]
    if word != 8:
        raise NotAnObject("brush-unusable", f"values of {word} bits, expected 8")
    values = np.zeros(count, np.uint8)
    done = 0
    while done < count:
        repeated, size = divmod(bits.take(3), 4)
        length = bits.take(sizes[size]) + 1
        if done + length > count:
            raise NotAnObject("brush-unusable", f"more than {count:,} values")
        values[done : done + length] = bits.words(8 if repeated else 8 * length)
        done += length
    return values.reshape(height, width, 4)[..., 3] > 0


class _Bits:
    """A stream of bits, the most significant of a byte first."""

    def __init__(self, data: bytes, place: int) -> None:
        self.bits, self.place = np.unpackbits(np.frombuffer(data, np.uint8)), place

    def words(self, count: int) -> np.ndarray:
        """The next ``count`` bits in bytes, of which the last is filled with zeros."""
        begin, self.place = self.place, self.place + count
        if self.place > len(self.bits):
            raise NotAnObject("brush-unusable", "the stream is cut off")
        return np.packbits(self.bits[begin : self.place])

    def take(self, count: int) -> int:
        """The next ``count`` bits as a number."""
        return int.from_bytes(self.words(count).tobytes(), "big") >> -count % 8
