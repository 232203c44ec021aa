"""CP rules: the panoptic JSON and its PNGs as files, then segments and their pixels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Optional

import numpy as np

from seg2knet.dataset.images import decode_labels
from seg2knet.dataset.label_image import AREA, HEIGHT, ID, WIDTH, X, Y, encode_png, ids_of, rgb_of
from seg2knet.validators.model import Edit, Fix, Hit, Remove, RenameFile, SetValue, Severity, WriteFile, rule
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
            yield found.file.entry_hit(entry, message, "file_name", expected=expected, found="no such file")


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
        yield found.file.entry_hit(entry, message, "file_name", expected=expected, found=there, edits=edits)


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
            yield found.file.entry_hit(entry, message, expected=expected, found=there)


@rule("CP006", "png-not-rgb8", Severity.ERROR, Fix.SAFE, on="pngs")
def png_not_rgb(found: Pngs) -> Iterator[Hit]:
    """The PNG is not RGB with 8 bits a channel.

    A segment's id is R + 256 G + 65536 B. A PNG with a palette, grey levels or 16 bits gives other ids, or none, in one
    reader and the right ones in another. The fix writes the ids as RGB where they are certain: where reading it as RGB,
    as palette indices or as grey levels gives exactly the ids that the JSON has.
    """
    message, segments = "the PNG is not RGB with 8 bits a channel", found.file.segments
    for entry in np.flatnonzero((found.where >= 0) & ~found.plain).tolist():
        path, kind = Path(found.paths[entry] or ""), ", ".join(found.kind(entry))
        ids = _certain_ids(path, set(segments.ids[(segments.entry == entry) & segments.has_id].tolist()))
        make = partial(encode_png, rgb_of(ids)) if ids is not None else None
        edits = [WriteFile(path, make, f"saved {path.name} as RGB")] if make is not None else []
        yield found.file.entry_hit(entry, message, "file_name", expected="PNG, RGB, 8 bits", found=kind, edits=edits)


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
            yield found.file.entry_hit(entry, message, expected=expected, found=f"{share:.0%}")


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
            yield file.entry_hit(entry, message, "image_id", expected=expected, found=f"also /annotations/{first[row]}")


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


_SLACK = 0.5


def _set(found: Pngs, segment: int, key: str, value: Any) -> SetValue:
    plain = value if isinstance(value, list) else int(value)
    return SetValue(found.file.path, f"{found.file.pointer(segment)}/{key}", plain)


def _remove(found: Pngs, segment: int) -> Remove:
    return Remove(found.file.path, found.file.pointer(segment))


def _other_png(found: Pngs) -> set[int]:
    """Entries whose PNG is likely another image's: it has fewer of their segments than it lacks, or most boxes and
    areas differ."""
    segments, count = found.file.segments, found.file.entries.count
    lacking = np.bincount(segments.entry[found.checked & (found.match < 0)], minlength=count)
    having = np.bincount(segments.entry[found.match >= 0], minlength=count)
    rows = np.flatnonzero(found.match >= 0)
    regions = found.all_regions[found.match[rows]]
    differ = (np.abs(segments.boxes[rows] - regions[:, X:]) > _SLACK).any(1)
    differ &= np.abs(segments.areas[rows] - regions[:, AREA]) > _SLACK
    differing = np.bincount(segments.entry[rows[differ]], minlength=count)
    return set(np.flatnonzero((lacking > having) | ((differing > 1) & (2 * differing > having))).tolist())


@rule("CP007", "segment-id-not-in-png", Severity.ERROR, Fix.SAFE, on="pngs")
def segment_not_in_png(found: Pngs) -> Iterator[Hit]:
    """A segment of the JSON has no pixel in the PNG.

    It has no mask: trainers make an empty one, or stop; panopticapi's evaluation stops with a `KeyError`.

    The fix removes the segment from the JSON: nothing visible is lost. Where the PNG has one region without a segment,
    of exactly that area and box, the segment gets that region's id instead. Where other regions without a segment are
    left, removing it is an unsafe fix, because it may be one of them; where the PNG lacks most of the entry's segments
    it is likely another image's, and there is no fix.
    """
    other = _other_png(found)
    for segment in np.flatnonzero(found.checked & ~found.impossible & (found.match < 0)).tolist():
        entry, own = int(found.file.segments.entry[segment]), found.lost.get(segment)
        edits: list[Edit] = [_remove(found, segment)]
        message, shown = "the segment has no pixel in the PNG", "no pixel"
        if own is not None:
            edits = [_set(found, segment, "id", found.all_regions[own, ID])]
            shown = f"no pixel; {found.all_regions[own, ID]} has its area and box"
        elif entry in other:
            message, edits = message + ", like most of this entry's: is it another image's?", []
        fix = Fix.UNSAFE if own is None and found.unclaimed.get(entry) else Fix.SAFE
        yield found.file.segment_hit(segment, message, expected="its id in the PNG", found=shown, edits=edits, fix=fix)


@rule("CP008", "png-id-not-in-json", Severity.ERROR, on="pngs")
def png_id_unknown(found: Pngs) -> Iterator[Hit]:
    """The PNG has an id that no segment of the image has.

    Its class is not known: panopticapi's evaluation stops with a `KeyError`, trainers treat the pixels as void. There
    is no fix. Where a segment without pixels has the region's area and box, CP007 or CP009 report it instead.
    """
    claimed = set(found.lost.values())
    for entry, rows in found.unclaimed.items():
        for row in (row for row in rows if row not in claimed):
            number, *region = found.all_regions[row].tolist()
            shown = "{:,} pixels from ({}, {}) on, {}x{}".format(*region)
            message, expected = f"the PNG has the id {number}, which no segment has", "a segment with that id"
            yield found.file.entry_hit(entry, message, "segments_info", expected=expected, found=shown)


@rule("CP009", "segment-id-zero-or-over-24-bit", Severity.ERROR, Fix.SAFE, on="pngs")
def segment_id_impossible(found: Pngs) -> Iterator[Hit]:
    """A segment's id is 0, negative, or does not fit into 24 bits.

    0 is void in the PNG, and a pixel holds no more than 24 bits: such a segment loses its pixels. The fix gives it the
    id that its pixels have: the lower 24 bits, or that of the only region of its area and box. Where the id is 0 and
    exactly its area is 0 in the PNG, both get a new id. A segment without pixels is removed. Else there is no fix.
    """
    for segment in np.flatnonzero(found.impossible).tolist():
        message, expected = "the id cannot be in a PNG", f"1 to {TOP - 1}"
        shown, edits = str(found.file.segments.ids[segment]), _possible(found, segment)
        yield found.file.segment_hit(segment, message, "id", expected=expected, found=shown, edits=edits)


def _possible(found: Pngs, segment: int) -> list[Edit]:
    segments = found.file.segments
    entry = int(segments.entry[segment])
    if segment in found.lost:
        return [_set(found, segment, "id", found.all_regions[found.lost[segment], ID])]
    if not found.checked[segment] or found.unclaimed.get(entry):
        return []
    table = found.regions[entry]
    assert table is not None
    void = int(table[table[:, ID] == 0, AREA].sum())
    if segments.ids[segment] != 0 or not void:
        return [_remove(found, segment)]
    fresh = int(max(table[:, ID].max(), segments.ids[segments.entry == entry].max())) + 1
    if void != segments.areas[segment] or found.repeated[segment] or fresh >= TOP:
        return []
    path = Path(found.paths[entry] or "")
    what = f"gave the segment with id 0 in {path.name} the id {fresh}"
    return [_set(found, segment, "id", fresh), WriteFile(path, partial(_repainted, path, {0: fresh}), what)]


def _repainted(path: Path, new: dict[int, int]) -> bytes:
    """The PNG with ids exchanged."""
    ids = ids_of(decode_labels(path))
    out = ids.copy()
    for old, fresh in new.items():
        out[ids == old] = fresh
    return encode_png(rgb_of(out))


@rule("CP010", "duplicate-segment-id-in-image", Severity.ERROR, on="pngs")
def segment_id_repeated(found: Pngs) -> Iterator[Hit]:
    """Two segments of an image have the same id.

    The PNG cannot tell them apart: both get all pixels of the id, or one of the two is dropped. Only the source knows
    which of the two is meant.
    """
    segments, message = found.file.segments, "another segment of the image has the same id"
    seen: set[tuple[int, int]] = set()
    for segment in np.flatnonzero(found.repeated).tolist():
        key = (int(segments.entry[segment]), int(segments.ids[segment]))
        if key in seen:
            yield found.file.segment_hit(segment, message, "id", expected="an id of its own", found=str(key[1]))
        seen.add(key)


@rule("CP011", "segment-area-mismatch", Severity.WARNING, Fix.SAFE, on="pngs")
def segment_area(found: Pngs) -> Iterator[Hit]:
    """A segment's area is missing or not the number of its pixels in the PNG.

    Trainers drop segments by area, and evaluation sorts and weighs by it. The fix writes the number of pixels; it is
    unsafe where area and box of most segments differ, because then the PNG may be another image's.
    """
    for segment, region, fix in _measured(found):
        area = found.file.segments.areas[segment]
        if not abs(area - region[AREA]) < _SLACK:
            shown = "none" if np.isnan(area) else f"{area:g}"
            yield _wrong(found, segment, "the area is not the number of pixels", "area", int(region[AREA]), shown, fix)


@rule("CP012", "segment-bbox-missing-or-mismatch", Severity.ERROR, Fix.SAFE, on="pngs")
def segment_bbox(found: Pngs) -> Iterator[Hit]:
    """A segment's box is missing or not that of its pixels in the PNG.

    mmdet reads `bbox` of every segment: without it loading stops with a `KeyError`; a wrong one drops the segment or
    trains the wrong box. The fix writes the box of the pixels: x, y, width, height. It is unsafe where CP011's is.
    """
    for segment, region, fix in _measured(found):
        box = found.file.segments.boxes[segment]
        if not np.abs(box - region[X:]).max() < _SLACK:
            shown = "none, or no box" if np.isnan(box).any() else str([float(f"{side:g}") for side in box])
            yield _wrong(found, segment, "the box is not that of the pixels", "bbox", region[X:].tolist(), shown, fix)


def _wrong(found: Pngs, segment: int, message: str, key: str, right: Any, shown: str, fix: Optional[Fix]) -> Hit:
    edits = [_set(found, segment, key, right)]
    return found.file.segment_hit(segment, message, key, expected=str(right), found=shown, edits=edits, fix=fix)


def _measured(found: Pngs) -> Iterator[tuple[int, np.ndarray, Optional[Fix]]]:
    """Segments that have pixels of their own, each with its region, where area or box do not fit it, and the fix."""
    segments, other = found.file.segments, _other_png(found)
    rows = np.flatnonzero((found.match >= 0) & ~found.repeated)
    regions = found.all_regions[found.match[rows]]
    right = np.abs(segments.areas[rows] - regions[:, AREA]) < _SLACK
    right &= (np.abs(segments.boxes[rows] - regions[:, X:]) < _SLACK).all(axis=1)
    for place in np.flatnonzero(~right).tolist():
        segment = int(rows[place])
        yield segment, regions[place], Fix.UNSAFE if int(segments.entry[segment]) in other else None


@rule("CP013", "stuff-category-repeated-in-image", Severity.WARNING, Fix.SAFE, on="pngs")
def stuff_repeated(found: Pngs) -> Iterator[Hit]:
    """A stuff category has two or more segments in one image.

    Stuff is one region in an image; K-Net has one kernel for it. Of several segments all but one count as missed. The
    fix makes them one: the PNG's pixels get the first one's id, whose area and box become those of all.
    """
    file, at = found.file, "category_id"
    for entry, groups in _repeats(found).items():
        for group in groups:
            category = file.categories[file.category_index(file.segments.category_ids[group[0]])]
            message = f"the stuff {category.name!r} has {len(group)} segments in the image"
            shown = f"ids {', '.join(map(str, file.segments.ids[group[:8]]))}"
            edits = partial(_joined, found, entry, groups) if _joinable(found, group) else ()
            yield file.segment_hit(group[1], message, at, expected="one segment", found=shown, edits=edits)


def _repeats(found: Pngs) -> dict[int, list[list[int]]]:
    """Entry -> groups of its segments that are of one stuff category."""
    segments = found.file.segments
    groups: dict[tuple[int, int], list[int]] = {}
    for row in np.flatnonzero((found.thing == 0) & (segments.crowd == 0)).tolist():
        groups.setdefault((int(segments.entry[row]), int(segments.category_ids[row])), []).append(row)
    repeats: dict[int, list[list[int]]] = {}
    for (entry, _), group in groups.items():
        if len(group) > 1:
            repeats.setdefault(entry, []).append(group)
    return repeats


def _joinable(found: Pngs, group: list[int]) -> bool:
    return bool((found.match[group] >= 0).all() and not found.repeated[group].any())


def _joined(found: Pngs, entry: int, groups: list[list[int]]) -> list[Edit]:
    """One segment of each group of the entry; all groups at once, because they share the PNG."""
    path, ids = Path(found.paths[entry] or ""), found.file.segments.ids
    new: dict[int, int] = {}
    edits: list[Edit] = []
    for keep, *others in (group for group in groups if _joinable(found, group)):
        table = found.all_regions[found.match[[keep, *others]]]
        start, end = table[:, X : Y + 1].min(0), (table[:, X : Y + 1] + table[:, WIDTH : HEIGHT + 1]).max(0)
        new.update((int(ids[other]), int(ids[keep])) for other in others)
        edits.append(_set(found, keep, "area", table[:, AREA].sum()))
        edits.append(_set(found, keep, "bbox", [*start.tolist(), *(end - start).tolist()]))
        edits += [_remove(found, other) for other in others]
    what = f"made one segment of each stuff class in {path.name}"
    return [*edits, WriteFile(path, partial(_repainted, path, new), what)]


@rule("CP017", "segment-iscrowd-missing", Severity.ERROR, Fix.SAFE, on="panoptic")
def segment_iscrowd_missing(file: PanopticFile) -> Iterator[Hit]:
    """Segments have no `iscrowd`.

    panopticapi's evaluation and mmdet's loader stop with `KeyError: 'iscrowd'`. The fix writes 0: one object, or stuff.
    """
    pointers = [f"{file.pointer(row)}/iscrowd" for row in np.flatnonzero(~file.segments.has_crowd).tolist()]
    pointers = [pointer for pointer in pointers if pointer not in file.fault_pointers]
    if pointers:
        edits = [SetValue(file.path, pointer, 0) for pointer in pointers]
        message = f"{len(pointers):,} of {file.segments.count:,} segments have no iscrowd"
        yield Hit(message, file.path, "/annotations", expected="iscrowd 0 or 1", found=pointers[0], edits=edits)
