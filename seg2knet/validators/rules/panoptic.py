"""CP rules about the panoptic JSON and the names of its PNGs: CP001 to CP006 and CP014 to CP016."""

from __future__ import annotations

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
from seg2knet.validators.subjects.document import RawDict
from seg2knet.validators.subjects.files import CocoFile, JsonFile, PanopticFile
from seg2knet.validators.subjects.panoptic import Pngs, pngs
from seg2knet.validators.subjects.records import loads

VOID_SHARE = 0.5


@rule("CP001", "isthing-missing-or-all-equal", Severity.ERROR, on="panoptic")
def isthing_missing(file: PanopticFile) -> Iterator[Hit]:
    """A category does not say whether it is a thing or stuff, or all say the same.

    `isthing` (1 or 0) decides what is counted one by one and what is one region an image. K-Net gives things learned
    kernels and stuff one kernel a class: without either the model cannot be built, or learns the wrong task. Where all
    classes are things, train instance segmentation; where all are stuff, semantic. There is no fix.
    """
    known = [category for category in file.categories if category.usable]
    lacking = [each for each in known if each.isthing is None or int(each.isthing) not in (0, 1)]
    for category in lacking:
        found = "nothing" if category.isthing is None else repr(category.isthing)
        message = f"the category {category.name!r} does not say whether it is a thing or stuff"
        yield file.category_hit(category, message, "isthing", expected="isthing 1 or 0", found=found)
    if known and not lacking and len({int(each.isthing or 0) for each in known}) == 1:
        kind = "a thing" if known[0].isthing else "stuff"
        yield Hit(
            f"every category is {kind}",
            file.path,
            "/categories",
            expected="things (isthing 1) and stuff (isthing 0)",
            found=f"isthing {int(known[0].isthing or 0)} in all {len(known)}",
        )


@rule("CP002", "things-not-before-stuff", Severity.ERROR, Fix.SAFE, on="panoptic")
def things_not_first(file: PanopticFile) -> Iterator[Hit]:
    """A stuff category stands before a thing in `categories`.

    mmdet and K-Net number classes in the file's order and take the first as the things: with stuff among them, classes
    are exchanged without a word.

    The fix puts things before stuff, each in the order they had. Ids stay as they are.
    """
    known = [category for category in file.categories if category.usable and category.isthing is not None]
    flags = [int(category.isthing or 0) for category in known]
    if len(known) < len(file.categories) or set(flags) != {0, 1} or flags == sorted(flags, reverse=True):
        return
    early = known[flags.index(0)]
    yield Hit(
        f"the stuff category {early.name!r} stands before things",
        file.path,
        "/categories",
        expected="all things, then all stuff",
        found="".join("S" if not flag else "T" for flag in flags[:40]) + " (T thing, S stuff)",
        edits=partial(_things_first, file),
    )


def _things_first(file: PanopticFile) -> list[Edit]:
    categories = loads(file.document.decode(RawDict)["categories"])
    return [SetValue(file.path, "/categories", sorted(categories, key=lambda category: not category.get("isthing")))]


@rule("CP003", "png-missing", Severity.ERROR, on="part")
def png_missing(part: Part) -> Iterator[Hit]:
    """An image of the panoptic JSON has no PNG.

    The PNG says which pixel belongs to which segment; without it training stops when it comes to the image. There is no
    fix: convert again, or take the image out.
    """
    found = pngs(part)
    if found is None or not found.file.entries.count:
        return
    if found.folder is None:
        if part.dataset.layout == "coco":
            folder = part.dataset.show(part.pngs_dir) if part.pngs_dir is not None else "panoptic_*"
            yield Hit(
                f"the folder of its PNGs is not there, nor is any of its {found.file.entries.count:,} PNGs",
                found.file.path,
                "/annotations",
                expected=f"a folder {folder}",
                found="no such folder",
            )
        return
    for entry, path in enumerate(found.paths):
        if path is None and found.file.entries.usable[entry]:
            name = found.file.entries.names[entry] or found.derived(entry)
            yield found.file.entry_hit(
                entry,
                "there is no such PNG",
                "file_name",
                expected=f"a file {name!r} in {part.dataset.show(found.folder)}",
                found="no such file",
            )


@rule("CP004", "png-name-not-derivable", Severity.ERROR, Fix.SAFE, on="part")
def png_name(part: Part) -> Iterator[Hit]:
    """The PNG's name is not the image's with `.jpg` replaced by `.png`.

    mmdet does not read the JSON's name of the PNG: it takes the image's and replaces `.jpg` by `.png`. Images called
    `.jpeg` or `.JPG`, and PNGs of another name, are not found, and training stops.

    Example: image `a.jpeg` with PNG `a.png`; image `a.jpg` with PNG `a_panoptic.png`.

    The fix renames the PNG, in the folder and in the JSON; an image called `.jpeg` or `.JPG` is renamed to `.jpg`, in
    the folder and in every annotation file of the split.
    """
    found = pngs(part)
    if found is None or found.folder is None:
        return
    for entry, path in enumerate(found.paths):
        derived, said = found.derived(entry), found.file.entries.names[entry]
        if path is None or derived is None or (said == derived and derived.endswith(".png")):
            continue
        wanted = derived if derived.endswith(".png") else str(Path(derived).with_suffix(".png"))
        yield found.file.entry_hit(
            entry,
            "mmdet does not find this PNG: it takes the image's name with .png for .jpg",
            "file_name",
            expected=f"the PNG {wanted!r} of an image {str(Path(wanted).with_suffix('.jpg'))!r}",
            found=f"the PNG {said!r} of the image {found.file.image_name(int(found.file.image_rows[entry]))!r}",
            edits=_derivable(part, found, entry, Path(path), wanted),
        )


def _derivable(part: Part, found: Pngs, entry: int, path: Path, wanted: str) -> list[Edit]:
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
    book = album(part)
    meaning, name = book.meaning(image), str(Path(image).with_suffix(".jpg"))
    if meaning.path is None or name in book.listing or meaning.how != "named" or meaning.odd:
        return []
    edits.append(RenameFile(Path(meaning.path), Path(meaning.path).with_suffix(".jpg")))
    for file in book.files:
        rows = [row for row, each in enumerate(file.images.names) if each == image]
        edits += [SetValue(file.path, f"/images/{row}/file_name", name) for row in rows]
    return edits


@rule("CP005", "png-size-mismatch", Severity.ERROR, on="part")
def png_size(part: Part) -> Iterator[Hit]:
    """The PNG has another size than its picture.

    Segments lie in the wrong place, or training stops. Usually pictures or PNGs were scaled alone. There is no fix.
    """
    found = pngs(part)
    if found is None:
        return
    for entry in np.flatnonzero(found.where >= 0).tolist():
        sizes = found.image_sizes[entry]
        size = found.size(entry)
        if sizes and size not in sizes:
            yield found.file.entry_hit(
                entry,
                "the PNG has another size than its picture",
                expected=" or ".join(f"{width}x{height}" for width, height in sorted(sizes)),
                found=f"{size[0]}x{size[1]}",
            )


@rule("CP006", "png-not-rgb8", Severity.ERROR, Fix.SAFE, on="part")
def png_not_rgb(part: Part) -> Iterator[Hit]:
    """The PNG is not RGB with 8 bits a channel.

    A segment's id is R + 256 G + 65536 B. A PNG with a palette, grey levels or 16 bits gives other ids, or none, in one
    reader and the right ones in another.

    The fix writes the ids as RGB where they can be told for certain: where reading it as RGB, as palette indices or as
    grey levels gives just the ids that the JSON has.
    """
    found = pngs(part)
    if found is None:
        return
    for entry in np.flatnonzero((found.where >= 0) & ~found.plain).tolist():
        path = Path(found.paths[entry] or "")
        kind, mode = found.kind(entry)
        ids = _told_ids(path, _said_ids(found, entry))
        edits = []
        if ids is not None:
            edits = [WriteFile(path, partial(encode_png, rgb_of(ids)), f"saved {path.name} as RGB")]
        yield found.file.entry_hit(
            entry,
            "the PNG is not RGB with 8 bits a channel",
            "file_name",
            expected="PNG, RGB, 8 bits",
            found=f"{kind}, {mode}",
            edits=edits,
        )


def _said_ids(found: Pngs, entry: int) -> set[int]:
    segments = found.file.segments
    return set(segments.ids[(segments.entry == entry) & segments.has_id].tolist())


def _told_ids(path: Path, wanted: set[int]) -> Optional[np.ndarray]:
    """The PNG's ids as the one reading gives them that has just the JSON's ids, zero aside."""
    from PIL import Image

    with Image.open(path) as picture:
        readings = [np.asarray(picture.convert("RGB"))]
    readings.append(decode_labels(path))
    for labels in readings:
        ids = ids_of(labels)
        if set(np.unique(ids).tolist()) - {0} == wanted - {0} and ids.max(initial=0) < 1 << 24:
            return ids
    return None


@rule("CP014", "void-fraction-high", Severity.INFO, on="part")
def void_fraction(part: Part) -> Iterator[Hit]:
    """More than half of an image belongs to no segment.

    Void is neither trained on nor scored. That may be meant; it may also be that the stuff was left out, or that
    segments were lost in a conversion. There is no fix.
    """
    found = pngs(part)
    if found is None:
        return
    rows, entries = found.all_regions, found.region_entry
    declared = {int(found.file.segments.entry[each]) for each in np.flatnonzero(found.file.segments.ids == 0).tolist()}
    for row in np.flatnonzero(rows[:, ID] == 0).tolist():
        entry = int(entries[row])
        width, height = found.size(entry)
        share = rows[row, AREA] / (width * height)
        if share > VOID_SHARE and entry not in declared:
            yield found.file.entry_hit(
                entry,
                "most of the image belongs to no segment",
                expected=f"at most {VOID_SHARE:.0%} of its pixels 0 (void)",
                found=f"{share:.0%}",
            )


@rule("CP015", "image-without-thing", Severity.WARNING, on="part")
def image_without_thing(part: Part) -> Iterator[Hit]:
    """A training image has no thing, or only crowds.

    mmdet drops such images from panoptic training (`filter_empty_gt`), stuff and all. seg2knet's own training keeps
    them. There is no fix.
    """
    found = pngs(part)
    if found is None or part.split not in ("train", ""):
        return
    file, segments = found.file, found.file.segments
    if not any(category.isthing for category in file.categories):
        return
    good = (found.thing == 1) & (segments.crowd == 0)
    with_thing = set(file.image_rows[np.unique(segments.entry[good])].tolist())
    for row in range(file.images.count):
        if row not in with_thing and file.images.usable[row]:
            message = "no thing is on it: mmdet drops it from training"
            yield file.image_hit(row, message, expected="one thing at least", found="none")


@rule("CP016", "instance-panoptic-json-disagree", Severity.WARNING, on="part")
def files_disagree(part: Part) -> Iterator[Hit]:
    """The split's instance file and panoptic file do not fit one another.

    Both describe the same images: one file name has one id and size in both, the things of the panoptic file are the
    categories of the instance file, and an image cannot have more things than instances. Where they differ, one of them
    was made from older data, and instance and panoptic training learn different things. There is no fix: convert again.
    """
    instances, panoptic, found = part.instances, part.panoptic, pngs(part)
    if instances is None or panoptic is None or found is None or instances.faults or panoptic.faults:
        return
    # With the pictures at hand IM003 and IM004 say whose size is wrong.
    yield from _images_differ(instances, panoptic, sizes=not album(part).folder)
    yield from _categories_differ(instances, panoptic)
    yield from _counts_differ(instances, panoptic, found)


def _table(file: JsonFile) -> dict[str, tuple[int, int, int, int]]:
    """Name -> row, id, width, height of each image."""
    images = file.images
    return {
        name: (row, int(images.ids[row]), int(images.widths[row]), int(images.heights[row]))
        for row, name in enumerate(images.names)
        if name
    }


def _images_differ(instances: CocoFile, panoptic: PanopticFile, *, sizes: bool) -> Iterator[Hit]:
    ours, theirs = _table(panoptic), _table(instances)
    for name, (row, *facts) in ours.items():
        other = theirs.get(name)
        if other is None:
            yield panoptic.image_hit(
                row, "the instance file has no such image", expected="the same in both", found="none"
            )
        elif other[1] != facts[0] or (sizes and list(other[1:]) != facts):
            yield panoptic.image_hit(
                row,
                "the instance file says otherwise",
                expected="id {}, {}x{}".format(*other[1:]),
                found="id {}, {}x{}".format(*facts),
            )
    for name, (row, *_) in theirs.items():
        if name not in ours:
            yield instances.image_hit(
                row, "the panoptic file has no such image", expected="the same in both", found="none"
            )


def _categories_differ(instances: CocoFile, panoptic: PanopticFile) -> Iterator[Hit]:
    things = {each.id: each.name for each in panoptic.categories if each.isthing}
    theirs = {each.id: each.name for each in instances.categories}
    if things and things != theirs:
        differ = [key for key in {**things, **theirs} if things.get(key) != theirs.get(key)]
        shown = [f"{key}: {things.get(key)!r} and {theirs.get(key)!r}" for key in differ[:5]]
        yield Hit(
            "the things of the panoptic file are not the categories of the instance file",
            panoptic.path,
            "/categories",
            expected="the same ids and names",
            found="; ".join(shown) + (f" and {len(differ) - 5} more" if len(differ) > 5 else ""),
        )


def _counts_differ(instances: CocoFile, panoptic: PanopticFile, found: Pngs) -> Iterator[Hit]:
    """Images with more things than instances; fewer are no wonder, for what is hidden has no segment."""
    segments = panoptic.segments
    things = _by_row(panoptic.image_rows[segments.entry[(found.thing == 1) & (segments.crowd == 0)]], panoptic)
    theirs = _by_row(instances.image_rows, instances)
    rows = _table(instances)
    for name, (row, *_) in _table(panoptic).items():
        if name in rows and things[row] > theirs[rows[name][0]]:
            yield panoptic.image_hit(
                row,
                "it has more things than the instance file has instances",
                expected=f"at most {theirs[rows[name][0]]}",
                found=str(things[row]),
            )


def _by_row(rows: np.ndarray, file: JsonFile) -> np.ndarray:
    """How often each image's row is there."""
    return np.bincount(rows[rows >= 0], minlength=file.images.count)
