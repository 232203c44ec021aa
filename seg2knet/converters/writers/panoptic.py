"""COCO panoptic (https://cocodataset.org/#format-data): one PNG and one list of segments an image.

Segments are what the PNG shows: area and box are its own. A stuff class is one segment an image; things are one each,
hidden ones left out. Ids count through a permutation of 24 bits: never 0, the same in every run, and far apart as
colours, so that the PNG can be looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import cv2
import msgspec
import numpy as np
import orjson

from seg2knet.converters.base import IGNORE, Encoded, Measured
from seg2knet.converters.registry import register_writer
from seg2knet.converters.splitting.names import without_suffix
from seg2knet.converters.writers.coco import CocoWriter, JoinedJson, image_rest, kept
from seg2knet.converters.writers.painting import hidden, paint
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.label_image import Runs
from seg2knet.dataset.layout import CocoLayout
from seg2knet.errors import DataError

_MULTIPLIER = 0x9E3779B1 & 0xFFFFFF | 1
"""Odd, so that multiplying by it modulo 2^24 maps different numbers to different ones, and only 0 to 0."""
MOST = 65534
_IGNORED = 65535


class _Segment(msgspec.Struct, gc=False):
    """One segment of the PNG: its class and the objects it is made of."""

    label: str
    iscrowd: bool
    objects: list[int]


@register_writer
class PanopticWriter(CocoWriter):
    name = "panoptic"
    title = "COCO panoptic"
    png_names = True

    def encode(self, measured: Measured) -> Encoded:
        segments, numbers = self._segments(measured)
        painting = paint(measured, numbers, self.options)
        seen = painting.values
        if self.options.void_class is not None and not seen.all():
            segments.append(_Segment(self.options.void_class, False, []))
            seen[seen == 0] = len(segments)
        if _IGNORED in numbers:
            seen[seen == _IGNORED] = 0
        visible = {number: (area, box) for number, area, *box in painting.table().tolist()}
        labels, annotations, skips = [], [], []
        for number, segment in enumerate(segments, 1):
            if number in visible:
                labels.append(segment.label)
                area, box = visible[number]
                rest = {"area": area, "bbox": box, "iscrowd": int(segment.iscrowd)}
                json = orjson.dumps(rest)[1:]
                annotations.append(b'{"id":%d,"category_id":%%d,%b' % (segment_id(number), json))
            else:
                skips += hidden(measured, segment.objects)
        written = len(numbers) - len(skips)  # regions to be ignored are in the image, as void
        fragment = image_rest(measured), labels, annotations
        return Encoded(fragment, written, {"ids": _png(painting, len(segments))}, skips)

    def _segments(self, measured: Measured) -> tuple[list[_Segment], list[int]]:
        """The segments of an image, and for each object the number of its own, from 1, or ``_IGNORED``."""
        segments: list[_Segment] = []
        numbers: list[int] = []
        of_stuff: dict[str, int] = {}
        for index, item in enumerate(measured.sample.objects):
            if item.label == IGNORE:
                numbers.append(_IGNORED)
                continue
            stuff = item.label in self.stuff
            number = of_stuff.setdefault(item.label, len(segments) + 1) if stuff else len(segments) + 1
            if number > len(segments):
                segments.append(_Segment(item.label, item.iscrowd and not stuff, []))
            segments[number - 1].objects.append(index)
            numbers.append(number)
        if len(segments) >= MOST:
            raise DataError(
                "too many objects on one image", file=measured.sample.image.name, found=str(len(segments)),
                expected=f"at most {MOST - 1}",
            )  # fmt: skip
        return segments, numbers

    def blob(self, kind: str, split: str, name: str) -> str:
        return f"annotations/panoptic_{split}{self.options.year}/{png_name(name)}"

    def open(self, root: Path, classes: ClassList, meta: Optional[dict[str, Any]], splits: Sequence[str]) -> None:
        self._numbers = {info.name: index + 1 for index, info in enumerate(classes)}
        head = {**kept(meta), "categories": classes.to_coco_panoptic()}
        layout = CocoLayout(root, self.options.year)
        for split in splits:
            layout.panoptic_pngs(split).mkdir(parents=True, exist_ok=True)
        self.files = {split: JoinedJson(layout.panoptic(split), head) for split in splits}

    def add(self, split: str, name: str, fragment: Any) -> None:
        self.files[split].add_panoptic(name, png_name(name), fragment, self._numbers)


def png_name(name: str) -> str:
    """The mask's name that mmdet derives from an image's: every ``.jpg`` in it becomes ``.png``."""
    derived = name.replace(".jpg", ".png")
    return derived if derived.endswith(".png") else f"{without_suffix(name)}.png"


def segment_id(number: int) -> int:
    """The id of an image's ``number``-th segment, from 1: 1..2^24-1, no two alike."""
    return number * _MULTIPLIER % (1 << 24)


def _png(painting: Runs, segments: int) -> bytes:
    """The image as an RGB PNG of ids: R + 256 G + 256^2 B."""
    ids = np.array([segment_id(number) for number in range(segments + 1)], np.int32)
    # Least byte first, as in every machine that PyTorch runs on: R, G, B and nothing.
    pixels = painting.image(ids).view(np.uint8).reshape(painting.height, painting.width, 4)
    return cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGR))[1].tobytes()
