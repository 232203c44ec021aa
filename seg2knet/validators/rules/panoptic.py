"""CP001 to CP006, CP014 to CP016, CP018, CP019: the panoptic JSON and its PNGs as files."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Optional

import numpy as np

from seg2knet.dataset.images import decode_labels
from seg2knet.dataset.label_image import AREA, ID, encode_png, ids_of, rgb_of
from seg2knet.validators.model import Edit, Fix, Hit, RenameFile, SetValue, Severity, WriteFile, rule
from seg2knet.validators.subjects.album import album
from seg2knet.validators.subjects.data import Part
from seg2knet.validators.subjects.document import first_few
from seg2knet.validators.subjects.files import CocoFile, JsonFile, PanopticFile
from seg2knet.validators.subjects.panoptic import TOP, Pngs, pngs

VOID_SHARE = 0.5


@rule("CP001", "isthing-missing-or-all-equal", Severity.ERROR, on="part")
def isthing_missing(part: Part) -> Iterator[Hit]:
    """A category does not say whether it is a thing or stuff, or the instance file contradicts it.

    `isthing` (1 or 0) decides what is counted one by one and what is one region in an image. K-Net gives things learned
    kernels and each stuff class one kernel. A panoptic set without stuff is valid; stuff that has instances is not.
    """
    file = part.panoptic
    if file is None:
        return
    for category in (each for each in file.categories if each.usable):
        if category.isthing is None or int(category.isthing) not in (0, 1):
            found = "nothing" if category.isthing is None else repr(category.isthing)
            message = f"the category {category.name!r} does not say whether it is a thing or stuff"
            yield file.category_hit(category, message, "isthing", expected="isthing 1 or 0", found=found)
    instances = {each.name for each in part.instances.categories if each.name} if part.instances is not None else set()
    both = [repr(each.name) for each in file.categories if each.isthing == 0 and each.name in instances]
    if both:
        message = f"stuff in the panoptic file, and a class of the instance file: {first_few(both)}"
        yield Hit(message, file.path, "/categories", expected="isthing 1 for classes that have instances", found="0")


@rule("CP002", "things-not-before-stuff", Severity.ERROR, Fix.SAFE, on="panoptic")
def things_not_first(file: PanopticFile) -> Iterator[Hit]:
    """A stuff category stands before a thing in `categories`.

    mmdet and K-Net number classes in the file's order and take the first ones as the things: with stuff among them,
    classes are silently exchanged. The fix puts things before stuff, each in the order they had. Ids do not change.
    """
    known = [category for category in file.categories if category.usable and category.isthing is not None]
    flags = [int(category.isthing or 0) for category in known]
    if len(known) < len(file.categories) or set(flags) != {0, 1} or flags == sorted(flags, reverse=True):
        return
    message = f"the stuff category {known[flags.index(0)].name!r} stands before things"
    found = "".join("S" if not flag else "T" for flag in flags[:40]) + " (T thing, S stuff)"
    whole = sorted((file.raw_category(each.index) for each in known), key=lambda each: not each.get("isthing"))
    edits = [SetValue(file.path, "/categories", whole)]
    yield Hit(message, file.path, "/categories", expected="all things, then all stuff", found=found, edits=edits)


@rule("CP003", "png-missing", Severity.ERROR, on="pngs")
def png_missing(found: Pngs) -> Iterator[Hit]:
    """An image of the panoptic JSON has no PNG.

    The PNG says which pixel belongs to which segment; without it training stops at this image. Convert again, or remove
    the image.
    """
    entries, part = found.file.entries, found.part
    if found.folder is None:
        if part.dataset.layout == "coco" and entries.count:
            folder = part.dataset.show(part.pngs_dir) if part.pngs_dir is not None else "panoptic_*"
            message, where = f"the folder of its PNGs is missing, with all {entries.count:,} PNGs", found.file.path
            yield Hit(message, where, "/annotations", expected=f"a folder {folder}", found="no such folder")
        return
    for entry, path in enumerate(found.paths):
        if path is None and entries.usable[entry]:
            name, message = entries.names[entry] or found.derived(entry), "there is no such PNG"
            expected = f"a file {name!r} in {part.dataset.show(found.folder)}"
            yield found.file.hit(entry, message, "file_name", expected=expected, found="no such file")


@rule("CP004", "png-name-not-derivable", Severity.ERROR, Fix.SAFE, on="pngs")
def png_name(found: Pngs) -> Iterator[Hit]:
    """The PNG's name is not the image's with `.jpg` replaced by `.png`.

    mmdet does not read the PNG's name from the JSON: it takes the image's and replaces `.jpg` by `.png`. Images called
    `.jpeg` or `.JPG`, and PNGs of another name, are not found, and training stops. Example: image `a.jpeg` with PNG
    `a.png`; image `a.jpg` with PNG `a_panoptic.png`.

    The fix renames the PNG, in the folder and in the JSON; an image called `.jpeg` or `.JPG` is renamed to `.jpg`, in
    the folder and in every annotation file of the split. There is none where two files would get the same name.
    """
    stems = Counter(str(Path(each).with_suffix("")) for each in found.file.images.names if each)
    message = "mmdet does not find this PNG: it takes the image's name with .png for .jpg"
    for entry, path in enumerate(found.paths if found.folder is not None else ()):
        derived, said = found.derived(entry), found.file.entries.names[entry]
        if path is None or derived is None or (said == derived and derived.endswith(".png")):
            continue
        wanted = derived if derived.endswith(".png") else str(Path(derived).with_suffix(".png"))
        free = stems[str(Path(wanted).with_suffix(""))] == 1
        expected = f"the PNG {wanted!r} of an image {str(Path(wanted).with_suffix('.jpg'))!r}"
        there = f"the PNG {said!r} of the image {found.file.image_name(int(found.file.image_rows[entry]))!r}"
        edits = _derivable(found, entry, Path(path), wanted) if free else []
        yield found.file.hit(entry, message, "file_name", expected=expected, found=there, edits=edits)


def _derivable(found: Pngs, entry: int, path: Path, wanted: str) -> list[Edit]:
    """What makes the PNG's name follow from the image's; nothing where that would take another file's name."""
    place = found.place(wanted)
    if place is None or (place != path and found.exists(place)):
        return []
    edits: list[Edit] = [SetValue(found.file.path, f"/annotations/{entry}/file_name", wanted)]
    if place != path:
        edits.append(RenameFile(path, place))
    image = found.file.image_name(int(found.file.image_rows[entry])) or ""
    if image.endswith((".jpg", ".png")):
        return edits
    if Path(image).suffix.lower() not in (".jpg", ".jpeg"):
        return []
    book = album(found.part)
    meaning, name = book.meaning(image), str(Path(image).with_suffix(".jpg"))
    if meaning.path is None or name in book.listing or meaning.how != "named" or meaning.odd:
        return []
    edits.append(RenameFile(Path(meaning.path), Path(meaning.path).with_suffix(".jpg")))
    for file in book.files:
        rows = [row for row, each in enumerate(file.images.names) if each == image]
        edits += [SetValue(file.path, f"/images/{row}/file_name", name) for row in rows]
    return edits


@rule("CP005", "png-size-mismatch", Severity.ERROR, on="pngs")
def png_size(found: Pngs) -> Iterator[Hit]:
    """The PNG has another size than its image.

    Segments lie in the wrong place, or training stops. Usually only the images or only the PNGs were scaled.
    """
    for entry in np.flatnonzero(found.where >= 0).tolist():
        sizes, size = found.image_sizes[entry], found.size(entry)
        if sizes and size not in sizes:
            message, there = "the PNG has another size than its image", "{}x{}".format(*size)
            expected = " or ".join(map("{0[0]}x{0[1]}".format, sorted(sizes)))
            yield found.file.hit(entry, message, expected=expected, found=there)


@rule("CP006", "png-not-rgb8", Severity.ERROR, Fix.SAFE, on="pngs")
def png_not_rgb(found: Pngs) -> Iterator[Hit]:
    """The PNG is not RGB with 8 bits a channel.

    A segment's id is R + 256 G + 65536 B. A PNG with a palette, grey levels or 16 bits gives other ids, or none, in one
    reader and the right ones in another. The fix writes the ids as RGB where they are certain: where reading it as RGB,
    as palette indices or as grey levels gives exactly the ids that the JSON has.
    """
    message, segments = "the PNG is not RGB with 8 bits a channel", found.file.segments
    for entry in np.flatnonzero((found.where >= 0) & ~found.plain).tolist():
        path, kind = Path(found.paths[entry] or ""), ", ".join(found.gallery.kind(found.where[entry]))
        ids = _certain_ids(path, set(segments.ids[(segments.entry == entry) & segments.has_id].tolist()))
        make = partial(encode_png, rgb_of(ids)) if ids is not None else None
        edits = [WriteFile(path, make, f"saved {path.name} as RGB")] if make is not None else []
        yield found.file.hit(entry, message, "file_name", expected="PNG, RGB, 8 bits", found=kind, edits=edits)


def _certain_ids(path: Path, wanted: set[int]) -> Optional[np.ndarray]:
    """The PNG's ids by the reading that gives exactly the JSON's ids, apart from zero."""
    from PIL import Image

    with Image.open(path) as image:
        readings = [ids_of(labels) for labels in (np.asarray(image.convert("RGB")), decode_labels(path))]
    right = (ids for ids in readings if set(np.unique(ids).tolist()) - {0} == wanted - {0})
    return next((ids for ids in right if ids.max(initial=0) < TOP), None)


@rule("CP014", "void-fraction-high", Severity.INFO, on="pngs")
def void_fraction(found: Pngs) -> Iterator[Hit]:
    """More than half of an image belongs to no segment.

    Void is neither trained on nor scored. Intended, or the stuff was left out, or segments were lost.
    """
    rows, segments = found.all_regions, found.file.segments
    declared = set(segments.entry[segments.ids == 0].tolist())
    message, expected = "most of the image belongs to no segment", f"at most {VOID_SHARE:.0%} of its pixels 0 (void)"
    for row in np.flatnonzero(rows[:, ID] == 0).tolist():
        entry = int(found.region_entry[row])
        share = rows[row, AREA] / math.prod(found.size(entry))
        if share > VOID_SHARE and entry not in declared:
            yield found.file.hit(entry, message, expected=expected, found=f"{share:.0%}")


@rule("CP015", "image-without-thing", Severity.WARNING, on="pngs")
def image_without_thing(found: Pngs) -> Iterator[Hit]:
    """A training image has no thing, or only crowds.

    mmdet drops such images from panoptic training (`filter_empty_gt`), with their stuff. seg2knet keeps them.
    """
    file, segments = found.file, found.file.segments
    if found.part.split not in ("train", "") or not any(category.isthing for category in file.categories):
        return
    with_thing = set(file.image_rows[segments.entry[(found.thing == 1) & (segments.crowd == 0)]].tolist())
    for row in sorted(set(file.image_rows[file.image_rows >= 0].tolist()) - with_thing):
        message = "the image has no thing: mmdet drops it from training"
        yield file.image_hit(row, message, expected="at least one thing", found="none")


@rule("CP016", "instance-panoptic-json-disagree", Severity.WARNING, on="part")
def files_disagree(part: Part) -> Iterator[Hit]:
    """The split's instance file and panoptic file do not match.

    Both describe the same images: one file name has one id and size in both, the things of the panoptic file are the
    categories of the instance file, and an image cannot have more things than instances. Where they differ, one was
    made from older data, and instance and panoptic training learn different things. There is no fix: convert again.
    """
    instances, panoptic, found = part.instances, part.panoptic, pngs(part)
    if instances is None or panoptic is None or found is None or instances.faults or panoptic.faults:
        return
    (ours, counts), (theirs, other_counts) = _images(panoptic, found), _images(instances)
    sizes = not album(part).folder  # with the images at hand IM003 and IM004 say whose size is wrong
    message, same = "it has more things than the instance file has instances", "the same images in both"
    for name, (row, *facts) in ours.items():
        if name not in theirs:
            yield panoptic.image_hit(row, "the instance file has no such image", expected=same, found="none")
            continue
        other_row, *other = theirs[name]
        if other[0] != facts[0] or (sizes and other != facts):
            expected, there = (f"id {number}, {width}x{height}" for number, width, height in (other, facts))
            yield panoptic.image_hit(row, "the instance file differs", expected=expected, found=there)
        most = other_counts[other_row]
        if counts[row] > most:  # fewer is normal, because hidden objects have no segment
            yield panoptic.image_hit(row, message, expected=f"at most {most}", found=str(counts[row]))
    for row in (facts[0] for name, facts in theirs.items() if name not in ours):
        yield instances.image_hit(row, "the panoptic file has no such image", expected=same, found="none")
    yield from _categories_differ(instances, panoptic)


def _images(file: JsonFile, found: Optional[Pngs] = None) -> tuple[dict[str, list[int]], np.ndarray]:
    """Name -> row, id, width, height of each image; and how many instances, or things, each row has."""
    images, rows = file.images, file.image_rows
    if found is not None:
        segments = found.file.segments
        rows = rows[segments.entry[(found.thing == 1) & (segments.crowd == 0)]]
    columns = np.stack([np.arange(images.count), images.ids, images.widths, images.heights], 1).tolist()
    table = {name: facts for name, facts in zip(images.names, columns) if name}
    return table, np.bincount(rows[rows >= 0], minlength=images.count)


def _categories_differ(instances: CocoFile, panoptic: PanopticFile) -> Iterator[Hit]:
    things = {each.id: each.name for each in panoptic.categories if each.isthing}
    theirs = {each.id: each.name for each in instances.categories}
    if things and things != theirs:
        differ = [key for key in {**things, **theirs} if things.get(key) != theirs.get(key)]
        shown = first_few([f"{key}: {things.get(key)!r} and {theirs.get(key)!r}" for key in differ])
        message = "the things of the panoptic file are not the categories of the instance file"
        yield Hit(message, panoptic.path, "/categories", expected="the same ids and names", found=shown)


@rule("CP018", "image-with-two-entries", Severity.ERROR, on="panoptic")
def two_entries(file: PanopticFile) -> Iterator[Hit]:
    """Two entries of `annotations` belong to one image.

    Readers keep the last one: the segments of the other are lost, or looked for in the wrong PNG. Which of the two is
    right cannot be told.
    """
    message, expected = "an earlier entry belongs to the same image", "one entry for each image"
    first: dict[int, int] = {}
    for entry, row in enumerate(file.image_rows.tolist()):
        if row >= 0 and first.setdefault(row, entry) != entry:
            yield file.hit(entry, message, "image_id", expected=expected, found=f"also /annotations/{first[row]}")


@rule("CP019", "image-without-entry", Severity.ERROR, on="panoptic")
def no_entry(file: PanopticFile) -> Iterator[Hit]:
    """An image of the panoptic JSON has no entry in `annotations`.

    It has no PNG and no segments: panopticapi's evaluation stops with an exception, trainers skip the image. Convert
    again, or remove the image.
    """
    if not file.has["annotations"] or (file.image_rows < 0).any():
        return  # CI009 says so
    rows = set(file.image_rows.tolist())
    for row in np.flatnonzero(file.images.usable & file.images.has_id).tolist():
        if row not in rows and file.images.index.row(int(file.images.ids[row])) == row:
            message = "the image has no entry in annotations"
            yield file.image_hit(row, message, expected="one entry for each image", found="none")
