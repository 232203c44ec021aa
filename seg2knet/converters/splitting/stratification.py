"""Which image goes to train, val, test: the mix of classes kept, rare ones in every part, groups together.

After Sechidis, Tsoumakas and Vlahavas, *On the Stratification of Multi-Label Data* (ECML PKDD 2011), with two changes:
the parts' sizes come out as asked, and a class with as few images as there are parts gets one in each.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence

from seg2knet.converters.splitting.splits import part_sizes
from seg2knet.dataset.grouping import grouped


def stratify(
    labels: Sequence[Iterable[str]], groups: Sequence[int], shares: Mapping[str, float], seed: int = 0
) -> list[str]:
    """The split of each image, the same for the same arguments; images of one group stay together, ``shares`` sum to 1,
    and the seed chooses among equals.
    """
    members = grouped((group, index) for index, group in enumerate(groups))
    if not members:
        return []
    united = [tuple(sorted({label for i in indices for label in labels[i]})) for indices in members.values()]
    chosen = _Division(united, [len(indices) for indices in members.values()], shares, seed).run()
    split_of = dict(zip(members, chosen))
    return [split_of[group] for group in groups]


class _Division:
    """The state of one division of groups: what each part still wants, of images and of each class."""

    def __init__(
        self, labels: Sequence[tuple[str, ...]], weights: Sequence[int], shares: Mapping[str, float], seed: int
    ) -> None:
        self.labels = labels
        self.weights = weights
        self.parts = list(shares)
        self.room = {name: float(size) for name, size in part_sizes(sum(weights), shares).items()}
        self.order = list(range(len(labels)))
        random.Random(seed).shuffle(self.order)
        # Large groups first: a late one would find no part with room for it.
        self.order.sort(key=lambda index: -weights[index])
        self.having = grouped((label, index) for index in self.order for label in labels[index])
        self.left = {label: len(indices) for label, indices in self.having.items()}
        self.wanted = {part: {label: count * shares[part] for label, count in self.left.items()} for part in self.parts}
        self.have = {part: dict.fromkeys(self.left, 0) for part in self.parts}
        self.chosen = [""] * len(labels)

    def run(self) -> list[str]:
        by_name = sorted(self.left)
        while open_labels := [label for label in by_name if self.left[label] > 0]:
            rarest = min(open_labels, key=lambda label: self.left[label])
            for index in self.having[rarest]:
                if not self.chosen[index]:
                    self._assign(index, self._part_for(rarest, self.weights[index]))
        for index in self.order:
            if not self.chosen[index]:
                self._assign(index, max(self.parts, key=lambda part: self.room[part]))
        return self.chosen

    def _part_for(self, label: str, weight: int) -> str:
        roomy = [part for part in self.parts if self.room[part] >= weight]
        roomy = roomy or [part for part in self.parts if self.room[part] > 0] or self.parts
        lacking = [part for part in roomy if not self.have[part][label]]
        if lacking and self.left[label] <= len(lacking):
            roomy = lacking
        return max(roomy, key=lambda part: (self.wanted[part][label], self.room[part]))

    def _assign(self, index: int, part: str) -> None:
        self.chosen[index] = part
        self.room[part] -= self.weights[index]
        for label in self.labels[index]:
            self.wanted[part][label] -= 1
            self.left[label] -= 1
            self.have[part][label] += 1
