"""Gives every image its split and its final name, once all are read."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Callable, NamedTuple, Optional

from seg2knet.converters.ledger import Ledger
from seg2knet.converters.options import DEFAULT_SHARES, ConvertOptions
from seg2knet.converters.splitting.names import Namer
from seg2knet.converters.splitting.splits import group_key, part_sizes
from seg2knet.converters.work import Done
from seg2knet.dataset.files import digest
from seg2knet.dataset.grouping import grouped
from seg2knet.dataset.sample import Note


class Assignment(NamedTuple):
    """Where an image goes: its split, and its name there, ``None`` where it is left out."""

    split: str
    name: Optional[str]


def assign(
    images: Sequence[Done], folders: Sequence[str], options: ConvertOptions, png_names: bool, ledger: Ledger
) -> list[Assignment]:
    """Decide splits and names; ``folders`` are the sources' names, for images of the same name in several."""
    namer = Namer(png_names)
    files: dict[tuple[str, str], Optional[str]] = {}
    assignments = []
    for split, image in zip(divide(images, options, ledger), images):
        name = None
        if image.path is None or files.get((split, image.name)) != image.path:
            files.setdefault((split, image.name), image.path)
            name = namer.name(split, image.name, folders[image.source] if len(folders) > 1 else None)
            if name != image.name:
                ledger.note(Note("image-renamed", image.name, f"to {name}"))
        assignments.append(Assignment(split, name))
    return assignments


def divide(images: Sequence[Done], options: ConvertOptions, ledger: Ledger) -> list[str]:
    """The split of each image: the source's own where it has one, else by share."""
    given = [image.split for image in images]
    own = {split for split in given if split}
    # One split for everything is no division: then --split divides it.
    ignored = options.split is not None and (options.resplit or (len(own) == 1 and None not in given))
    if ignored:
        given = [None] * len(images)
    elif options.split is not None and own and None not in given:
        detail = f"{', '.join(sorted(own))}; --resplit divides again"
        ledger.note(Note("splits-of-the-source-kept", "--split", detail))
    shares: Optional[Mapping[str, float]] = options.split
    if shares is None:
        # Images without a split beside others that have one: train, as the source's val is what it is.
        shares = {"train": 1.0} if own else DEFAULT_SHARES
    free = [image for image, split in zip(images, given) if split is None]
    chosen = iter(_divided(free, shares, options, ledger) if free else ())
    return [split or next(chosen) for split in given]


def _divided(
    images: Sequence[Done], shares: Mapping[str, float], options: ConvertOptions, ledger: Ledger
) -> Sequence[str]:
    """The splits of images that have none."""
    if len(shares) == 1:
        return list(shares) * len(images)
    groups = _groups(images, options.group_by)
    copies = _copies(images)
    joined = _joined(groups, copies)
    if copies and options.split is not None and len(set(joined)) < len(shares) <= len(set(groups)):
        joined = groups  # so few different images that copies must be parted, as the user asked for parts
    elif copies:
        count = len(copies) + len(set(copies.values()))
        ledger.note(Note("copies-kept-together", "--split", "images that are byte for byte the same", count))
    if options.split is None:
        sizes = ", ".join(f"{split} {size}" for split, size in part_sizes(len(images), shares).items() if size)
        ledger.note(Note("split-by-default", "--split", f"the source has no splits; about {sizes} images"))
    return stratify([image.labels for image in images], joined, shares, options.seed)


def _groups(images: Sequence[Done], rule: Optional[str]) -> list[int]:
    """The group of each image after ``--group-by``: the number of the group's first image."""
    if rule is None:
        return list(range(len(images)))
    firsts: dict[tuple[int, str], int] = {}
    names = map(group_key(rule), (image.name for image in images))
    return [
        index if name is None else firsts.setdefault((image.source, name), index)
        for index, (image, name) in enumerate(zip(images, names))
    ]


def _copies(images: Sequence[Done]) -> dict[int, int]:
    """Images that are byte for byte another one's copy: its number to that of the first such image.

    Of files of one size the ends are compared, and only those that are still alike are read whole; a file with several
    names is read once.
    """
    alike = _alike(range(len(images)), lambda index: images[index].size or None)
    firsts: dict[object, str] = {}  # of a file with several names, the first path
    paths = [firsts.setdefault(image.link or image.path, image.path or "") for image in images]
    for ends in (True, False):
        of = lru_cache(None)(partial(digest, ends=ends))
        alike = [same for group in alike for same in _alike(group, lambda index: of(paths[index]) or None)]  # noqa: B023
    return {index: group[0] for group in alike for index in group[1:]}


def _alike(indices: Iterable[int], key: Callable[[int], object]) -> list[list[int]]:
    """Those that share a key (but ``None``) with others, group by group."""
    groups = grouped((key(index), index) for index in indices)
    return [group for value, group in groups.items() if value is not None and len(group) > 1]


def _joined(groups: Sequence[int], copies: Mapping[int, int]) -> list[int]:
    """Groups with those that share a copied image made one."""
    parent: dict[int, int] = {}

    def root(group: int) -> int:
        while parent.get(group, group) != group:
            group = parent[group]
        return group

    for copy, original in copies.items():
        parent[root(groups[copy])] = root(groups[original])
    return [root(group) for group in groups] if parent else list(groups)


def folder_names(paths: Sequence[os.PathLike[str]]) -> list[str]:
    """A name for each source: its folder's, numbered where two are alike."""
    names: list[str] = []
    for path in paths:
        base = os.path.splitext(os.path.basename(os.path.abspath(path)))[0] or "source"
        candidates = (base, *(f"{base}_{number}" for number in range(2, len(paths) + 1)))
        names.append(next(name for name in candidates if name not in names))
    return names


def stratify(
    labels: Sequence[Iterable[str]], groups: Sequence[int], shares: Mapping[str, float], seed: int = 0
) -> list[str]:
    """The split of each image, the same for the same arguments: the mix of classes is kept, rare ones are in every
    part, images of one group stay together; ``shares`` sum to 1, and the seed chooses among equals.

    After Sechidis, Tsoumakas and Vlahavas, *On the Stratification of Multi-Label Data* (ECML PKDD 2011), with two
    changes: the parts' sizes come out as asked, and a class with as few images as there are parts gets one in each.
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
