"""Gives every image its split and its final name, once all are read."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Optional

from seg2knet.converters.ledger import Ledger
from seg2knet.converters.names import Namer
from seg2knet.converters.options import DEFAULT_SHARES, ConvertOptions
from seg2knet.converters.splits import group_key, part_sizes, stratify
from seg2knet.converters.work import Brief
from seg2knet.dataset.layout import SPLITS
from seg2knet.dataset.sample import Note


def divide(images: Sequence[Brief], sources: Sequence[int], options: ConvertOptions, ledger: Ledger) -> list[str]:
    """The split of each image: the source's own where it has one, else by share.

    Args:
        images: all that are to be written, in the scan's order.
        sources: the number of each one's source.
    """
    said = [image.split for image in images]
    own = {split for split in said if split}
    # One split for everything is no division: then --split divides it.
    ignored = options.split is not None and (options.resplit or (len(own) == 1 and None not in said))
    if ignored:
        said = [None] * len(images)
    elif options.split is not None and own and None not in said:
        detail = f"{', '.join(sorted(own))}; --resplit divides anew"
        ledger.note(Note("splits-of-the-source-kept", "--split", detail))
    open_ones = [index for index, split in enumerate(said) if split is None]
    if not open_ones:
        return [split or "train" for split in said]
    shares: Optional[Mapping[str, float]] = options.split
    if shares is None:
        # Images without a split beside others that have one: train, as the source's val is what it is.
        shares = {"train": 1.0} if own else DEFAULT_SHARES
    chosen = _divided([images[i] for i in open_ones], [sources[i] for i in open_ones], shares, options, ledger)
    result = [split or "" for split in said]
    for index, split in zip(open_ones, chosen):
        result[index] = split
    return result


def _divided(
    images: Sequence[Brief],
    sources: Sequence[int],
    shares: Mapping[str, float],
    options: ConvertOptions,
    ledger: Ledger,
) -> list[str]:
    if len(shares) == 1:
        return list(shares) * len(images)
    labels = [image.labels for image in images]
    copies = _copies(images)
    groups: list[object] = list(range(len(images)))
    if options.group_by is not None:
        key = group_key(options.group_by)
        found = [key(image.name) for image in images]
        groups = [index if name is None else (source, name) for index, (source, name) in enumerate(zip(sources, found))]
    joined = _joined(groups, copies)
    distinct = len(set(joined))
    if copies and options.split is not None and distinct < len(shares) <= len(set(groups)):
        joined = groups  # so few different pictures that copies must be parted, as the user asked for parts
    elif copies:
        count = sum(1 for number in copies.values() if number >= 0)
        ledger.note(Note("copies-kept-together", "--split", "pictures that are byte for byte the same", count))
    if options.split is None:
        sizes = ", ".join(f"{split} {size}" for split, size in part_sizes(len(images), shares).items() if size)
        ledger.note(Note("split-by-default", "--split", f"the source has no splits; about {sizes} images"))
    return stratify(labels, joined, shares, options.seed)


def _copies(images: Sequence[Brief]) -> dict[int, int]:
    """Image to the first image with the same bytes, for those that have a double. Only equal sizes are looked into."""
    sizes = Counter(image.size for image in images if image.size)
    first: dict[object, int] = {}
    known: dict[tuple[int, int], object] = {}
    result: dict[int, int] = {}
    for index, image in enumerate(images):
        if sizes[image.size] < 2 or image.path is None:
            continue
        place = (image.device, image.inode)
        if place not in known:
            known[place] = _digest(image.path)
        original = first.setdefault(known[place], index)
        if original != index:
            result[index] = original
            result[original] = original
    return result


def _digest(path: str) -> object:
    try:
        with open(path, "rb") as file:
            return hashlib.blake2b(file.read(), digest_size=16).digest()
    except OSError:
        return path


def _joined(groups: Sequence[object], copies: dict[int, int]) -> list[object]:
    """Groups with those that share a copied picture made one."""
    parent: dict[object, object] = {}

    def root(group: object) -> object:
        while parent.get(group, group) != group:
            group = parent[group]
        return group

    for index, original in copies.items():
        one, other = root(groups[original]), root(groups[index])
        if one != other:
            parent[other] = one
    return [root(group) for group in groups]


class Plan:
    """For each image its split and name, or ``None`` where it is left out; in the scan's order."""

    def __init__(self, splits: Sequence[str], names: Sequence[Optional[str]]) -> None:
        self.splits = splits
        self.names = names
        self.used = [split for split in SPLITS if split in set(splits)]


def plan(
    images: Sequence[Brief],
    sources: Sequence[int],
    folders: Sequence[str],
    png_names: bool,
    options: ConvertOptions,
    ledger: Ledger,
) -> Plan:
    """Decide splits and names.

    Args:
        folders: the name of each source, for pictures of the same name in several.
        png_names: see ``Writer.png_names``.
    """
    splits = divide(images, sources, options, ledger)
    namer = Namer(png_names)
    taken: dict[str, dict[str, Brief]] = {split: {} for split in set(splits)}
    names: list[Optional[str]] = []
    for image, split, source in zip(images, splits, sources):
        twin = taken[split].get(image.name)
        if twin is not None and twin.path is not None and twin.path == image.path:
            names.append(None)
            continue
        taken[split].setdefault(image.name, image)
        name = namer.name(split, image.name, folders[source] if len(folders) > 1 else None)
        if name != image.name:
            ledger.note(Note("picture-renamed", image.name, f"to {name}"))
        names.append(name)
    return Plan(splits, names)


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
