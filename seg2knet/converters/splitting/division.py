"""Gives every image its split and its final name, once all are read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO, Callable, Optional, Union

import numpy as np

from seg2knet.converters.ledger import Ledger
from seg2knet.converters.options import DEFAULT_SHARES, ConvertOptions
from seg2knet.converters.splitting.catalogue import Catalogue
from seg2knet.converters.splitting.names import Namer
from seg2knet.converters.splitting.splits import group_key, part_sizes
from seg2knet.converters.splitting.stratification import stratify
from seg2knet.converters.work import Brief
from seg2knet.dataset.layout import SPLITS
from seg2knet.dataset.sample import Note

_CHUNK = 1 << 20
_END = 1 << 12


def divide(images: Catalogue, options: ConvertOptions, ledger: Ledger) -> list[str]:
    """The split of each image: the source's own where it has one, else by share."""
    said = images.splits
    own = {split for split in said if split}
    # One split for everything is no division: then --split divides it.
    ignored = options.split is not None and (options.resplit or (len(own) == 1 and None not in said))
    if ignored:
        said = [None] * len(images)
    elif options.split is not None and own and None not in said:
        detail = f"{', '.join(sorted(own))}; --resplit divides anew"
        ledger.note(Note("splits-of-the-source-kept", "--split", detail))
    is_open = np.fromiter((split is None for split in said), bool, len(said))
    result = [split or "train" for split in said]
    if not is_open.any():
        return result
    shares: Optional[Mapping[str, float]] = options.split
    if shares is None:
        # Images without a split beside others that have one: train, as the source's val is what it is.
        shares = {"train": 1.0} if own else DEFAULT_SHARES
    for index, split in zip(np.flatnonzero(is_open), _divided(images, is_open, shares, options, ledger)):
        result[index] = split
    return result


def _divided(
    images: Catalogue, is_open: np.ndarray, shares: Mapping[str, float], options: ConvertOptions, ledger: Ledger
) -> Sequence[str]:
    """The splits of those images that are open."""
    rows = np.flatnonzero(is_open)
    if len(shares) == 1:
        return list(shares) * len(rows)
    originals = _originals(images, is_open)
    groups = _groups(images, options.group_by)
    joined = _joined(groups, originals)
    copied = originals != np.arange(len(images))
    if copied.any():
        distinct = len(np.unique(joined[rows]))
        if options.split is not None and distinct < len(shares) <= len(np.unique(groups[rows])):
            joined = groups  # so few different pictures that copies must be parted, as the user asked for parts
        else:
            count = int(copied.sum()) + len(np.unique(originals[copied]))
            ledger.note(Note("copies-kept-together", "--split", "pictures that are byte for byte the same", count))
    if options.split is None:
        sizes = ", ".join(f"{split} {size}" for split, size in part_sizes(len(rows), shares).items() if size)
        ledger.note(Note("split-by-default", "--split", f"the source has no splits; about {sizes} images"))
    labels = images.labels if len(rows) == len(images) else images.labels.chosen(rows)
    return stratify(labels, joined[rows], shares, options.seed)


def _groups(images: Catalogue, rule: Optional[str]) -> np.ndarray:
    """The group of each image after ``--group-by``, ``(N,)`` int64: the number of the group's first image."""
    result = np.arange(len(images))
    if rule is None:
        return result
    key = group_key(rule)
    firsts: dict[tuple[int, str], int] = {}
    for index, (source, image) in enumerate(images):
        name = key(image.name)
        if name is not None:
            result[index] = firsts.setdefault((source, name), index)
    return result


def _originals(images: Catalogue, asked: np.ndarray) -> np.ndarray:
    """For each image the first one asked for with the same bytes, itself where there is none before it; ``(N,)`` int64.

    Of files of equal sizes the ends are looked at, and only those that are still alike are read whole, one that
    is named twice once.
    """
    result = np.arange(len(images))
    marks = np.where(asked, images.sizes, 0).astype(np.uint64)
    alike = (marks > 0) & _repeated(marks)
    if not alike.any():
        return result
    twice = _repeated(np.array([image.link[1] if image.link else 0 for _, image in images], np.uint64))
    for look in (_ends, _whole):
        known: dict[tuple[int, int], int] = {}
        for index, (_, image) in enumerate(images):
            if not alike[index] or image.path is None:
                continue
            if image.link is None or not twice[index]:
                marks[index] = _digest(image.path, look)
            else:
                marks[index] = known[image.link] = known.get(image.link) or _digest(image.path, look)
        alike &= _repeated(np.where(alike, marks, 0))
    rows = np.flatnonzero(alike)
    _, firsts, inverse = np.unique(marks[rows], return_index=True, return_inverse=True)
    result[rows] = rows[firsts[inverse.reshape(-1)]]
    return result


def _repeated(values: np.ndarray) -> np.ndarray:
    """Where a value occurs more than once."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return counts[inverse.reshape(-1)] > 1


def _digest(path: str, look: Callable[[BinaryIO], Iterator[bytes]]) -> int:
    """64 bits of what is looked at in a file; of its path where it cannot be read."""
    total = hashlib.blake2b(digest_size=8)
    try:
        with open(path, "rb", buffering=0) as file:
            for piece in look(file):
                total.update(piece)
    except OSError:
        total.update(os.fsencode(path))
    return int.from_bytes(total.digest(), "little")


def _ends(file: BinaryIO) -> Iterator[bytes]:
    yield file.read(_END)
    file.seek(max(file.seek(0, os.SEEK_END) - _END, 0))
    yield file.read(_END)


def _whole(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_CHUNK):
        yield piece


def _joined(groups: np.ndarray, originals: np.ndarray) -> np.ndarray:
    """Groups with those that share a copied picture made one."""
    copies = np.flatnonzero(originals != np.arange(len(originals)))
    parent: dict[int, int] = {}

    def root(group: int) -> int:
        while parent.get(group, group) != group:
            group = parent[group]
        return group

    for one, other in zip(groups[originals[copies]].tolist(), groups[copies].tolist()):
        if root(one) != root(other):
            parent[root(other)] = root(one)
    if not parent:
        return groups
    result = groups.copy()
    moved = np.array(sorted(parent), np.int64)
    roots = np.array([root(group) for group in moved.tolist()], np.int64)
    there = np.isin(groups, moved)
    result[there] = roots[np.searchsorted(moved, groups[there])]
    return result


class Plan:
    """For each image its split and name.

    Args:
        images: all of them.
        splits: of each.
        namer: for the names.
        other: index -> the name of an image that is not called as usual, ``None`` where it is left out.
    """

    def __init__(
        self, images: Catalogue, splits: Sequence[str], namer: Namer, other: Mapping[int, Optional[str]]
    ) -> None:
        self.images = images
        self.splits = splits
        self.namer = namer
        self.other = other
        there = set(splits)
        self.used = [split for split in SPLITS if split in there]
        self.parts = len(images.sources)

    def __iter__(self) -> Iterator[tuple[Brief, str, Optional[str]]]:
        """Each image, its split and its name, ``None`` where it is left out; in the scan's order."""
        for index, (split, (_, image)) in enumerate(zip(self.splits, self.images)):
            yield image, split, self.other[index] if index in self.other else self.namer.usual(image.name)


def plan(images: Catalogue, folders: Sequence[str], options: ConvertOptions, ledger: Ledger) -> Plan:
    """Decide splits and names.

    Args:
        folders: the name of each source, for pictures of the same name in several.
    """
    splits = divide(images, options, ledger)
    namer = Namer(images.png_names)
    clash = images.may_clash(splits)
    taken: dict[tuple[str, str], Union[str, None]] = {}
    other: dict[int, Optional[str]] = {}
    for index, (split, (source, image)) in enumerate(zip(splits, images) if clash or images.png_names else ()):
        name = usual = namer.usual(image.name)
        if clash:
            if image.path is not None and taken.get((split, image.name)) == image.path:
                other[index] = None
                continue
            taken.setdefault((split, image.name), image.path)
            name = namer.name(split, image.name, folders[source] if len(folders) > 1 else None)
        if name != usual:
            other[index] = name
        if name != image.name:
            ledger.note(Note("picture-renamed", image.name, f"to {name}"))
    return Plan(images, splits, namer, other)


def folder_names(paths: Sequence[os.PathLike[str]]) -> list[str]:
    """A name for each source: its folder's, numbered where two are alike."""
    names: list[str] = []
    for path in paths:
        base = os.path.splitext(os.path.basename(os.path.abspath(path)))[0] or "source"
        name, number = base, 2
        while name in names:
            name, number = f"{base}_{number}", number + 1
        names.append(name)
    return names
