"""COCO instances (https://cocodataset.org/#format-data), on K-Net's own layout.

Ids count from 1 in the scan's order, categories as the class list, area and box are the mask's. One annotation a line,
so that two files can be compared.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Optional

import orjson

from seg2knet.converters.base import IGNORE, Encoded, Measured, Writer
from seg2knet.converters.registry import register_writer
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.layout import CocoLayout
from seg2knet.dataset.rle import as_json
from seg2knet.dataset.sample import Polygons, Skip
from seg2knet.errors import DataError

_BUFFER = 1 << 20

Fragment = tuple[bytes, list[str], list[bytes]]
"""One image: the rest of its JSON after ``file_name``, and label and rest of each annotation."""


@register_writer
class CocoWriter(Writer):
    name = "coco"
    title = "COCO instances"
    validated = True

    def encode(self, measured: Measured) -> Encoded:
        sample = measured.sample
        elsewhere = self.stuff if "panoptic" in self.options.targets else ()
        labels: list[str] = []
        annotations: list[bytes] = []
        skips: list[Skip] = []
        for item, area, box in zip(sample.objects, measured.areas, measured.boxes):
            if item.label in elsewhere:
                skips.append(Skip("stuff-in-panoptic", f"{sample.image.name}: {item.place}"))
                continue
            outline: Any = item.shape.parts if isinstance(item.shape, Polygons) else as_json(item.shape)
            rest = {"segmentation": outline, "area": area, "bbox": box, "iscrowd": int(item.iscrowd)}
            if item.attributes:
                rest["attributes"] = item.attributes
            labels.append(item.label)
            annotations.append(orjson.dumps(rest, option=orjson.OPT_NON_STR_KEYS)[1:])
        return Encoded((image_rest(measured), labels, annotations), len(labels), skips=skips)

    def image(self, split: str, name: str) -> str:
        return f"{split}{self.options.year}/{name}"

    def open(self, root: Path, classes: ClassList, meta: Optional[dict[str, Any]], splits: Sequence[str]) -> None:
        listed = classes.without(classes.stuff) if "panoptic" in self.options.targets else classes
        self._numbers = {**{name: index + 1 for name, index in listed.indices().items()}, IGNORE: 1}
        head = {**kept(meta), "categories": listed.to_coco()}
        layout = CocoLayout(root, self.options.year)
        layout.instances("train").parent.mkdir(parents=True, exist_ok=True)
        self.files = {split: JoinedJson(layout.instances(split), head) for split in splits}

    def add(self, split: str, name: str, fragment: Any) -> None:
        self.files[split].add(name, fragment, self._numbers)


class JoinedJson:
    """A COCO file written as it comes: images to one file, annotations to another, joined at the end."""

    def __init__(self, path: Path, head: dict[str, Any]) -> None:
        self.path = path
        self.images = 0
        self.annotations = 0
        self._out: IO[bytes] = open(path, "wb", _BUFFER)  # noqa: SIM115  # closed in close()
        self._tail: IO[bytes] = open(path.with_suffix(".tail"), "w+b", _BUFFER)  # noqa: SIM115
        self._out.write(orjson.dumps(head)[:-1] + b',\n"images":[')

    def add(self, name: str, fragment: Fragment, numbers: dict[str, int]) -> None:
        """Number one image and its annotations."""
        rest_of_image, labels, annotations = fragment
        image = self._image(name, rest_of_image)
        first = self.annotations + 1
        lines = [
            b'\n{"id":%d,"image_id":%d,"category_id":%d,%b' % (number, image, numbers[label], rest)
            for number, (label, rest) in enumerate(zip(labels, annotations), first)
        ]
        if lines:
            self._tail.write((b"," if first > 1 else b"") + b",".join(lines))
            self.annotations += len(lines)

    def add_panoptic(self, name: str, png: str, fragment: Fragment, numbers: dict[str, int]) -> None:
        """Number one image and its segments, whose rests have a ``%d`` for the category."""
        rest_of_image, labels, annotations = fragment
        image = self._image(name, rest_of_image)
        segments = b",".join(rest % numbers[label] for label, rest in zip(labels, annotations))
        line = b'\n{"image_id":%d,"file_name":%b,"segments_info":[%b]}' % (image, json_name(png), segments)
        self._tail.write((b"," if image > 1 else b"") + line)

    def _image(self, name: str, rest: bytes) -> int:
        """Write an image's entry; its id."""
        self.images += 1
        comma = b"," if self.images > 1 else b""
        self._out.write(b'%b\n{"id":%d,"file_name":%b,%b' % (comma, self.images, json_name(name), rest))
        return self.images

    def close(self) -> None:
        self._out.write(b'\n],\n"annotations":[')
        self._tail.seek(0)
        shutil.copyfileobj(self._tail, self._out, _BUFFER)
        self._out.write(b"\n]}\n")
        self._tail.close()
        self._out.close()
        self.path.with_suffix(".tail").unlink()


def json_name(name: str) -> bytes:
    """A file's name as JSON. Raises DataError: it is not Unicode."""
    try:
        return orjson.dumps(name)
    except orjson.JSONEncodeError:
        raise DataError(
            "a file's name is not Unicode, so that JSON cannot hold it", file=name.encode(errors="replace").decode(),
            hint="rename the file",
        ) from None  # fmt: skip


def image_rest(measured: Measured) -> bytes:
    """The JSON of a COCO image after id and name: size, and what the source had."""
    image = measured.sample.image
    fields = {"width": image.width, "height": image.height}
    fields |= {key: value for key, value in (image.extra or {}).items() if key not in ("id", "file_name", *fields)}
    return orjson.dumps(fields, option=orjson.OPT_NON_STR_KEYS)[1:]


def kept(meta: Optional[dict[str, Any]]) -> dict[str, Any]:
    """What a COCO file keeps of the source's own."""
    return {key: value for key, value in (meta or {}).items() if key in ("info", "licenses") and value}
