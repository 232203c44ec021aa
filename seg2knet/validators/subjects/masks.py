"""An ADE folder as rules see it: classes, images and masks of each split, which is whose, what ids there are."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import Optional

import numpy as np

from seg2knet.dataset.grouping import grouped
from seg2knet.dataset.images import is_image
from seg2knet.dataset.layout import SPLITS, AdeLayout
from seg2knet.dataset.text import class_rows
from seg2knet.engines import cores
from seg2knet.validators.subjects.album import stem
from seg2knet.validators.subjects.data import listed
from seg2knet.validators.subjects.files import once
from seg2knet.validators.subjects.image_files import Gallery, scan, survey

IGNORE = 255
_ENDINGS = ("_mask", "_masks", "_label", "_labels", "_seg", "_segmentation", "_gt", "_labelIds", "_labelTrainIds")


class MaskFolder:
    """One split's images and masks; either folder may be missing."""

    def __init__(self, layout: AdeLayout, split: str) -> None:
        self.split = split
        self.images_dir = layout.images(split)
        self.masks_dir = layout.annotations(split)

    @cached_property
    def images(self) -> dict[str, str]:
        """Images: name relative to the folder, forward slashes -> path; sorted."""
        return listed(self.images_dir)

    @cached_property
    def masks(self) -> dict[str, str]:
        return listed(self.masks_dir)

    @cached_property
    def gallery(self) -> Gallery:
        """What the masks are as image files, in the order of ``masks``."""
        return survey(self.masks.values())

    @cached_property
    def image_gallery(self) -> Gallery:
        """What the images are, in the order of ``images``."""
        return survey(self.images.values())

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        """Names of images and masks with the same stem, in the order of the images; of two images the JPEG."""
        masks = {stem(name): name for name in reversed(self.masks)}
        images: dict[str, str] = {}
        for name in sorted(self.images, key=lambda name: not name.endswith(".jpg")):
            images.setdefault(stem(name), name)
        return sorted((image, masks[key]) for key, image in images.items() if key in masks)

    @cached_property
    def lonely(self) -> tuple[list[str], list[str]]:
        """Images without a mask and masks without an image; those that share their stem with a pair are not."""
        stems = {stem(image) for image, _ in self.pairs}
        images, masks = ([name for name in names if stem(name) not in stems] for names in (self.images, self.masks))
        return images, masks

    def likely_pairs(self) -> dict[str, str]:
        """Lonely masks that must belong to a lonely image: ``a_mask.png``, ``a.jpg.png``, ``A.png`` for ``a.jpg``."""
        images, masks = self.lonely
        by_core = grouped((stem(image).casefold(), image) for image in images)
        wanted: dict[str, list[str]] = {}
        for mask in masks:
            core = stem(mask)
            core = stem(core) if is_image(core) else core
            ending = next((ending for ending in _ENDINGS if core.lower().endswith(ending.lower())), "")
            for image in by_core.get(core[: len(core) - len(ending)].casefold(), ()):
                wanted.setdefault(image, []).append(mask)
        return {image: names[0] for image, names in wanted.items() if len(names) == 1}

    @cached_property
    def regions(self) -> dict[str, np.ndarray]:
        """Mask's name -> its ids, pixels and boxes (``Runs.table``), where the ids can be trusted: of masks that are
        whole, of one channel, 8 or 16 bits, and no JPEG."""
        good = (one.format != "JPEG" and single_channel(one.mode) and not one.problem for one in self.gallery.facts)
        names = list(compress(self.masks, good))
        tables = scan([self.masks[name] for name in names], cores())
        return {name: table for name, table in zip(names, tables) if table is not None}

    @cached_property
    def counts(self) -> Counter[int]:
        """Id -> how many masks of the split have it."""
        return Counter(number for table in self.regions.values() for number in table[:, 0].tolist())


class AdeSet:
    def __init__(self, layout: AdeLayout) -> None:
        self.layout = layout
        self._folders = {split: MaskFolder(layout, split) for split in SPLITS}

    def folder(self, split: str) -> MaskFolder:
        return self._folders[split]

    @property
    def folders(self) -> Iterator[MaskFolder]:
        """The splits that have masks."""
        return (self.folder(split) for split in SPLITS if self.layout.annotations(split).is_dir())

    @cached_property
    def classes(self) -> Optional[list[tuple[int, str]]]:
        """Number and name of each class as ``objectInfo.txt`` has them; ``None`` where there is no such list."""
        return _object_info(self.class_list) if self.class_list is not None else None

    @cached_property
    def class_list(self) -> Optional[Path]:
        """The list of classes, ``None`` where there is none."""
        names = (self.layout.object_info.name, "objectInfo150.txt")
        return next((path for path in map(self.layout.root.joinpath, names) if path.is_file()), None)

    @property
    def top(self) -> Optional[int]:
        """The largest class number, where the classes are known."""
        return max((number for number, _ in self.classes), default=0) if self.classes is not None else None

    @property
    def allowed(self) -> str:
        """What a mask's pixels may be, for a person."""
        numbers = sorted({number for number, _ in self.classes or ()})
        if numbers == list(range(1, len(numbers) + 1)):
            return f"0 to {self.top}, and {IGNORE}"
        return f"0, {', '.join(map(str, numbers))}, as the list of classes has them, and {IGNORE}"

    @cached_property
    def strange(self) -> dict[int, int]:
        """Ids that are neither 0, nor a class, nor 255 -> how many masks have them; none where classes are unknown."""
        if self.classes is None:
            return {}
        known = {0, IGNORE, *(number for number, _ in self.classes)}
        total = sum((folder.counts for folder in self.folders), Counter[int]())
        return {number: count for number, count in total.items() if number not in known}

    @property
    def other_ignore(self) -> Optional[int]:
        """The value that stands for "ignore" in place of 255: the only strange one, if it is one that tools use."""
        number = next(iter(self.strange)) if len(self.strange) == 1 else 0
        usual = 250 <= number < IGNORE or number == 65535
        return number if usual and number > (self.top or 0) else None


def ade_set(layout: AdeLayout) -> AdeSet:
    """What there is to see in an ADE folder, looked at once as long as the layout lives."""
    return once(layout, AdeSet)


def single_channel(mode: str) -> bool:
    """Whether an image of that mode has one number a pixel."""
    return mode in ("1", "L", "P") or sixteen_bit(mode)


def sixteen_bit(mode: str) -> bool:
    return mode in ("I", "F") or mode.startswith("I;16")


def _object_info(file: Path) -> list[tuple[int, str]]:
    """Number and name of each class; in a file without numbers the lines are counted from 1."""
    text = file.read_text(encoding="utf-8-sig", errors="replace")
    if "\t" not in text and all("," in line for line in text.splitlines() if line.strip()):
        text = "\n".join(map("\t".join, csv.reader(text.splitlines())))
    numbered = [(row.number, row.name) for row in class_rows(text) if row.number is not None]
    names = (line.rpartition("\t")[2].strip() for line in text.splitlines() if line.strip())
    return numbered or list(enumerate(names, 1))
