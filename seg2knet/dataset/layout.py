"""Where things stand in a data set on disk. Said once: writers, validators and trainer all read it here.

Layouts:
    coco      ``annotations/instances_{train,val,test}2017.json`` beside ``train2017/`` ... (``plain``: without 2017)
    panoptic  coco's, and ``annotations/panoptic_{split}2017.json`` with ``annotations/panoptic_{split}2017/*.png``
    ade       ``images/{training,validation,test}/*.jpg``, ``annotations/{...}/*.png``, ``objectInfo.txt``
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from seg2knet.errors import DataError

SPLITS = ("train", "val", "test")
DEFAULT_OUT = {"coco": Path("data/coco"), "panoptic": Path("data/coco"), "ade": Path("data/ade/ADEChallengeData2016")}
LEDGER = "seg2knet-ledger.json"
"""The name under which a conversion leaves its ledger in the data set's folder."""
SHEET = "sheet.jpg"
"""And that of its contact sheet: some labelled images of each split."""


@dataclass(frozen=True)
class CocoLayout:
    """A COCO folder, instances and, where present, panoptic; ``year`` follows a split's name, or is empty (plain)."""

    root: Path
    year: str = "2017"

    def instances(self, split: str) -> Path:
        return self.root / "annotations" / f"instances_{split}{self.year}.json"

    def images(self, split: str) -> Path:
        return self.root / f"{split}{self.year}"

    def panoptic(self, split: str) -> Path:
        return self.root / "annotations" / f"panoptic_{split}{self.year}.json"

    def panoptic_pngs(self, split: str) -> Path:
        return self.root / "annotations" / f"panoptic_{split}{self.year}"

    def image_info(self, split: str) -> Path:
        """A split without truth: ``image_info_test2017.json``."""
        return self.root / "annotations" / f"image_info_{split}{self.year}.json"

    def splits(self) -> tuple[str, ...]:
        """Splits that have an instance file."""
        return tuple(split for split in SPLITS if self.instances(split).is_file())

    def panoptic_splits(self) -> tuple[str, ...]:
        """Splits that have a panoptic file."""
        return tuple(split for split in SPLITS if self.panoptic(split).is_file())


@dataclass(frozen=True)
class AdeLayout:
    """An ADE20K challenge folder (http://sceneparsing.csail.mit.edu): 0 = unlabelled, 1.. = classes.

    ``short``: its folders are called ``train`` and ``val``.
    """

    root: Path
    short: bool = False
    FOLDERS: ClassVar[dict[str, str]] = {"train": "training", "val": "validation", "test": "test"}

    def images(self, split: str) -> Path:
        return self.root / "images" / (split if self.short else self.FOLDERS[split])

    def annotations(self, split: str) -> Path:
        return self.root / "annotations" / (split if self.short else self.FOLDERS[split])

    @property
    def object_info(self) -> Path:
        return self.root / "objectInfo.txt"

    def splits(self) -> tuple[str, ...]:
        """Splits that have masks."""
        return tuple(split for split in SPLITS if self.annotations(split).is_dir())


def find_coco(root: Path) -> CocoLayout | None:
    """The COCO layout in ``root``, with the year or without, or ``None``."""
    for year in ("2017", ""):
        layout = CocoLayout(root, year)
        if layout.splits() or layout.panoptic_splits():
            return layout
    return None


def find_ade(root: Path) -> AdeLayout | None:
    """The ADE layout in ``root`` or in its ``ADEChallengeData2016``, or ``None``."""
    for folder in (root, root / "ADEChallengeData2016"):
        layout = AdeLayout(folder)
        if layout.splits() and (folder / "images").is_dir():
            return layout
        layout = AdeLayout(folder, short=True)
        if layout.images("train").is_dir() and any(layout.annotations("train").glob("*.png")):
            return layout
    return None


def find_dataset(places: Sequence[Path] = (Path("data/coco"), Path("data/ade"))) -> CocoLayout | AdeLayout:
    """The first data set in ``places``: what ``seg2knet train`` starts from when no folder is named.

    Raises DataError: there is none.
    """
    for place in places:
        layout = find_coco(place) or find_ade(place)
        if layout is not None:
            return layout
    raise DataError(
        "no data set found",
        found=", ".join(f"{place} {'holds none' if place.is_dir() else 'does not exist'}" for place in places),
        expected="annotations/instances_train2017.json (coco) or images/training and annotations/training (ade)",
        hint="make one with: seg2knet convert FORMAT SOURCE --to coco",
    )
