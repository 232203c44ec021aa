"""What a reader is. A new format is one module with one class under ``@register_reader`` (or an entry point in the
group ``seg2knet.readers``); nothing else has to be touched.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Optional

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import Literal

from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.sample import Note, Sample, Skip


class ReaderOptions(BaseModel):
    """Options every reader takes; a reader with more makes a subclass.

    Each field becomes an option of ``seg2knet convert FORMAT``: ``min_area`` is ``--min-area``, a ``bool`` is a flag,
    a ``Literal`` a choice, and the description its help.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    boxes: Literal["refuse", "as-polygons"] = Field(
        "refuse", description="What to do with boxes that have no outline: skip them as an error, or take four corners."
    )
    images: Optional[Path] = Field(
        None, description="Folder of the pictures, where they do not stand by the annotations."
    )


class Handle(msgspec.Struct, frozen=True, gc=False):
    """One image to be read: small, for a data set has 100,000 of them, and sent to another process.

    Attributes:
        name: the image's name in the data set, relative, with forward slashes; unique within its split.
        where: what ``read`` needs to find its annotation: a path, a (start, end) in a file. Plain data.
        split: ``train``, ``val``, ``test`` where the source says so.
    """

    name: str
    where: Any
    split: Optional[str] = None


class Scan(msgspec.Struct, frozen=True):
    """What is in a source, without reading it all.

    Attributes:
        handles: the images in natural order of their names, split by split.
        classes: the source's class list, or ``None`` where classes are known only by reading; then they are
            the labels that occur, in natural order.
        skips, notes: what can be told already (an annotation file whose image is missing, tags that are ignored).
    """

    handles: Sequence[Handle]
    classes: Optional[ClassList] = None
    skips: tuple[Skip, ...] = ()
    notes: tuple[Note, ...] = ()


class Evidence(msgspec.Struct, frozen=True):
    """Why a reader thinks that a source is of its format.

    Attributes:
        score: 0..1; two formats within 0.2 of one another are a tie, which ``auto`` refuses.
        reasons: what was seen, for the user: ``12 of 12 JSON files have "shapes" and "imagePath"``.
    """

    score: float
    reasons: tuple[str, ...]


class Reader(ABC):
    """Reads one format. Picklable and cheap to build: every worker has its own.

    ``scan`` lists, ``read`` reads one image and is pure: it depends on the handle, the source and the options alone.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    Options: ClassVar[type[ReaderOptions]] = ReaderOptions

    def __init__(self, source: Path, options: Optional[ReaderOptions] = None) -> None:
        self.source = Path(source)
        self.options: Any = options if options is not None else self.Options()

    @classmethod
    def sniff(cls, source: Path) -> Optional[Evidence]:
        """Evidence that ``source`` is of this format, from a look at a few files; ``None`` for no."""
        return None

    @abstractmethod
    def scan(self) -> Scan:
        """
        Raises:
            DataError: the source is not of this format, or holds nothing.
        """

    @abstractmethod
    def read(self, handle: Handle) -> Sample:
        """
        Raises:
            DataError: the annotation cannot be read: with file, place, what was found and what was expected. What can
                be read but has no area, no class or no place in a segmentation data set is a ``Skip`` instead.
        """
