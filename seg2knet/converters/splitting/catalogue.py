"""All images that were read: what decides their splits and names as columns, the rest packed."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Optional

import numpy as np

from seg2knet.converters.splitting.names import stem_key
from seg2knet.converters.splitting.packed import Packed
from seg2knet.converters.splitting.stratification import LabelSets
from seg2knet.converters.work import Brief


class Catalogue:
    """Images in the scan's order, part after part.

    Args:
        png_names: see ``Writer.png_names``.

    Attributes:
        images: all that is known of each; a block is a part.
        sources: by part, the number of its source.
        splits: by image, the split that its source says.
        labels: by image, the classes on it.
    """

    def __init__(self, png_names: bool) -> None:
        self.png_names = png_names
        self.images = Packed(Brief)
        self.sources: list[int] = []
        self.splits: list[Optional[str]] = []
        self.labels = LabelSets()
        self._sizes = array("q")
        self._stems = array("q")
        self._known: dict[Optional[str], Optional[str]] = {}

    def add(self, source: int, images: Sequence[Brief]) -> None:
        """Take in a part."""
        for image in images:
            self.splits.append(self._known.setdefault(image.split, image.split))  # one text for all of a split
            self.labels.add(image.labels)
            self._sizes.append(image.size)
            self._stems.append(hash(stem_key(image.name, self.png_names)))
        self.images.add(images)
        self.sources.append(source)

    def __len__(self) -> int:
        return len(self.splits)

    def __iter__(self) -> Iterator[tuple[int, Brief]]:
        """Each image with the number of its source."""
        for number, source in enumerate(self.sources):
            for image in self.images.block(number):
                yield source, image

    @property
    def sizes(self) -> np.ndarray:
        """Bytes of each picture's file, ``(N,)`` int64; 0 where there is none."""
        return np.array(self._sizes, np.int64)

    def may_clash(self, splits: Sequence[str]) -> bool:
        """Whether two pictures of a split could be in one another's way; ``False`` is certain."""
        split_of = {split: number for number, split in enumerate(dict.fromkeys(splits))}
        numbers = np.fromiter(map(split_of.__getitem__, splits), np.int64, len(splits))
        stems = np.array(self._stems, np.int64)
        order = np.lexsort((stems, numbers))
        stems, numbers = stems[order], numbers[order]
        return bool(((stems[1:] == stems[:-1]) & (numbers[1:] == numbers[:-1])).any())
