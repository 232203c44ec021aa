"""What ``seg2knet convert`` can be asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Optional, Union

from typing_extensions import Literal

from seg2knet.converters.base import ReaderOptions
from seg2knet.dataset.layout import DEFAULT_OUT, SPLITS
from seg2knet.errors import UsageError

Layout = Literal["year", "plain"]
Overlap = Literal["z-order", "small-first", "last", "error"]
DEFAULT_SHARES = {"train": 0.8, "val": 0.2}


@dataclass(frozen=True)
class Source:
    """A source and the split that all of it is, where the user says so (``val=./testset``)."""

    path: Path
    split: Optional[str] = None

    @classmethod
    def parse(cls, text: Union[str, Path]) -> Source:
        """From ``PATH`` or ``SPLIT=PATH``."""
        name, equals, rest = str(text).partition("=")
        if equals and name in SPLITS and rest:
            return cls(Path(rest).expanduser(), name)
        return cls(Path(text).expanduser())


@dataclass(frozen=True)
class ConvertOptions:
    """Options of a conversion; each is an option of the command line of that name.

    Attributes:
        to: targets.
        out: the folder to be made; by default each target's own.
        split: shares by split; ``None``: as the source has it, else 0.8 train, 0.2 val.
        resplit: divide again what the source has divided.
        group_by: ``folder`` or a regular expression: images that stay together.
        seed: of the division.
        classes: the class file.
        mapping: old label to new.
        drop: classes to leave out.
        stuff: classes that are stuff.
        min_area: objects of fewer pixels are left out.
        polygons: masks become polygons.
        layout: with the year 2017 in names, or without.
        images: how images get to the target.
        exif: re-save turned images upright, or keep them as they are.
        overlap: who has a pixel that several objects claim (panoptic, ade); ``None``: as the source paints them, else
            the smaller one.
        void_class: the class of pixels that nobody claims (panoptic).
        boxes_only: boxes in place of outlines (yolo).
        mask_kinds: which mask images to write (masks): ``index``, ``instances``, ``colors``.
        predictions: write objects as a model's predictions (labelstudio).
        lossless: end the run where a target cannot hold something.
        jobs, engine, ray_address: where the work runs.
        dry_run: read everything, write nothing.
        resume: continue where a run that died stopped.
        overwrite: replace a folder that no conversion made.
        validate: check the result.
        allow_skips: losing objects, even all of them, is not a failure.
        reader: options of the source's format.
    """

    to: Sequence[str] = ("coco",)
    out: Optional[Path] = None
    split: Optional[Mapping[str, float]] = None
    resplit: bool = False
    group_by: Optional[str] = None
    seed: int = 0
    classes: Optional[Path] = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    drop: frozenset[str] = frozenset()
    stuff: Optional[frozenset[str]] = None
    min_area: int = 0
    polygons: bool = False
    layout: Layout = "year"
    images: Literal["link", "copy", "symlink", "none"] = "link"
    exif: Literal["upright", "keep"] = "upright"
    overlap: Optional[Overlap] = None
    void_class: Optional[str] = None
    boxes_only: bool = False
    mask_kinds: Sequence[str] = ("index",)
    predictions: bool = False
    lossless: bool = False
    jobs: Optional[int] = None
    engine: str = "local"
    ray_address: Optional[str] = None
    dry_run: bool = False
    resume: bool = False
    overwrite: bool = False
    validate: bool = True
    allow_skips: bool = False
    reader: Optional[ReaderOptions] = None

    @property
    def targets(self) -> tuple[str, ...]:
        """The writers by name; panoptic stands beside instances, so it asks for coco too."""
        wanted = list(dict.fromkeys(self.to))
        if not wanted:
            raise UsageError("no target", hint="name one: --to coco")
        if "panoptic" in wanted and "coco" not in wanted:
            wanted.insert(0, "coco")
        order = list(DEFAULT_OUT)
        return tuple(sorted(wanted, key=lambda name: order.index(name) if name in order else len(order)))

    def root(self, target: str) -> Path:
        """The folder of a target."""
        return self.out if self.out is not None else DEFAULT_OUT.get(target, Path("data") / target)

    def recorded(self) -> dict[str, Any]:
        """What decides the bytes of the result, as plain data."""
        plain = {
            "to": list(self.targets),
            "split": dict(self.split) if self.split else None,
            "classes": self.classes.name if self.classes else None,
            "mapping": dict(sorted(self.mapping.items())),
            "drop": sorted(self.drop),
            "stuff": sorted(self.stuff) if self.stuff is not None else None,
            "mask_kinds": list(self.mask_kinds),
        }
        names = [item.name for item in fields(self) if item.name not in _NOT_RECORDED]
        return {"map" if name == "mapping" else name: plain.get(name, getattr(self, name)) for name in names}


_NOT_RECORDED = frozenset({
    "out", "jobs", "engine", "ray_address", "dry_run", "resume", "overwrite", "validate", "allow_skips", "lossless",
    "reader",
})  # fmt: skip
