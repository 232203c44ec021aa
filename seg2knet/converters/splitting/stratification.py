"""Which image goes to train, val, test: the mix of classes kept, rare ones in every part, groups together.

After Sechidis, Tsoumakas and Vlahavas, *On the Stratification of Multi-Label Data* (ECML PKDD 2011), with two changes:
the parts' sizes come out as asked, and a class with as few images as there are parts gets one in each.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Optional, Union

import numpy as np

from seg2knet.converters.splitting.splits import part_sizes


class LabelSets:
    """Of each of many images the classes on it, as numbers.

    Attributes:
        numbers: class -> its number.
    """

    def __init__(self, numbers: Optional[dict[str, int]] = None) -> None:
        self.numbers: dict[str, int] = {} if numbers is None else numbers
        self._flat = array("i")
        self._ends = array("q", [0])

    @classmethod
    def of(cls, labels: Iterable[Iterable[str]]) -> LabelSets:
        """From each image's classes."""
        made = cls()
        for some in labels:
            made.add(some)
        return made

    def add(self, labels: Iterable[str]) -> None:
        """Take in an image."""
        self._take(self.numbers.setdefault(label, len(self.numbers)) for label in labels)

    def _take(self, numbers: Iterable[int]) -> None:
        self._flat.extend(numbers)
        self._ends.append(len(self._flat))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> array[int]:
        return self._flat[self._ends[index] : self._ends[index + 1]]

    def chosen(self, rows: np.ndarray) -> LabelSets:
        """Of some images alone."""
        made = LabelSets(self.numbers)
        for row in rows:
            made._take(self[row])
        return made

    def united(self, number: np.ndarray) -> LabelSets:
        """Of groups of images the classes on any of them.

        Args:
            number: ``(N,)`` of each image the number of its group; from 0 on, none left out.
        """
        made = LabelSets(self.numbers)
        order, ends = np.argsort(number, kind="stable"), np.cumsum(np.bincount(number))
        start = 0
        for end in ends:
            rows = order[start:end].tolist()
            made._take(self[rows[0]] if len(rows) == 1 else sorted({label for row in rows for label in self[row]}))
            start = end
        return made


def stratify(
    labels: LabelSets, groups: Union[np.ndarray, Sequence[int]], shares: Mapping[str, float], seed: int = 0
) -> list[str]:
    """Divide images.

    Args:
        labels: for each image, the classes on it.
        groups: ``(N,)`` int, for each image the number of the group it may not be parted from.
        shares: of each split, summing to 1.
        seed: for the choice among equals.

    Returns:
        The split of each image; the same for the same arguments.
    """
    if not len(labels):
        return []
    _, firsts, inverse = np.unique(np.asarray(groups), return_index=True, return_inverse=True)
    if len(firsts) == len(labels):
        return _Division(labels, [1] * len(labels), shares, seed).run()
    number = np.argsort(np.argsort(firsts))[inverse.reshape(-1)]  # groups in the order of their first images
    chosen = _Division(labels.united(number), np.bincount(number).tolist(), shares, seed).run()
    return [chosen[group] for group in number]


class _Division:
    """The state of one division: what each part still wants, of images and of each class."""

    def __init__(self, labels: LabelSets, weights: Sequence[int], shares: Mapping[str, float], seed: int) -> None:
        self.labels = labels
        self.weights = weights
        self.parts = list(shares)
        self.room = {name: float(size) for name, size in part_sizes(sum(weights), shares).items()}
        self.order = array("q", range(len(labels)))
        random.Random(seed).shuffle(self.order)
        if max(weights) > 1:
            # Large groups first: a late one would find no part with room for it.
            self.order = array("q", sorted(self.order, key=lambda index: -weights[index]))
        self.having = [array("q") for _ in labels.numbers]
        for index in self.order:
            for label in labels[index]:
                self.having[label].append(index)
        self.left = [len(indices) for indices in self.having]
        self.wanted = {part: [count * shares[part] for count in self.left] for part in self.parts}
        self.have = {part: [0] * len(self.left) for part in self.parts}
        self.chosen = [""] * len(labels)

    def run(self) -> list[str]:
        by_name = [number for _, number in sorted(self.labels.numbers.items())]
        while True:
            open_labels = [label for label in by_name if self.left[label] > 0]
            if not open_labels:
                break
            rarest = min(open_labels, key=lambda label: self.left[label])
            for index in self.having[rarest]:
                if not self.chosen[index]:
                    self._assign(index, self._part_for(rarest, self.weights[index]))
        for index in self.order:
            if not self.chosen[index]:
                self._assign(index, max(self.parts, key=lambda part: self.room[part]))
        return self.chosen

    def _part_for(self, label: int, weight: int) -> str:
        roomy = [part for part in self.parts if self.room[part] >= weight]
        roomy = roomy or [part for part in self.parts if self.room[part] > 0] or self.parts
        lacking = [part for part in roomy if not self.have[part][label]]
        if lacking and self.left[label] <= len(lacking):
            return max(lacking, key=lambda part: (self.wanted[part][label], self.room[part]))
        return max(roomy, key=lambda part: (self.wanted[part][label], self.room[part]))

    def _assign(self, index: int, part: str) -> None:
        self.chosen[index] = part
        self.room[part] -= self.weights[index]
        for label in self.labels[index]:
            self.wanted[part][label] -= 1
            self.left[label] -= 1
            self.have[part][label] += 1
