"""ADE20K challenge layout (http://sceneparsing.csail.mit.edu): ``.jpg`` images and 8-bit masks, 0 = unlabelled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import cv2
import numpy as np

from seg2knet.converters.base import Encoded, Measured, Writer
from seg2knet.converters.registry import register_writer
from seg2knet.converters.splitting.names import without_suffix
from seg2knet.converters.writers.painting import hidden, paint
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.layout import AdeLayout
from seg2knet.dataset.rle import rle_to_mask


@register_writer
class AdeWriter(Writer):
    name = "ade"
    title = "ADE20K semantic masks"
    validated = True
    needs_classes = True
    jpeg_only = True
    most_classes = 254  # of what 8 bits hold 0 is unlabelled, 255 ignored

    def encode(self, measured: Measured) -> Encoded:
        objects = measured.sample.objects
        painting = paint(measured, range(1, len(objects) + 1), self.options)
        # Neither what nobody claims nor what is to be ignored is of a class.
        labels = [self.options.void_class or "", *(found.label for found in objects)]
        numbers = np.array([self.numbers.get(label, 0) for label in labels], np.uint8)
        mask = painting.image(numbers)
        areas = np.array(painting.areas(len(objects)))
        pixels = np.bincount(numbers, areas).astype(np.int64).tolist()
        fragment = {number: count for number, count in enumerate(pixels) if count and number}
        # An object under others is to be seen all the same where what lies over it is of its class.
        skips = hidden(measured, [
            index
            for index in np.flatnonzero(areas[1:] == 0).tolist()
            if not (mask[rle_to_mask(measured.rles[index])] == numbers[index + 1]).any()
        ])  # fmt: skip
        return Encoded(fragment, len(objects) - len(skips), {"mask": cv2.imencode(".png", mask)[1].tobytes()}, skips)

    def image(self, split: str, name: str) -> str:
        return f"images/{AdeLayout.FOLDERS[split]}/{name}"

    def blob(self, kind: str, split: str, name: str) -> str:
        return f"annotations/{AdeLayout.FOLDERS[split]}/{without_suffix(name)}.png"

    def open(self, root: Path, classes: ClassList, meta: Optional[dict[str, Any]], splits: Sequence[str]) -> None:
        layout = AdeLayout(root)
        for folder in (layout.images, layout.annotations):
            for split in splits:
                folder(split).mkdir(parents=True, exist_ok=True)
        self._object_info, self._listed = layout.object_info, classes
        self._pixels: Counter[int] = Counter()
        self._images: dict[str, Counter[int]] = {split: Counter() for split in splits}

    def add(self, split: str, name: str, fragment: Any) -> None:
        self._pixels.update(fragment)
        self._images[split].update(fragment.keys())

    def close(self) -> None:
        """Write ``objectInfo.txt`` in the challenge's columns: index, share of labelled pixels, images, name."""
        total = max(sum(self._pixels.values()), 1)
        lines = ["Idx\tRatio\tTrain\tVal\tName\n"]
        train, val = self._images.get("train", Counter()), self._images.get("val", Counter())
        for number, info in enumerate(self._listed, 1):
            ratio = self._pixels[number] / total
            lines.append(f"{number}\t{ratio:.4f}\t{train[number]}\t{val[number]}\t{info.name}\n")
        self._object_info.write_text("".join(lines), encoding="utf-8")
