"""What a worker does: read images, apply the recipe, encode for every target, stage what is finished.

A part is some images that follow one another in the scan. Its file holds what splits and names are decided from, and
the finished bytes, which are needed when the parts are joined.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional, Union

import msgspec
import numpy as np

from seg2knet.converters.base import Encoded, Handle, Reader, Writer
from seg2knet.converters.ledger import ASKED_OF_TARGET, Ledger
from seg2knet.converters.options import ConvertOptions
from seg2knet.converters.output.staging import Staging, write
from seg2knet.converters.splitting import names
from seg2knet.converters.transforms import Sizes, measure, prepare
from seg2knet.dataset import images
from seg2knet.dataset.sample import Image, Note, Sample
from seg2knet.errors import DataError, UsageError

_KEPT = 31 << 20
"""Bytes: as much as glibc takes; images of up to that many are painted in memory that is there already."""

_TOGETHER = 16
"""Images that are measured together: enough to be quick, few enough to be held in memory."""


class Task(msgspec.Struct, frozen=True):
    """One part: its number, the number of its source, and its images."""

    number: int
    source: int
    handles: Sequence[Handle]

    def describe(self) -> str:
        return f"images {self.handles[0].name} to {self.handles[-1].name}"


class Done(msgspec.Struct, array_like=True, gc=False):
    """An image that a worker is done with."""

    name: str  # as the source has it
    source: int  # number of its source
    split: Optional[str]  # as the source says
    labels: dict[str, int]  # the classes on it and how many objects of each
    written: tuple[int, ...]  # by writer, how many objects it encoded
    path: Optional[str] = None  # the image, where it is a file
    size: int = 0  # of that file in bytes, 0 where there is none
    link: Optional[tuple[int, int]] = None  # device and inode of a file that has several names
    index: int = 0  # its place in the part
    staged: tuple[str, ...] = ()  # its forms in the staging folder: ``image``, ``jpg``, ``png``, ``voc.classes``
    fragments: tuple[Any, ...] = ()  # by writer, what it encoded; in the part's file alone


class Part(msgspec.Struct, array_like=True):
    """The count of a part, and the images that are left of it."""

    ledger: Ledger
    images: list[Done]

    def brief(self) -> Part:
        """Without what the writers encoded: what the parent keeps until all is read."""
        for image in self.images:
            image.fragments = ()
        return self


@dataclass
class Work:
    """What is done to a part. Picklable: each worker has its own."""

    readers: Sequence[Reader]  # one a source
    options: ConvertOptions
    known: Optional[frozenset[str]]  # labels of the class list; ``None`` where every label is a class
    writers: Sequence[Writer] = ()
    staging: Optional[Staging] = None  # where finished bytes go; ``None`` where nothing is to be written

    def __call__(self) -> Callable[[Task], Part]:
        # glibc keeps blocks for reuse, and returns them no longer one by one, up to the size of one that was freed.
        np.empty(_KEPT, np.uint8)
        return self.run

    def run(self, task: Task) -> Part:
        """Do a part; its file is there when this returns, whole."""
        part, reader = Part(Ledger(), []), self.readers[task.source]
        for start in range(0, len(task.handles), _TOGETHER):
            batch: list[Union[Sample, DataError]] = []
            for handle in task.handles[start : start + _TOGETHER]:
                try:
                    batch.append(reader.read(handle))
                except DataError as error:
                    batch.append(error)
            sizes = measure([found for found in batch if isinstance(found, Sample)])
            for index, found in enumerate(batch, start):
                part.ledger.images_read += 1
                if isinstance(found, DataError):
                    handle = task.handles[index]
                    place, detail = _place_and_detail(found, f"{reader.source}: {handle.name}")
                    part.ledger.lose_image("unreadable", place, detail, count_objects(reader, handle))
                elif (done := self._encode(task, index, found, sizes, part.ledger)) is not None:
                    part.images.append(done)
        if self.staging is not None:
            path = self.staging.part(task.number)
            scratch = path.with_suffix(f".{os.getpid()}")
            write(scratch, msgspec.msgpack.encode(part))
            os.replace(scratch, path)
        return part.brief()

    def _encode(self, task: Task, index: int, sample: Sample, sizes: Sizes, ledger: Ledger) -> Optional[Done]:
        image = sample.image
        read = len(sample.objects) + sum(skip.count for skip in sample.skips)
        ledger.note(*sample.notes)
        try:
            image = msgspec.structs.replace(image, name=names.safe(image.name))
            sample = msgspec.structs.replace(sample, image=image, split=sample.split or task.handles[index].split)
            if self.options.images != "none" and image.path is None and image.data is None:
                raise _Missing("not found; name its folder with --images-dir, or take none with --images none")
            forms, notes = self._forms(image)
            measured = prepare(sample, self.options, self.known, sizes)
            encoded = [writer.encode(measured) for writer in self.writers]
            if self.options.lossless:
                _require_lossless(image.name, encoded)
        except DataError as error:
            reason = {_Missing: "missing", names.BadName: "bad-name"}.get(type(error), "unreadable")
            ledger.lose_image(reason, *_place_and_detail(error, image.name), read)
            return None
        ledger.objects_read += read
        for skip in measured.sample.skips:
            ledger.skip(skip)
        notes = [*measured.sample.notes[len(sample.notes) :], *notes]
        for writer, made in zip(self.writers, encoded):
            for skip in made.skips:
                ledger.skip(skip, writer.name)
            notes += made.changes
            forms.update({f"{writer.name}.{kind}": data for kind, data in made.blobs.items()})
        ledger.note(*notes)
        if self.staging is not None:
            for kind, data in forms.items():
                write(self.staging.staged(task.number, index, kind), data)
        size, link = _identity(image.path) if self.options.images != "none" else (0, None)
        labels = dict(Counter(item.label for item in measured.sample.objects))
        written, fragments = tuple(made.written for made in encoded), tuple(made.fragment for made in encoded)
        named = (image.name, task.source, sample.split, labels, written)
        return Done(*named, image.path, size, link, index, tuple(sorted(forms)), fragments)

    def _forms(self, image: Image) -> tuple[dict[str, bytes], list[Note]]:
        """The forms of an image that must be encoded again, and why."""
        source = image.path or image.data
        if self.options.images == "none" or source is None:
            return {}, []
        forms: dict[str, bytes] = {}
        place, ending = image.path or image.name, names.suffix(image.name)
        notes = [Note("image-was-embedded", place, "written out")] if image.path is None else []
        if self.options.exif == "upright" and image.orientation != 1:
            source = images.upright(source)
            notes.append(Note("image-turned-upright", place, f"orientation {image.orientation}"))
        if isinstance(source, bytes):
            forms["image"] = source
        if ending not in names.JPEG:
            if any(writer.jpeg_only for writer in self.writers):
                forms["jpg"] = images.encode(source, "JPEG")
                notes.append(Note("image-re-encoded-as-jpeg", place, "quality 95"))
            if ending != ".png" and any(writer.png_names for writer in self.writers):
                forms["png"] = images.encode(source, "PNG")
                notes.append(Note("image-re-encoded-as-png", place, "without loss"))
        return forms, notes


def _require_lossless(name: str, encoded: Sequence[Encoded]) -> None:
    """Raises UsageError: a target leaves something out or changes it."""
    skips = [(skip.reason, skip.place) for made in encoded for skip in made.skips if skip.reason not in ASKED_OF_TARGET]
    losses = skips + [(note.kind, note.place) for made in encoded for note in made.changes]
    if losses:
        raise UsageError(
            "the target cannot hold this without a loss", file=name, place=losses[0][1], found=losses[0][0],
            hint="leave out --lossless to accept what the ledger then lists, or choose another target",
        )  # fmt: skip


def count_objects(reader: Reader, handle: Handle) -> int:
    """Objects of an image that cannot be read, as far as its annotation tells."""
    try:
        return reader.count(handle)
    except (DataError, UnicodeError):
        return 0


class _Missing(DataError):
    """The image's file is not there."""


def _place_and_detail(error: DataError, place: str) -> tuple[str, str]:
    """An error as place and detail of the ledger."""
    where, what = (error.file, error.place), (error.message, error.found)
    return ": ".join(filter(None, where)) or place, "; ".join(filter(None, what))


def read_part(path: Path) -> Part:
    return msgspec.msgpack.decode(path.read_bytes(), type=Part)


def _identity(path: Optional[str]) -> tuple[int, Optional[tuple[int, int]]]:
    """Size of a file, 0 where there is none; device and inode if it has several names."""
    try:
        stat = os.stat(path or "")
    except OSError:
        return 0, None
    return stat.st_size, (stat.st_dev, stat.st_ino) if stat.st_nlink > 1 else None


def part_is_current(task: Task, staging: Staging) -> bool:
    """Whether a part of an earlier run is there and no file it came from is newer."""
    file = staging.part(task.number)
    try:
        made = file.stat().st_mtime_ns
        paths = {image.path for image in read_part(file).images if image.path}
    except (OSError, ValueError, msgspec.MsgspecError):
        return False
    for handle in task.handles:
        where = handle.where if isinstance(handle.where, (tuple, list)) else (handle.where,)
        paths |= {item for item in where if isinstance(item, str) and len(item) < 4096}
    for path in paths:
        with contextlib.suppress(OSError, ValueError):  # not a path at all
            if os.stat(path).st_mtime_ns > made:
                return False
    return True
