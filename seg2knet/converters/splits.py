"""Which image goes to train, val, test: the mix of classes kept, rare ones in every part, groups together.

After Sechidis, Tsoumakas and Vlahavas, *On the Stratification of Multi-Label Data* (ECML PKDD 2011), with two changes:
the parts' sizes come out as asked, and a class with as few images as there are parts gets one in each.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Callable, Optional

from seg2knet.dataset.layout import SPLITS
from seg2knet.errors import UsageError

_ALIASES = {
    "train": "train", "training": "train", "trainset": "train", "trainingset": "train", "train2017": "train",
    "val": "val", "valid": "val", "validation": "val", "valset": "val", "validationset": "val", "val2017": "val",
    "dev": "val", "test": "test", "testing": "test", "testset": "test", "test2017": "test",
}  # fmt: skip


def canonical(name: Optional[str]) -> Optional[str]:
    """``train``, ``val`` or ``test`` for the many names that people give them, ``None`` for any other."""
    return _ALIASES.get(name.strip().lower()) if name else None


def parse_ratios(text: str) -> dict[str, float]:
    """Shares from ``0.8/0.1/0.1`` (train, val, test), ``80/20``, ``train=0.9,test=0.1`` or a split's name alone.

    Returns:
        Shares that sum to 1, splits with none left out.

    Raises:
        UsageError: it is none of these.
    """
    problem = UsageError(
        "not a split",
        found=f"--split {text}",
        expected="0.8/0.1/0.1 (train, val, test), 0.8/0.2, train=0.9,test=0.1, or train",
    )
    if text in SPLITS:
        return {text: 1.0}
    try:
        if "=" in text:
            pairs = [part.split("=") for part in re.split("[,/]", text)]
            shares = {name.strip(): float(number) for name, number in pairs}
        else:
            numbers = [float(part) for part in re.split("[/,:]", text)]
            shares = dict(zip(SPLITS, numbers))
            if len(numbers) > len(SPLITS):
                raise problem
    except ValueError:
        raise problem from None
    total = sum(shares.values())
    if not set(shares) <= set(SPLITS) or min(shares.values()) < 0 or not 0 < total < float("inf"):
        raise problem
    if not (abs(total - 1) < 0.011 or abs(total - 100) < 1.1):
        problem.hint = f"the shares sum to {total:g}, not to 1"
        raise UsageError(problem.message, found=problem.found, expected=problem.expected, hint=problem.hint)
    return {name: share / total for name, share in shares.items() if share > 0}


def group_key(rule: str) -> Callable[[str], Optional[str]]:
    """What ``--group-by`` says of an image's name: its group, ``None`` where it is a group of its own.

    Args:
        rule: ``folder``, or a regular expression whose first group (else whole match) names the group.

    Raises:
        UsageError: not a regular expression.
    """
    if rule == "folder":
        return lambda name: name.rpartition("/")[0]
    try:
        pattern = re.compile(rule)
    except re.error as error:
        raise UsageError("not a regular expression", found=f"--group-by {rule}: {error}") from None

    def key(name: str) -> Optional[str]:
        match = pattern.search(name)
        return (match.group(1) if pattern.groups else match.group(0)) if match else None

    return key


def stratify(
    labels: Sequence[Iterable[str]], groups: Sequence[object], shares: Mapping[str, float], seed: int = 0
) -> list[str]:
    """Divide images.

    Args:
        labels: for each image, the classes on it.
        groups: for each image, the group it may not be parted from.
        shares: of each split, summing to 1.
        seed: for the choice among equals.

    Returns:
        The split of each image; the same for the same arguments.
    """
    members: dict[object, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    known: dict[frozenset[str], list[str]] = {}  # the same few lists for all groups
    found = (frozenset(label for index in images for label in labels[index]) for images in members.values())
    of_groups = [known.get(some) or known.setdefault(some, sorted(some)) for some in found]
    division = _Division(of_groups, [len(images) for images in members.values()], shares, seed)
    chosen = division.run()
    result = [""] * len(labels)
    for images, split in zip(members.values(), chosen):
        for index in images:
            result[index] = split
    return result


def part_sizes(count: int, shares: Mapping[str, float]) -> dict[str, int]:
    """How many of ``count`` each part gets: rounded by largest remainder, none empty while there are enough."""
    sizes = {name: int(count * share) for name, share in shares.items()}
    by_rest = sorted(shares, key=lambda name: (sizes[name] - count * shares[name], list(shares).index(name)))
    for name in by_rest[: count - sum(sizes.values())]:
        sizes[name] += 1
    for name in shares:
        largest = max(sizes, key=lambda other: sizes[other])
        if sizes[name] == 0 and sizes[largest] > 1:
            sizes[name] += 1
            sizes[largest] -= 1
    return sizes


class _Division:
    """The state of one division: what each part still wants, of images and of each class."""

    def __init__(
        self, labels: Sequence[Sequence[str]], weights: Sequence[int], shares: Mapping[str, float], seed: int
    ) -> None:
        self.labels = labels
        self.weights = weights
        self.parts = list(shares)
        self.room = {name: float(size) for name, size in part_sizes(sum(weights), shares).items()}
        totals = Counter(label for some in labels for label in some)
        self.wanted = {part: {label: n * shares[part] for label, n in totals.items()} for part in self.parts}
        self.have: dict[str, Counter[str]] = {part: Counter() for part in self.parts}
        self.left = totals
        self.order = list(range(len(labels)))
        random.Random(seed).shuffle(self.order)
        # Large groups first: a late one would find no part with room for it.
        self.order.sort(key=lambda index: -weights[index])
        self.chosen = [""] * len(labels)

    def run(self) -> list[str]:
        having: dict[str, list[int]] = {label: [] for label in sorted(self.left)}
        for index in self.order:
            for label in self.labels[index]:
                having[label].append(index)
        while True:
            open_labels = [label for label in having if self.left[label] > 0]
            if not open_labels:
                break
            rarest = min(open_labels, key=lambda label: self.left[label])
            for index in having[rarest]:
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
            return max(lacking, key=lambda part: (self.wanted[part][label], self.room[part]))
        return max(roomy, key=lambda part: (self.wanted[part][label], self.room[part]))

    def _assign(self, index: int, part: str) -> None:
        self.chosen[index] = part
        self.room[part] -= self.weights[index]
        for label in self.labels[index]:
            self.wanted[part][label] -= 1
            self.left[label] -= 1
            self.have[part][label] += 1
