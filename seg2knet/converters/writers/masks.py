"""Mask images: a PNG an image of each kind that ``--mask-kinds`` names, and ``labelmap.txt``.

index      ``masks/``: the class's number from 1, 0 where nothing is; 8 bits, or 16 where there are many classes
instances  ``instanceIds/``: Cityscapes' class * 1000 + instance from 0, the class alone for stuff and crowds; 16 bits.
           Classes that all have Cityscapes' names have its numbers (helpers/labels.py of cityscapesScripts)
colors     ``colors/``: the class's colour, black where nothing is
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import cv2
import numpy as np

from seg2knet.converters.base import IGNORE, Encoded, Measured, Writer
from seg2knet.converters.options import ConvertOptions
from seg2knet.converters.readers.common.labelmap import CITYSCAPES
from seg2knet.converters.registry import register_writer
from seg2knet.converters.splitting.names import without_suffix
from seg2knet.converters.writers.painting import paint_all, write_labelmap
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.files import walk
from seg2knet.dataset.images import decode_labels
from seg2knet.dataset.sample import Note
from seg2knet.errors import DataError, UsageError

FOLDERS = {"index": "masks", "instances": "instanceIds", "colors": "colors"}


@register_writer
class MasksWriter(Writer):
    name = "masks"
    title = "Mask images"
    needs_classes = True

    def __init__(self, options: ConvertOptions, classes: Optional[ClassList] = None) -> None:
        super().__init__(options, classes)
        if not options.mask_kinds or not FOLDERS.keys() >= set(options.mask_kinds):
            found = f"--mask-kinds {','.join(options.mask_kinds)}"
            raise UsageError("no such kind of mask image", found=found, expected=", ".join(FOLDERS))
        names = classes.names if classes is not None else ()
        known = {name: number for number, name in CITYSCAPES.names.items()}
        if "instances" in options.mask_kinds:
            if all(name in known for name in names):
                self.numbers = {name: known[name] for name in names}
            if max(self.numbers.values(), default=0) > 64:
                raise UsageError("too many classes for class * 1000 + instance", found=str(len(names)), expected="64")

    def encode(self, measured: Measured) -> Encoded:
        objects, name = measured.sample.objects, measured.sample.image.name
        ignored = [item.label == IGNORE for item in objects]
        painting, skips, changes = paint_all(measured, self.options, ignored)
        index, instances = [0], [0]
        counts: Counter[str] = Counter()
        for item in objects:
            number = self.numbers.get(item.label, 0)
            single = item.iscrowd or item.label in self.stuff
            index.append(number)
            instances.append(number if single else number * 1000 + counts[item.label])
            counts[item.label] += 1
            if counts[item.label] > 1000:
                raise DataError("more than 1,000 objects of a class", file=name, found=item.label)
        alike = len(objects) - len(counts)
        if alike and "instances" not in self.options.mask_kinds:
            changes.append(Note("instances-not-told-apart", name, "an index or a colour says the class alone", alike))
        depth = np.uint8 if max(self.numbers.values(), default=0) < 255 else np.uint16
        blobs = {}
        for kind in self.options.mask_kinds:
            table = np.array(instances, np.uint16) if kind == "instances" else np.array(index, depth)
            pixels = painting.image(table)
            blobs[kind] = cv2.imencode(".png", self._colors(pixels) if kind == "colors" else pixels)[1].tobytes()
        return Encoded(None, len(objects) - len(skips), blobs, skips, changes)

    def _colors(self, index: np.ndarray) -> np.ndarray:
        """``(H, W, 3)`` BGR, as OpenCV writes it."""
        table = np.zeros((max(self.numbers.values(), default=0) + 1, 3), np.uint8)
        for place, info in enumerate(self.classes or ()):
            table[self.numbers[info.name]] = self.classes.color(place)  # type: ignore[union-attr]
        return table[index][..., ::-1]

    def blob(self, kind: str, split: str, name: str) -> str:
        return f"{FOLDERS[kind]}/{split}/{without_suffix(name)}.png"

    def open(self, root: Path, classes: ClassList, meta: Optional[dict[str, Any]], splits: Sequence[str]) -> None:
        write_labelmap(root, {self.numbers[info.name]: (info.name, classes.color(i)) for i, info in enumerate(classes)})

    def check(self, tree: Path, written: int) -> list[str]:
        problems = []
        for kind in self.options.mask_kinds:
            folder, most = tree / FOLDERS[kind], max(self.numbers.values(), default=0) if kind == "index" else 64_999
            for path in walk(folder, (".png",)) if folder.is_dir() else ():
                try:
                    labels = decode_labels(path)
                    if labels.ndim == 2 and labels.max(initial=0) > most:
                        problems.append(f"{path}: the number {labels.max()} is no class")
                except DataError as error:
                    problems.append(str(error))
        return problems
