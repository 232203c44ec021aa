"""What a model sees as data sets of a target, to be corrected in a label tool: predictions, and labels in question."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from seg2knet.converters.ledger import Ledger
from seg2knet.converters.options import ConvertOptions
from seg2knet.converters.output.staging import place, write
from seg2knet.converters.registry import writer
from seg2knet.converters.splitting import names
from seg2knet.converters.transforms import prepare
from seg2knet.dataset import images
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.sample import Image, Object, Sample
from seg2knet.errors import UsageError

SPLIT = "test"
TARGETS = {"coco-dataset": "coco", **{name: name for name in ("yolo", "cvat", "labelstudio", "voc", "masks")}}
"""Formats of ``predict`` and the targets that they are."""


def new_folder(format: str, out: Path) -> Path:
    """``out / format``. Raises UsageError: it holds something: somebody may have corrected it."""
    root = out / format
    if root.exists() and any(root.iterdir()):
        raise UsageError("the folder is there already", file=root, hint="name another one with --out")
    return root


class PredictedSet:
    """A data set that grows image by image in :func:`new_folder`, and its ledger."""

    def __init__(self, format: str, out: Path, classes: ClassList) -> None:
        self.root = new_folder(format, out)
        self.root.mkdir(parents=True, exist_ok=True)
        self.classes = classes
        self.ledger = Ledger()
        target = TARGETS.get(format, format)
        self.options = ConvertOptions(to=(target,), predictions=True, stuff=frozenset(classes.stuff), overlap="z-order")
        self.writer = writer(target)(self.options, classes)
        self.writer.open(self.root, classes, None, [SPLIT])
        self.names = names.Namer(self.writer.png_names)

    def write(self, prediction: Any, name: Path) -> None:
        """Add an image: its ``path``, ``width``, ``height``, and ``labels``, ``scores`` and ``rles`` of its objects."""
        found = zip(prediction.labels, prediction.scores, prediction.rles)
        objects = tuple(
            Object(self.classes[int(label)].name, rle, False, f"object {number}", {"score": round(float(score), 4)})
            for number, (label, score, rle) in enumerate(found, 1)
        )
        image = Image(name.as_posix(), prediction.width, prediction.height, str(prediction.path))
        self.add(Sample(image, objects))

    def add(self, sample: Sample) -> None:
        """Add an image with its objects; it lies at the image's ``path``."""
        final = self.names.name(SPLIT, names.safe(sample.image.name), None)
        image = msgspec.structs.replace(sample.image, name=final)
        encoded = self.writer.encode(prepare(msgspec.structs.replace(sample, image=image), self.options))
        for skip in encoded.skips:
            self.ledger.skip(skip, self.writer.name)
        self.ledger.note(*encoded.changes)
        if self.writer.jpeg_only and names.suffix(final) not in names.JPEG:
            final = f"{names.without_suffix(final)}.jpg"
            write(self._file(self.writer.image(SPLIT, final)), images.encode(image.path or "", "JPEG"))
        else:
            place(image.path or "", str(self._file(self.writer.image(SPLIT, final))), "link")
        for kind, data in encoded.blobs.items():
            write(self._file(self.writer.blob(kind, SPLIT, final)), data)
        self.writer.add(SPLIT, final, encoded.fragment)

    def _file(self, relative: str) -> Path:
        path = self.root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def skipped(self) -> Iterator[str]:
        """A line for each reason why objects are left out."""
        for reasons in self.ledger.target_skips.values():
            for reason, tally in reasons.items():
                yield f"{self.root}: {tally.count} objects left out: {reason}"

    def close(self) -> None:
        """Write the files that have all images in them."""
        self.writer.close()
