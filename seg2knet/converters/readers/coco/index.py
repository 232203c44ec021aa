"""What is in a COCO file: categories, and for each image where it and its annotations stand in the file.

The file is mapped and decoded without its elements (``msgspec.Raw``), so that one of any size costs some tens of bytes
an object. What is not JSON but nearly so (NaN, UTF-16) is read the lenient way, in memory.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import msgspec
import numpy as np
import orjson

from seg2knet.converters.readers.common.sources import mapped, rgb
from seg2knet.dataset.classes import ClassInfo
from seg2knet.dataset.coco_json import LISTS, AnnotationHead, Id, ImageHead
from seg2knet.dataset.files import load_json, parse_json, read_json
from seg2knet.dataset.layout import LEDGER
from seg2knet.errors import DataError

_META = {"info": dict, "licenses": list}
_LOOKED_AT = 200
"""Annotations of a file of which the box is compared with the polygons."""


def plain_id(value: Id) -> Id:
    """A number that some tools write as text, as the number."""
    return int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,18}", value) else value


class Index:
    """A COCO file; of results, ``listed`` has their images and categories. Images, their annotations and ``categories``
    (by id) are in the file's order; ``used`` are the ids that an instance annotation has, ``orphans`` says how many
    annotations are of no image that is listed, and the first one's number, ``notes`` what was repaired.

    Raises DataError: not a COCO file: what it lacks, and what stands there instead.
    """

    def __init__(self, path: Path, listed: Optional[Path] = None) -> None:
        self.path = path
        self.notes: list[tuple[str, str]] = []
        self.panoptic = False
        self._texts = 0
        self._repaired: Optional[bytes] = None
        self._open(listed)
        images, self._images, _ = self._elements("images", ImageHead)
        self.names = [self._name(number, head) for number, head in enumerate(images)]
        annotations, spans, raws = self._elements("annotations", AnnotationHead)
        self.masks_are_crowds = _masks_are_crowds(annotations, raws)
        elsewhere, looked_at = _boxes_elsewhere(raws)
        if elsewhere > 0.1 * looked_at:
            which = f"{elsewhere} of {looked_at} annotations looked at have a box elsewhere than their polygons"
            self.notes.append(("box-elsewhere", f"{which}: one of them is wrong; seg2knet validate says more"))
        panoptic = sum(head.segments_info is not msgspec.UNSET for head in annotations)
        if panoptic and panoptic < len(annotations):
            raise DataError("both instance and panoptic annotations in one file", file=path, place="/annotations")
        self.panoptic = panoptic > 0
        self._place(images, annotations, spans)
        self.used = {self._plain(head.category_id) for head in annotations}
        self.categories = self._classes()
        raw = {key: parse_json(bytes(self._lists[key]), path) for key in self._lists if key in _META}
        self.meta = {key: value for key, value in raw.items() if type(value) is _META[key] and (value or key == "info")}
        if self._texts:
            self.notes.append(("id-as-text", f"{self._texts} ids are numbers in quotes, taken as numbers"))
        del self._lists, self._data

    def spans(self, row: int) -> tuple[Any, Any]:
        """An image's begin and end, and those of its annotations, ``(n, 2)`` int64 as bytes; the image and its
        annotations themselves, where the file was read the lenient way."""
        image, annotations = self._images[row].tolist(), self._annotations[slice(*self._bounds[row])]
        if self._repaired is None:
            return image, annotations.tobytes()
        return self._repaired[slice(*image)], [self._repaired[slice(*span)] for span in annotations.tolist()]

    def _open(self, listed: Optional[Path]) -> None:
        """The file's top-level values, which are views of its bytes."""
        self._data: Any = mapped(self.path)
        if is_results(self.path):
            self._data = self._repaired = _of_results(self.path, listed)
        self._view = memoryview(self._data)
        try:
            begin = 3 if self._data[:3] == b"\xef\xbb\xbf" else 0
            self._lists = msgspec.json.decode(self._view[begin:], type=dict[str, msgspec.Raw])
        except msgspec.ValidationError:
            found = self._data[:24].decode(errors="replace").strip() or "nothing"
            raise DataError("not a JSON object", file=self.path, found=found, expected="{") from None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            self._data = self._repaired = _lenient(self.path)
            self._view = memoryview(self._repaired)
            self.notes.append(("not-quite-json", "read the lenient way; NaN and Infinity become null"))
            self._lists = msgspec.json.decode(self._repaired, type=dict[str, msgspec.Raw])
        for key in LISTS:
            if key not in self._lists:
                found = f"the keys {', '.join(list(self._lists)[:12])}" if self._lists else "no lists at all"
                missing = f"not a COCO file: there is no {key!r}"
                raise DataError(missing, file=self.path, found=found, expected=", ".join(LISTS))
            start = bytes(memoryview(self._lists[key])[:24])
            if start[:1] != b"[":
                found = "an object" if start[:1] == b"{" else start.decode(errors="replace")
                raise DataError(f"{key!r} is no list", file=self.path, place=f"/{key}", found=found, expected="a list")

    def _elements(self, key: str, kind: Any) -> tuple[list[Any], np.ndarray, Sequence[msgspec.Raw]]:
        """The elements of a list: their heads, ``(N, 2)`` int64 begin and end in the file, and themselves."""
        heads = self._decode(key, kind)
        raws = msgspec.json.decode(self._lists[key], type=list[msgspec.Raw])
        spans = np.empty((len(raws), 2), np.int64)
        whole, part = (np.frombuffer(each, np.uint8) for each in (self._view, self._lists[key]))
        place = part.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
        for row, raw in enumerate(raws):  # all are objects, with nothing but blanks and commas between them
            place = self._data.find(b"{", place)
            spans[row] = place, place + memoryview(raw).nbytes
            place = int(spans[row, 1])
        return heads, spans, raws

    def _decode(self, key: str, kind: Any) -> list[Any]:
        try:
            return msgspec.json.decode(self._lists[key], type=list[kind])
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            problem, _, place = str(error).partition(" - at ")
            number = re.match(r"`\$\[(\d+)\](?:\.(\w+))?", place)
            pointer = "/".join(["", key, *(part for part in (number.groups() if number else ()) if part)])
            raise DataError("not as COCO has it", file=self.path, place=pointer, found=problem) from None

    def _plain(self, value: Id) -> Id:
        plain = plain_id(value)
        self._texts += plain is not value
        return plain

    def _name(self, place: int, head: ImageHead) -> str:
        name = head.file_name or (head.coco_url or "").rpartition("/")[2]
        if head.id is None or not name:
            missing, key = ("an id", '"id"') if head.id is None else ("a file name", '"file_name"')
            raise DataError(f"an image without {missing}", file=self.path, place=f"/images/{place}", expected=key)
        return name

    def _place(self, images: Sequence[ImageHead], annotations: Sequence[AnnotationHead], spans: np.ndarray) -> None:
        """Sort the annotations image by image."""
        codes: dict[Id, int] = {}
        for number, head in enumerate(images):
            if codes.setdefault(self._plain(head.id), number) != number:
                place, hint = f"image {self.names[number]!r}", "seg2knet validate names them all"
                raise DataError("two images with one id", file=self.path, place=place, hint=hint)
        owners = np.array([codes.get(self._plain(head.image_id), len(codes)) for head in annotations], np.int64)
        order = np.argsort(owners, kind="stable")
        bounds = np.searchsorted(owners[order], np.arange(len(codes) + 1))
        lost = np.flatnonzero(owners == len(codes))
        self._annotations, self._bounds = spans[order], np.stack([bounds[:-1], bounds[1:]], axis=1)
        self.orphans = (len(lost), int(lost[0]) if len(lost) else 0)

    def _classes(self) -> dict[Id, ClassInfo]:
        classes: dict[Id, ClassInfo] = {}
        for number, entry in enumerate(self._decode("categories", dict[str, Any])):
            key, name, problem = self._plain(entry.get("id")), entry.get("name"), ""
            if type(entry.get("id")) not in (int, str):
                problem = "a category without an id"
            elif not isinstance(name, (str, int)) or not str(name).strip():
                problem = "a category without a name"
            elif key in classes and classes[key].name != str(name):  # VIA repeats a category for every use
                problem = "two categories with one id"
            if problem:
                raise DataError(problem, file=self.path, place=f"/categories/{number}", found=repr(entry)[:200])
            thing, parent = entry.get("isthing", 1) not in (0, False), entry.get("supercategory")
            parent = parent if isinstance(parent, str) else ""
            classes.setdefault(key, ClassInfo(str(name), thing, rgb(entry.get("color")), parent))
        return classes


def _lenient(path: Path) -> bytes:
    """The document as JSON, where Python's parser, which takes NaN, can read it."""
    data = read_json(path)
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        document = json.loads(data.decode(encoding, errors="replace"), parse_constant=lambda _: None)
        if not isinstance(document, dict):
            raise DataError("not a JSON object", file=path, found=type(document).__name__, expected="{")
        return orjson.dumps(document)
    except (ValueError, RecursionError, TypeError):
        parse_json(data, path)  # says where it breaks
        raise DataError("not JSON", file=path, hint="the file is cut off, damaged or of another kind") from None


def _masks_are_crowds(annotations: Sequence[AnnotationHead], raws: Sequence[msgspec.Raw]) -> bool:
    """Whether all masks are marked as crowds, as CVAT exports those of its brush, with its ``attributes``; COCO's own
    crowds are run-length codes too, beside polygons."""
    crowds = [bytes(raw) for head, raw in zip(annotations, raws) if head.iscrowd]
    if not crowds or b'"counts"' not in crowds[0]:
        return False
    others = (bytes(raw) for head, raw in zip(annotations, raws) if not head.iscrowd)
    return len(crowds) == len(annotations) or (
        b'"attributes"' in crowds[0] and not any(b'"counts"' in raw for raw in others)
    )


def _boxes_elsewhere(raws: Sequence[msgspec.Raw]) -> tuple[int, int]:
    """How many annotations have a box that is not where their polygons are (IoU below one half), and of how many: where
    it is many, x and y may be swapped, or the image was resized. Boxes are not read otherwise."""
    looked_at = elsewhere = 0
    for raw in raws[:: max(1, len(raws) // _LOOKED_AT)]:
        try:
            entry = msgspec.json.decode(raw)
            points = np.concatenate([np.asarray(part, float).reshape(-1, 2) for part in entry["segmentation"]])
            x, y, w, h = map(float, entry["bbox"])
        except (KeyError, OverflowError, RecursionError, TypeError, ValueError):  # whoever reads the image says what
            continue
        (x0, y0), (x1, y1) = points.min(0).tolist(), points.max(0).tolist()
        across, down = min(x + w, x1) - max(x, x0), min(y + h, y1) - max(y, y0)
        common = max(across, 0) * max(down, 0)
        looked_at += 1
        elsewhere += bool(common < 0.5 * (w * h + (x1 - x0) * (y1 - y0) - common))
    return elsewhere, looked_at


def is_results(path: Path) -> bool:
    """Whether a file begins as a list of results does."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        return re.match(rb'\s*\[\s*\{[^{}\[]*"(image_id|category_id)"', file.read(4096)) is not None
    return False


def listing(path: Path) -> Optional[Path]:
    """The file beside results that has images and categories."""
    files = (file for file in sorted(path.parent.glob("*.json")) if file.name != LEDGER and not is_results(file))
    return next((file for file in files if contains(file, "images", "categories")), None)


def contains(path: Path, *words: str) -> bool:
    """Whether each word stands in the file as a text of its own."""
    with contextlib.suppress(DataError), mapped(path) as data:
        return all(data.find(b'"%b"' % word.encode()) >= 0 for word in words)
    return False


def _of_results(path: Path, listed: Optional[Path]) -> bytes:
    """Results (https://cocodataset.org/#format-results), which are a list of objects with scores, as a COCO document;
    ``listed`` has the images and categories, as the ground truth or the ``images.json`` that ``predict --format coco``
    leaves beside them. DataError where they are no list of objects, or there is no such file."""
    results = load_json(path)
    if not isinstance(results, list) or not all(isinstance(entry, dict) for entry in results):
        raise DataError("not COCO results", file=path, expected="a list of objects")
    listed = listed or listing(path)
    head = load_json(listed) if listed is not None else None
    if not isinstance(head, dict) or not {"images", "categories"} <= set(head):
        raise DataError(
            "results without their images and categories", file=path, found=str(listed) if listed else None,
            expected="a COCO file with both, beside the results", hint="name it with --results-of FILE",
        )  # fmt: skip
    annotations = [
        {**entry, "id": number, "iscrowd": 0, "attributes": {"score": entry.get("score")}}
        for number, entry in enumerate(results, 1)
    ]
    kept = {key: head[key] for key in ("info", "licenses", "images", "categories") if key in head}
    return orjson.dumps({**kept, "annotations": annotations})
