"""IM014, IM015 and SP006: images that show nothing, or what another image shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from seg2knet.validators.model import Hit, Severity, rule
from seg2knet.validators.rules.images import MIN_SIDE, image_hit
from seg2knet.validators.rules.splits import ORDER, place_of
from seg2knet.validators.subjects.album import album
from seg2knet.validators.subjects.data import DataSet, Part
from seg2knet.validators.subjects.looks import LookAlike, Looks, look_alikes, looks_of
from seg2knet.validators.subjects.pictures import same_content

MOST_IMAGES = 20_000
"""Images beyond which they are not decoded to be looked at. The first look at a JPEG of 640 x 480 takes 1.4 ms, its
header 0.02 ms; comparing 20,000 images takes 6 s in each run, and four times that for twice as many."""
BLANK_RANGE = 2


class Seen(NamedTuple):
    """All images of a data set that are not broken: their splits' parts, files and looks, and which look alike."""

    parts: list[Part]
    paths: list[str]
    looks: Looks
    pairs: list[LookAlike]


def seen(dataset: DataSet) -> Seen:
    """The data set's images, looked at once; none where there are too many."""
    if "_seen" in vars(dataset):
        return vars(dataset)["_seen"]
    owners: dict[str, Part] = {}
    for part in sorted(dataset.parts, key=lambda part: ORDER.get(part.split, len(ORDER))):
        book = album(part)
        for path in np.array(book.paths, object)[~book.gallery.broken()] if book.paths else ():
            owners.setdefault(path, part)
    if len(owners) > MOST_IMAGES:
        owners = {}
    parts, paths = list(owners.values()), list(owners)
    looks = looks_of(paths, dataset.jobs)
    pairs = look_alikes(looks, np.array([ORDER.get(part.split, len(ORDER)) for part in parts], np.int64))
    members = sorted({place for one, other, _ in pairs for place in (one, other)})
    same: dict[int, int] = {}
    for number, group in enumerate(same_content([paths[place] for place in members], dataset.jobs)):
        same.update((members[place], number) for place in group)
    pairs = [pair for pair in pairs if pair.one not in same or same[pair.one] != same.get(pair.other)]
    found = vars(dataset)["_seen"] = Seen(parts, paths, looks, pairs)
    return found


@rule("IM014", "image-blank", Severity.WARNING, on="dataset")
def blank(dataset: DataSet) -> Iterator[Hit]:
    """An image is all black, all white or of one colour.

    A camera's cap was on, a file was written before it was filled, or 16 bits were squeezed into 8. Not looked for in
    more than 20,000 images.
    """
    all_images = seen(dataset)
    for place in np.flatnonzero(all_images.looks.ranges <= BLANK_RANGE).tolist():
        path, book = all_images.paths[place], album(all_images.parts[place])
        index = book.paths.index(path)
        deep = book.gallery.kind(index)[1].startswith(("I", "F"))
        small = min(int(side[index]) for side in book.gallery.stored()) < MIN_SIDE
        if all_images.looks.ranges[place] < 0 or deep or small:
            continue  # not decoded, of more levels than were looked at, or IM011
        level = int(all_images.looks.thumbs[place].mean())
        shade = "black" if level < 8 else "white" if level > 247 else f"grey level {level}"
        message, expected = "the image is of one colour", "an image that shows something"
        yield image_hit(book, path, message, expected=expected, found=f"{shade} everywhere")


def _told(dataset: DataSet, pairs: list[LookAlike], all_images: Seen) -> str:
    shown = []
    for one, other, flipped in pairs[:3]:
        names = [dataset.show(all_images.paths[place]) for place in (one, other)]
        shown.append(f"{names[0]} and {names[1]}" + (" (flipped)" if flipped else ""))
    return ", ".join(shown) + (" ..." if len(pairs) > 3 else "") + "; convert --group-by keeps such images in one split"


def _once_each(pairs: list[LookAlike]) -> list[LookAlike]:
    return list({pair.one: pair for pair in reversed(pairs)}.values())[::-1]


@rule("IM015", "near-duplicate-images", Severity.INFO, on="dataset")
def near_duplicates(dataset: DataSet) -> Iterator[Hit]:
    """Images of a split look nearly the same as others of it.

    Frames of a video, or copies that were resized, flipped or coded again. They add little, and where they come into
    another split by the next division they leak: `seg2knet convert ... --group-by` keeps them together. Images are
    compared as small grey thumbnails; copies byte for byte are IM012. Not looked for in more than 20,000 images.
    """
    all_images = seen(dataset)
    for part in dataset.parts:
        own = [pair for pair in all_images.pairs if all_images.parts[pair.one] is all_images.parts[pair.other] is part]
        own = _once_each(own)
        if own:
            total = sum(each is part for each in all_images.parts)
            message = f"{len(own):,} of {total:,} images look like another: {_told(dataset, own, all_images)}"
            yield Hit(message, place_of(part), "", expected="images that differ", found=f"{len(own):,} look-alikes")


@rule("SP006", "look-alike-in-two-splits", Severity.WARNING, on="dataset")
def look_alikes_in_two_splits(dataset: DataSet) -> Iterator[Hit]:
    """Images of one split look nearly the same as images of another.

    The model is evaluated on what it has memorised, as in SP001, though the files differ: they were resized, flipped,
    coded again, or are frames of one video. Split again with `seg2knet convert ... --group-by`, which keeps images of
    one folder or name in one split. Images are compared as small grey thumbnails. Not looked for in more than 20,000
    images.
    """
    all_images = seen(dataset)
    groups: dict[tuple[str, str], list[LookAlike]] = {}
    for pair in all_images.pairs:
        splits = all_images.parts[pair.one].split, all_images.parts[pair.other].split
        if splits[0] != splits[1] and set(splits) <= set(ORDER):
            groups.setdefault(splits, []).append(pair)
    for (one, other), pairs in groups.items():
        leaks = _once_each(pairs)
        message = f"{len(leaks):,} images of {one} look like images of {other}: {_told(dataset, leaks, all_images)}"
        where = place_of(all_images.parts[leaks[0].one])
        yield Hit(message, where, expected="images that differ between splits", found=f"{len(leaks):,} look-alikes")
