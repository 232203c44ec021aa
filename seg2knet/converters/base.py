"""What a reader is, and what a writer is. A new source is one module with one class under ``@register_reader`` (or an
entry point in the group ``seg2knet.readers``), a new target likewise under ``@register_writer`` (``seg2knet.writers``);
nothing else has to be touched.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Optional

import msgspec

from seg2knet.converters.options import ConvertOptions, ReaderOptions
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.geometry import shape_to_rle
from seg2knet.dataset.rle import Box
from seg2knet.dataset.sample import Note, Rle, Sample, Skip
from seg2knet.errors import Seg2KNetError, UsageError

IGNORE = "__ignore__"
"""Label of a region that belongs to no class and is not to be trained on: a crowd of every class."""


class Handle(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One image to be read: small, for a data set has 100,000 of them."""

    name: str  # in the data set, relative, with forward slashes; unique within its split
    where: Any  # a path, a (start, end) in a file; plain data: ``read`` may get a tuple as a list
    split: Optional[str] = None  # ``train``, ``val``, ``test`` where the source says so


class Scan(msgspec.Struct, frozen=True):
    """What is in a source, without reading it all.

    Where classes are known only by reading they are ``None``, and will be the labels that occur, in natural order.
    """

    handles: Sequence[Handle]  # in natural order of their names, split by split
    classes: Optional[ClassList] = None
    skips: tuple[Skip, ...] = ()  # what can be told already: an annotation file whose image is missing
    notes: tuple[Note, ...] = ()
    meta: Optional[dict[str, Any]] = None  # ``info`` and ``licenses``, where the source has them; COCO files keep them


class Evidence(msgspec.Struct, frozen=True):
    """Why a source is taken for a format: a score of 0..1, and what was seen: ``12 of 12 JSON files have "shapes"``."""

    score: float
    reasons: tuple[str, ...]


class Reader(ABC):
    """Reads one format. Picklable and cheap to build: every worker has its own.

    ``scan`` lists, ``read`` reads one image and is pure: it depends on the handle, the source and the options alone.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    Options: ClassVar[type[ReaderOptions]] = ReaderOptions
    paint_order: ClassVar[bool] = False
    """Whether the order of the objects says who lies over whom; else the smaller one does."""

    def __init__(self, source: Path, options: Optional[ReaderOptions] = None) -> None:
        self.source = Path(source)
        self.options: Any = options if options is not None else self.Options()

    @classmethod
    def sniff(cls, source: Path) -> Optional[Evidence]:
        """Evidence that ``source`` is of this format; ``None`` for no."""
        with contextlib.suppress(Seg2KNetError):
            return cls.evidence(source)
        return None

    @classmethod
    def evidence(cls, source: Path) -> Optional[Evidence]:
        """The same, from a look at a few files; an error is a no."""
        return None

    @abstractmethod
    def scan(self) -> Scan:
        """Raises DataError: the source is not of this format, or holds nothing."""

    @abstractmethod
    def read(self, handle: Handle) -> Sample:
        """Raises DataError: the annotation cannot be read: with file, place, what was found and what was expected. What
        can be read but has no area, no class or no place in a segmentation data set is a ``Skip`` instead.
        """

    def count(self, handle: Handle) -> int:
        """How many objects the annotation of an image has that ``read`` refused, for the ledger; 0 where none can tell.

        Raises DataError: the annotation cannot be read either.
        """
        return 0


class Measured(msgspec.Struct, frozen=True, dict=True):
    """A sample after the transforms, and of each object's mask (of at least one pixel) the area and the box."""

    sample: Sample
    areas: Sequence[int]
    boxes: Sequence[Box]

    @cached_property
    def rles(self) -> list[Rle]:
        """The masks, drawn when they are first asked for."""
        image = self.sample.image
        return [shape_to_rle(item.shape, image.height, image.width) for item in self.sample.objects]


class Encoded(msgspec.Struct, frozen=True, gc=False):
    """What a writer makes of one sample, in the worker that read it."""

    fragment: Any  # what the same writer's ``add`` needs, finished but for the numbers; plain data
    written: int  # objects that are in it
    blobs: dict[str, bytes] = {}  # by kind, the bytes of this image's own files (PNGs, label files)
    skips: Sequence[Skip] = ()  # objects that the target cannot hold
    changes: Sequence[Note] = ()  # what it cannot say of the objects it holds: pixels that changed, attributes


class Writer(ABC):
    """Writes one target. ``encode`` runs in the worker that read the sample; the rest in the parent, in scan order."""

    name: ClassVar[str]
    title: ClassVar[str]
    needs_classes: ClassVar[bool] = False
    """``encode`` needs the final class list (it writes class numbers into pixels)."""
    png_names: ClassVar[bool] = False
    """The loader derives a mask's name from the image's, so images are named for it."""
    jpeg_only: ClassVar[bool] = False
    """The loader takes ``.jpg`` alone; other images are re-encoded."""
    most_classes: ClassVar[Optional[int]] = None
    validated: ClassVar[bool] = False
    """``seg2knet validate`` knows the target and checks it."""
    reread: ClassVar[bool] = False
    """The reader of the same name reads the result again, as its check."""
    files: Mapping[str, Any] = {}
    """By split, the files that ``open`` began to write."""

    def __init__(self, options: ConvertOptions, classes: Optional[ClassList] = None) -> None:
        if self.most_classes is not None and classes is not None and len(classes) > self.most_classes:
            raise UsageError(
                f"too many classes for the target {self.name}", found=f"{len(classes)} classes",
                expected=f"at most {self.most_classes}",
                hint="leave some out with --drop or a class file (--classes), or merge some with --map OLD=NEW",
            )  # fmt: skip
        self.options = options
        self.stuff = options.stuff or frozenset()
        self.classes = classes
        self.numbers = {name: number for number, name in enumerate(classes.names, 1)} if classes is not None else {}

    @abstractmethod
    def encode(self, measured: Measured) -> Encoded:
        """One sample as finished bytes. Pure.

        Raises DataError: it cannot be written so: the image is skipped; UsageError: the options forbid it (``--overlap
        error``): the run ends.
        """

    def image(self, split: str, name: str) -> str:
        """Where an image of that name goes, relative to the target's folder."""
        return f"images/{split}/{name}"

    def blob(self, kind: str, split: str, name: str) -> str:
        """Where that image's own file of a kind goes, relative to the target's folder."""
        raise TypeError(f"the target {self.name} has no file for each image")

    @abstractmethod
    def open(self, root: Path, classes: ClassList, meta: Optional[dict[str, Any]], splits: Sequence[str]) -> None:
        """Begin to write below ``root``, an empty folder."""

    def add(self, split: str, name: str, fragment: Any) -> None:  # noqa: B027  # most have files for each image alone
        """Take one image's fragment, under its final name."""

    def close(self) -> None:
        """Finish all files."""
        for file in self.files.values():
            file.close()

    def reader_options(self) -> dict[str, Any]:
        """With which the reader of the same name finds what was written."""
        return {}

    def check(self, tree: Path, written: int) -> list[str]:
        """What is wrong with the finished data set in ``tree``, in which ``written`` objects should be."""
        return []
