"""What a worker does: read images, apply the recipe, encode for every target, stage what is finished.

A part is some images that follow one another in the scan. Its file holds a summary, which the parent takes in at once,
and a body, which it takes in when it joins the parts.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable, Optional, Union

import msgspec

from seg2knet.converters.base import Handle, Measured, Reader, Writer
from seg2knet.converters.ledger import Ledger
from seg2knet.converters.output import images as pictures
from seg2knet.converters.output.staging import Staging
from seg2knet.converters.splitting import names
from seg2knet.converters.splitting.packed import unpack
from seg2knet.converters.transforms import Recipe, prepare
from seg2knet.dataset.sample import Image, Note, Sample, Skip
from seg2knet.errors import DataError

_TOGETHER = 48
"""Images of a part that are measured together: enough to be quick, few enough for little memory."""


class Task(msgspec.Struct, frozen=True):
    """One part: its number, the number of its source, how many images, and those, packed."""

    number: int
    source: int
    count: int
    packed: bytes

    @property
    def handles(self) -> list[Handle]:
        return unpack(self.packed, Handle)

    def describe(self) -> str:
        handles = self.handles
        return f"images {handles[0].name} to {handles[-1].name}"


class Brief(msgspec.Struct, array_like=True, gc=False):
    """What the parent must know of an image to give it a split and a name.

    Attributes:
        labels, counts: the classes on it and how many objects of each.
        written: by writer, how many objects it encoded.
        path: the picture, where it is a file.
        size: of that file in bytes, 0 where there is none.
        link: device and inode of a file that has several names.
    """

    name: str
    split: Optional[str]
    labels: tuple[str, ...]
    counts: tuple[int, ...]
    written: tuple[int, ...]
    path: Optional[str] = None
    size: int = 0
    link: Optional[tuple[int, int]] = None


class Summary(msgspec.Struct, array_like=True):
    """Of a part: the count, the images that are left, and the labels that occur."""

    ledger: Ledger
    images: list[Brief]


class Entry(msgspec.Struct, array_like=True, gc=False):
    """An image's finished bytes.

    Attributes:
        index: its place in the part.
        fragments: by writer, what it encoded.
        path: the picture, where it can be taken as it is.
        staged: which re-saved forms of it are in the staging folder: ``picture``, ``jpg``, ``png``, a writer's own.
    """

    index: int
    fragments: list[Any]
    path: Optional[str]
    staged: list[str]


class Work:
    """What is done to a part. Picklable: each worker has its own.

    Args:
        readers: one a source.
        recipe: for the transforms.
        writers: they know classes and options.
        staging: where finished bytes go; ``None`` for ``--dry-run``.
        mode: how pictures get to the target.
        upright: whether pictures with an orientation tag are re-saved.
    """

    def __init__(
        self,
        readers: Sequence[Reader],
        recipe: Recipe,
        writers: Sequence[Writer],
        staging: Optional[Staging],
        mode: pictures.Mode,
        upright: bool,
    ) -> None:
        self.readers = readers
        self.recipe = recipe
        self.writers = writers
        self.staging = staging
        self.mode = mode
        self.upright = upright
        self.jpeg_only = any(writer.jpeg_only for writer in writers)
        self.masks = any(writer.needs_masks for writer in writers)
        self.png_names = any(writer.png_names for writer in writers)

    def __call__(self) -> Callable[[Task], bytes]:
        return self.run

    def run(self, task: Task) -> bytes:
        """Do a part; its summary, encoded. The part's file is there when this returns.

        Raises:
            EnvironmentProblem: nothing can be written.
        """
        summary, entries = Summary(Ledger(), []), []
        for group in self._groups(task):
            read = [sample for _, _, sample in group if isinstance(sample, Sample)]
            measured = iter(prepare(read, self.recipe, self.masks))
            for index, handle, sample in group:
                summary.ledger.images_read += 1
                if isinstance(sample, DataError):
                    place = f"{self.readers[task.source].source}: {handle.name}"
                    summary.ledger.skip_image("unreadable", *_said(sample, place))
                    continue
                found = self._encode(task, index, sample, next(measured), summary.ledger)
                if found is not None:
                    entries.append(found[0])
                    summary.images.append(found[1])
        head = msgspec.msgpack.encode(summary)
        if self.staging is not None:
            write_part(self.staging.part(task.number), head, entries)
        return head

    def _groups(self, task: Task) -> Iterator[list[tuple[int, Handle, Union[Sample, DataError]]]]:
        """The images of a part as they are read, some at a time, which are measured together."""
        group: list[tuple[int, Handle, Union[Sample, DataError]]] = []
        for index, handle in enumerate(task.handles):
            sample = self._read(task.source, handle)
            group.append((index, handle, sample))
            # A picture in memory is not kept waiting for others.
            if len(group) == _TOGETHER or (isinstance(sample, Sample) and sample.image.data is not None):
                yield group
                group = []
        yield group

    def _read(self, source: int, handle: Handle) -> Union[Sample, DataError]:
        try:
            sample = self.readers[source].read(handle)
            name = names.safe(sample.image.name)
        except DataError as error:
            return error
        if name == sample.image.name and sample.split == handle.split:
            return sample
        image = msgspec.structs.replace(sample.image, name=name)
        return msgspec.structs.replace(sample, image=image, split=sample.split or handle.split)

    def _encode(
        self, task: Task, index: int, sample: Sample, measured: Union[Measured, DataError], ledger: Ledger
    ) -> Optional[tuple[Entry, Brief]]:
        image = sample.image
        read = len(sample.objects) + sum(skip.count for skip in sample.skips)
        ledger.objects_read += read
        for note in sample.notes:
            ledger.note(note)
        try:
            if self.mode != "none" and image.path is None and image.data is None:
                raise _Lost("picture-missing", "not found; say where with --images-dir, or --images none")
            forms, notes = self._forms(image)
            if isinstance(measured, DataError):
                raise measured
            results = [writer.encode(measured) for writer in self.writers]
        except (DataError, _Lost) as error:
            reason = error.reason if isinstance(error, _Lost) else "unreadable"
            place, detail = (image.name, str(error)) if isinstance(error, _Lost) else _said(error, image.name)
            ledger.skip_image(reason, place, detail)
            if read:
                ledger.skip(Skip(f"image-{reason}", place, count=read, detail=detail))
            return None
        for skip in measured.sample.skips:
            ledger.skip(skip)
        for note in (*measured.sample.notes[len(sample.notes) :], *notes):
            ledger.note(note)
        for writer, encoded in zip(self.writers, results):
            for skip in encoded.skips:
                ledger.skip_for(writer.name, skip)
            for note in encoded.notes:
                ledger.note(note)
            if encoded.blob is not None:
                forms[writer.name] = encoded.blob
        self._stage(task, index, forms)
        entry = Entry(index, [encoded.fragment for encoded in results], image.path, sorted(forms))
        labels = _counted(measured)
        size, link = _identity(image.path) if self.mode != "none" else (0, None)
        written = tuple(encoded.written for encoded in results)
        return entry, Brief(
            image.name, sample.split, tuple(labels), tuple(labels.values()), written, image.path, size, link
        )

    def _forms(self, image: Image) -> tuple[dict[str, bytes], list[Note]]:
        """The forms of a picture that must be written anew, and why."""
        forms: dict[str, bytes] = {}
        notes: list[Note] = []
        if self.mode == "none":
            return forms, notes
        turned = self.upright and image.orientation != 1
        again = pictures.resaved(image, upright=self.upright) if turned or image.path is None else None
        if again is not None:
            forms["picture"] = again
            if image.path is None:
                notes.append(Note("picture-was-embedded", image.name, "written out"))
        if turned:
            notes.append(Note("picture-turned-upright", image.path or image.name, f"orientation {image.orientation}"))
        if not (self.jpeg_only or self.png_names):
            return forms, notes
        ending = names.suffix(image.name)
        source = again if again is not None else image.path
        if source is not None and ending not in names.JPEG:
            if self.jpeg_only:
                forms["jpg"] = pictures.as_jpeg(source)
                notes.append(Note("picture-re-encoded-as-jpeg", image.path or image.name, "quality 95"))
            if ending != ".png" and self.png_names:
                forms["png"] = pictures.as_png(source)
                notes.append(Note("picture-re-encoded-as-png", image.path or image.name, "without loss"))
        return forms, notes

    def _stage(self, task: Task, index: int, forms: dict[str, bytes]) -> None:
        if self.staging is not None:
            for kind, data in forms.items():
                pictures.write(self.staging.staged(task.number, index, kind), data)


class Placing:
    """Brings finished files to the target: ``(source, target)`` pairs."""

    def __init__(self, mode: pictures.Mode) -> None:
        self.mode = mode

    def __call__(self) -> Callable[[Placements], int]:
        return self.run

    def run(self, task: Placements) -> int:
        for source, target, staged in task.pairs:
            pictures.place(source, target, "link" if staged else self.mode)
        return task.images


class Placements(msgspec.Struct, frozen=True):
    """Files to be placed for some images: where from, where to, whether out of the staging folder."""

    images: int
    pairs: list[tuple[str, str, bool]]


class Census:
    """Which labels occur, where a target must know the classes before the first image is encoded."""

    def __init__(self, readers: Sequence[Reader], recipe: Recipe) -> None:
        self.readers = readers
        self.recipe = recipe

    def __call__(self) -> Callable[[Task], set[str]]:
        return self.run

    def run(self, task: Task) -> set[str]:
        labels: set[str] = set()
        for handle in task.handles:
            try:
                samples = [self.readers[task.source].read(handle)]
            except DataError:
                continue  # the run itself says so
            for measured in prepare(samples, self.recipe, masks=False):
                if isinstance(measured, Measured):
                    labels.update(_counted(measured))
        return labels


class _Lost(Exception):
    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def _said(error: DataError, place: str) -> tuple[str, str]:
    """An error as place and detail of the ledger."""
    where = ": ".join(part for part in (error.file, error.place) if part) or place
    return where, "; ".join(part for part in (error.message, error.found) if part)


def write_part(path: Path, head: bytes, entries: list[Entry]) -> None:
    """A part's file, there whole or not at all: the summary's length, the summary, the body.

    Raises:
        EnvironmentProblem: it cannot be written.
    """
    scratch = path.with_suffix(f".{os.getpid()}")
    pictures.write(scratch, struct.pack("<Q", len(head)) + head + msgspec.msgpack.encode(entries))
    os.replace(scratch, path)


def read_summary(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(struct.unpack("<Q", file.read(8))[0])


def read_entries(path: Path) -> list[Entry]:
    with open(path, "rb") as file:
        file.seek(struct.unpack("<Q", file.read(8))[0], os.SEEK_CUR)
        return msgspec.msgpack.decode(file.read(), type=list[Entry])


def _counted(measured: Measured) -> dict[str, int]:
    labels: dict[str, int] = {}
    for found in measured.sample.objects:
        labels[found.label] = labels.get(found.label, 0) + 1
    return labels


def _identity(path: Optional[str]) -> tuple[int, Optional[tuple[int, int]]]:
    """Size of a file, 0 where there is none; device and inode if it has several names."""
    try:
        stat = os.stat(path or "")
    except OSError:
        return 0, None
    return stat.st_size, (stat.st_dev, stat.st_ino) if stat.st_nlink > 1 else None
