"""Which split an image is in: by lists (``train.txt``), else by a folder's name; and what it is called."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Optional

from seg2knet.converters.base import Handle
from seg2knet.converters.readers.common.pairs import left_of, without_affix
from seg2knet.converters.readers.common.sources import read_list
from seg2knet.converters.splitting.splits import canonical
from seg2knet.dataset.images import is_image
from seg2knet.dataset.text import natural

_PLACES = ("", "splits", "ImageSets/Segmentation", "ImageSets", "ImageSets/Main", "lists")
_ORDER: dict[Optional[str], int] = {"train": 0, "val": 1, "test": 2, None: 3}


class Splits:
    """Splits of a folder: by split (``None``: listed, but in no split, as ``trainval.txt`` says) the names in its
    lists; ``names``, without suffixes, have their splits, ``files`` is what the user should hear of the lists."""

    def __init__(self, lists: dict[Optional[str], list[str]], files: str = "") -> None:
        self.files = files
        self.names: dict[str, Optional[str]] = {}
        for split, listed in lists.items():
            for name in map(_meant, listed):
                self.names.setdefault(name, split)

    @classmethod
    def find(cls, root: Path, places: Iterable[str] = _PLACES) -> Splits:
        """The lists of the first place that has any that are not empty."""
        for place in places:
            folder = root / place
            if not folder.is_dir():
                continue
            lists: dict[Optional[str], list[str]] = {}
            for path in sorted(folder.glob("*.txt")):
                split = canonical(path.stem)
                names = read_list(path) if split or path.stem.lower() == "trainval" else []
                if names:
                    lists.setdefault(split, []).extend(names)
            if lists:
                # What train and val say comes before what trainval says of both.
                ordered = {split: lists[split] for split in _ORDER if split in lists}
                return cls(ordered, f"{place or root.name}/*.txt")
        return cls({})

    def __bool__(self) -> bool:
        return bool(self.names)

    def listed(self, path: str) -> bool:
        """Whether a list names this image, or there are no lists."""
        return not self.names or self._key(path) is not None

    def of(self, path: str) -> Optional[str]:
        """The split of an image, by its path relative to the source."""
        if self.names:
            key = self._key(path)
            return self.names[key] if key is not None else None
        splits = (canonical(folder) or canonical(left_of(folder)) for folder in path.split("/")[:-1])
        return next(filter(None, splits), None)

    def handles(self, images: Iterable[tuple[str, Any]]) -> list[Handle]:
        """Handles of images (relative path, ``where``) but those in no list, split by split.

        An image is called by its path without the folders that say that it is an image, or its split; by its whole
        path where two would be called the same.
        """
        kept = [(self.of(path), short_name(path), path, where) for path, where in images if self.listed(path)]
        if not self.names and any(split is None for split, *_ in kept):
            kept = [(None, name, path, where) for _, name, path, where in kept]
        times = Counter((split, name) for split, name, _, _ in kept)
        return ordered(
            Handle(path if times[split, name] > 1 else name, where, split) for split, name, path, where in kept
        )

    def _key(self, path: str) -> Optional[str]:
        parts = (posixpath.splitext(path)[0] if is_image(path) else path).split("/")
        tails = ["/".join(parts[index:]) for index in range(len(parts))]
        return next((key for key in (*tails, without_affix(parts[-1], "image")[0]) if key in self.names), None)


def ordered(handles: Iterable[Handle]) -> list[Handle]:
    """Handles split by split, each in natural order."""
    return sorted(handles, key=lambda handle: (_ORDER[handle.split], natural(handle.name)))


def short_name(path: str) -> str:
    """A path without the folders that every data set has: ``images/train/berlin/a.jpg`` is ``berlin/a.jpg``."""
    *folders, file = path.split("/")
    kept = [rest for rest in map(left_of, folders) if rest is not None and canonical(rest) is None]
    return "/".join([*kept, file])


def _meant(line: str) -> str:
    """What a line of a list names, without suffix: all of it, or its first word (CamVid names the mask after it)."""
    whole = line.replace("\\", "/")
    words = whole.split()
    # VOC's lists by class say -1, 0 or 1 after the name.
    if len(words) == 2 and (words[1] in ("-1", "0", "1") or is_image(words[1])):
        whole = words[0]
    stem = posixpath.splitext(whole)[0] if is_image(whole) else whole
    return stem.removeprefix("./").lstrip("/")
