"""SP rules, IM014 and IM015: what must hold between the splits of a data set, and images that look alike."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np

from seg2knet.dataset.grouping import grouped
from seg2knet.validators.model import DeleteFile, Edit, Fix, Hit, Remove, SetValue, Severity, rule
from seg2knet.validators.rules.coco_categories import is_background, unknown_references
from seg2knet.validators.rules.images import MIN_SIDE, image_hit
from seg2knet.validators.subjects.album import album
from seg2knet.validators.subjects.data import DataSet, Part
from seg2knet.validators.subjects.document import first_few, shown
from seg2knet.validators.subjects.files import CocoFile, JsonFile, PanopticFile, once
from seg2knet.validators.subjects.image_files import same_content, survey
from seg2knet.validators.subjects.looks import LookAlike, Looks, look_alikes, looks_of

ORDER = {"train": 0, "val": 1, "test": 2}
COPY_SHARE = 0.5
"""Share of a split's images in another from which one is taken for a copy of the other."""
Listed = tuple[Part, int, Path]
"""An image: its split, its row in the annotation file or -1, its file."""


@rule("SP001", "same-image-in-two-splits", Severity.ERROR, Fix.UNSAFE, on="dataset")
def same_image_in_two_splits(dataset: DataSet) -> Iterator[Hit]:
    """The same image is in two splits, whatever its name.

    The model is evaluated on what it has memorised: the result is too good, and nobody notices. Files are compared byte
    by byte, not by name: equal names in two splits are not a defect (`0001.jpg` of two cameras), equal images are.

    The unsafe fix removes the image and its objects from the training split, so that earlier results stay comparable;
    between val and test, from val. Where half a split and more is in another, one is a copy of the other: that is one
    finding, and there is no fix, because it would empty the split.
    """
    parts = sorted((part for part in dataset.parts if part.split in ORDER), key=lambda part: ORDER[part.split])
    several = len({part.split for part in parts}) > 1
    listed = [(part, row, path) for part in parts for row, path in _images(part)] if several else []
    groups = same_content(survey([path for _, _, path in listed], dataset.jobs), dataset.jobs)
    twins = ((listed[index], listed[group[-1]]) for group in groups for index in group)
    leaks = grouped(((member[0].split, keeper[0].split), (member, keeper)) for member, keeper in twins)
    for (split, other), pairs in ((splits, pairs) for splits, pairs in leaks.items() if splits[0] != splits[1]):
        total = sum(each.split == split for each, _, _ in listed)
        if len(pairs) >= max(COPY_SHARE * total, 2):
            where, found = place_of(pairs[0][0][0]), f"{len(pairs):,} of {total:,} images of {split} are in {other}"
            yield Hit(f"{split} is a copy of {other}", where, expected="each image in one split", found=found)
        else:
            yield from (_leak(dataset, member, keeper) for member, keeper in pairs)


def place_of(part: Part) -> Path:
    """The file, or else the folder, that stands for a split in a finding."""
    file = part.instances or part.panoptic
    return file.path if file is not None else part.images_dir or part.dataset.root


def _images(part: Part) -> list[tuple[int, Path]]:
    file: Optional[JsonFile] = part.instances or part.panoptic
    if file is None:
        return [(-1, path) for path in part.image_paths]
    places = [part.image_path(name) for name in file.images.names]
    return [(row, path) for row, path in enumerate(places) if path is not None and os.path.isfile(path)]


def _leak(dataset: DataSet, member: Listed, twin: Listed) -> Hit:
    part, row, path = member
    message = f"the same image is in {twin[0].split}: {dataset.show(twin[2])}"
    more: dict[str, Any] = {"expected": "each image in one split", "found": f"in {part.split} and {twin[0].split}"}
    file: Optional[JsonFile] = part.instances or part.panoptic
    if file is not None:
        return file.image_hit(row, message, edits=partial(_taken_out, part, path), **more)
    files = [path] if dataset.ade is not None else []
    if dataset.ade is not None and (mask := dataset.ade.annotations(part.split) / f"{path.stem}.png").is_file():
        files.append(mask)
    return Hit(message, path, edits=[DeleteFile(each) for each in files], **more)


def _taken_out(part: Part, path: Path) -> Sequence[Edit]:
    edits: list[Edit] = []
    for file in part.json_files:
        rows = [row for row, name in enumerate(file.images.names) if name is not None and part.image_path(name) == path]
        edits += [Remove(file.path, f"/images/{row}") for row in rows]
        edits += [Remove(file.path, f"/annotations/{row}") for row in np.flatnonzero(np.isin(file.image_rows, rows))]
    return edits


@rule("SP002", "category-lists-differ-between-splits", Severity.ERROR, Fix.SAFE, on="dataset")
def category_lists_differ(dataset: DataSet) -> Iterator[Hit]:
    """The splits do not have the same categories under the same ids in the same order.

    A trainer numbers labels by the training file; the validation file's objects then count as other classes, and the
    metrics fall without an error. Tools that export split by split list only what each has. `isthing` must be the same
    too.

    The fix gives every file the categories of all of them, those of train first, each with one id everywhere;
    annotations follow their class by its name. No object changes its class. There is no fix where names need one of
    their own first, `isthing` differs, or an object's category is not in the list.
    """
    for kind in (CocoFile, PanopticFile):
        files = [file for file in dataset.json_files if isinstance(file, kind) and file.has["categories"]]
        files.sort(key=lambda file: ORDER.get(file.part.split, 3) if file.part is not None else 3)
        edits = partial(_unified, files) if _is_clean(files) else ()
        for file in files[1:]:
            first, own = _list(files[0]), _list(file)
            if own != first:
                message = f"the categories are not those of {dataset.show(files[0].path)}"
                expected, found = _difference(first, own), _difference(own, first)
                yield Hit(message, file.path, "/categories", expected=expected, found=found, edits=edits)


def _is_clean(files: Sequence[JsonFile]) -> bool:
    """Whether nothing must be guessed; names with a defect of their own are fixed first."""
    names: set[str] = set()
    kinds: set[tuple[str, Optional[int]]] = set()
    for file in files:
        own = [each.name for each in file.categories if each.name is not None and each.id is not None]
        if len(own) < len(file.categories) or len(set(own)) < len(own) or len(file.category_places) < len(own):
            return False
        if unknown_references(file):
            return False
        names.update(own)
        kinds.update((str(each.name), each.isthing) for each in file.categories if isinstance(file, PanopticFile))
    alike = {" ".join(name.split()).casefold() for name in names}
    return len(alike) == len(names) >= len(kinds) and all(name == name.strip() for name in names)


def _list(file: JsonFile) -> list[tuple[Any, ...]]:
    if isinstance(file, PanopticFile):
        return [(category.id, category.name, category.isthing) for category in file.categories]
    return [(category.id, category.name) for category in file.categories]


def _difference(one: Sequence[tuple], other: Sequence[tuple]) -> str:
    only = [each for each in one if each not in other]
    if only:
        kinds = {1: ", thing", 0: ", stuff"}
        texts = [f"{number}: {shown(name)}{kinds.get(more[0], '') if more else ''}" for number, name, *more in only[:4]]
        return ", ".join(texts) + (" ..." if len(only) > 4 else "")
    same = sorted(map(str, one)) == sorted(map(str, other))
    return f"{len(one)} categories" + (", in another order" if same else " and no more")


def _unified(files: Sequence[JsonFile]) -> Sequence[Edit]:
    """Every file's categories and annotations with one numbering for all."""
    ids: dict[str, int] = {}
    whole: list[dict[str, Any]] = []
    largest = max(each.id or 0 for file in files for each in file.categories)
    for file in files:
        for category in file.categories:
            name, number = str(category.name), category.id or 0
            if name not in ids:
                free = number not in ids.values() and category.id is not None
                ids[name] = number if free else max([*ids.values(), largest]) + 1
                whole.append({**file.raw_category(category.index), "id": ids[name]})
    edits: list[Edit] = []
    for file in files:
        if [(each.id, each.name) for each in file.categories] == [(each["id"], each["name"]) for each in whole]:
            continue
        edits.append(SetValue(file.path, "/categories", whole))
        moved = {each.id: ids[str(each.name)] for each in file.categories if each.id not in (None, ids[str(each.name)])}
        edits += [SetValue(file.path, at, moved[old]) for at, old in file.category_pointers(moved)]
    return edits


@rule("SP003", "class-missing-from-train", Severity.WARNING, on="dataset")
def class_missing_from_train(dataset: DataSet) -> Iterator[Hit]:
    """A class has objects in another split and none in train.

    The model cannot learn it, and its AP of 0 lowers the mean. Divide again so that rare classes are in each part
    (`seg2knet convert ... --resplit`), or leave the class out (`--drop NAME`).
    """
    for train, others in _kinds(dataset):
        have = {name for file in train for name in _counted(file)}
        told: set[str] = set()
        for file, split in others:
            new = {n: count for n, count in _counted(file).items() if n not in have | told and not is_background(n)}
            told.update(new)
            for name, count in new.items():
                index = next((f"/{each.index}" for each in train[0].categories if each.name == name), "")
                message = f"no object of train is a {name!r}: --resplit divides anew, --drop leaves it out"
                expected, found = "objects of every class", f"none in train, {count:,} in {split}"
                yield Hit(message, train[0].path, f"/categories{index}", expected=expected, found=found)


def _kinds(dataset: DataSet) -> Iterator[tuple[list[JsonFile], list[tuple[JsonFile, str]]]]:
    """Instance files, then panoptic ones: those of train, and the others with their split; only with objects in
    train."""
    for kind in (CocoFile, PanopticFile):
        files = [(file, part.split) for part in dataset.parts for file in part.json_files if isinstance(file, kind)]
        train: list[JsonFile] = [file for file, split in files if split == "train"]
        if any(_counted(file) for file in train):
            yield train, [(file, split) for file, split in files if split in ("val", "test")]


def _counted(file: JsonFile) -> dict[str, int]:
    """Class name, without white space around it, -> objects, for the classes that have some."""
    ids, counts = np.unique(file.objects.category_ids[file.objects.has_category_id], return_counts=True)
    totals: Counter[str] = Counter()
    for number, count in zip(ids.tolist(), counts.tolist()):
        index = file.category_index(number)
        name = file.categories[index].name if index >= 0 else None
        if name is not None:
            totals[name.strip()] += count
    return totals


@rule("SP004", "split-without-data", Severity.ERROR, on="dataset")
def split_without_data(dataset: DataSet) -> Iterator[Hit]:
    """A split has no images, or the validation split no annotations.

    Training stops; or the evaluation after each epoch stops, or gives `nan` and -1 for everything, and no checkpoint is
    the best one. There is no fix: split again (`seg2knet convert ... --split`).
    """
    for file in dataset.json_files:
        of_val = file.part is not None and file.part.split == "val"
        counts = {"images": file.images.count, "annotations": file.objects.count if of_val else None}
        empty = next((table for table, count in counts.items() if file.has[table] and count == 0), None)
        if empty is not None and not file.faults:
            message, expected = f"the split has no {empty}", f"at least one of its {empty}"
            yield Hit(message, file.path, f"/{empty}", expected=expected, found="an empty list")


@rule("SP005", "class-missing-from-val", Severity.WARNING, on="dataset")
def class_missing_from_val(dataset: DataSet) -> Iterator[Hit]:
    """Classes have objects in train and none in val.

    Nothing tells how well they are learned: their AP is -1 or `nan`, and the mean skips them. Split again so that each
    part has them.
    """
    for train, others in _kinds(dataset):
        counts = {name: count for each in train for name, count in _counted(each).items()}
        for file in (file for file, split in others if split == "val"):
            have = _counted(file)
            missing = [name for name in counts if name not in have and not is_background(name)]
            if have and missing:
                names = first_few([f"{name!r} ({counts[name]:,} in train)" for name in missing])
                things = "class" if len(missing) == 1 else "classes"
                message, found = f"no object of val is of the {things} {names}", f"{len(missing)} {things} without any"
                yield Hit(message, file.path, "/categories", expected="objects of every class", found=found)


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
    skipped: int  # images that were not looked at, because they are too many


def seen(dataset: DataSet) -> Seen:
    """The data set's images; none where there are too many."""
    owners: dict[str, Part] = {}
    for part in sorted(dataset.parts, key=lambda part: ORDER.get(part.split, len(ORDER))):
        book = album(part)
        for path in np.array(book.paths, object)[~book.gallery.broken()] if book.paths else ():
            owners.setdefault(path, part)
    skipped = len(owners) if len(owners) > MOST_IMAGES else 0
    parts, paths = ([], []) if skipped else (list(owners.values()), list(owners))
    looks = looks_of(paths, dataset.jobs)
    pairs = look_alikes(looks, np.array([ORDER.get(part.split, len(ORDER)) for part in parts], np.int64))
    members = sorted({place for one, other, _ in pairs for place in (one, other)})
    gallery = survey([paths[place] for place in members], dataset.jobs)
    groups = enumerate(same_content(gallery, dataset.jobs))
    same = {members[place]: number for number, group in groups for place in group}
    pairs = [pair for pair in pairs if pair.one not in same or same[pair.one] != same.get(pair.other)]
    return Seen(parts, paths, looks, pairs, skipped)


@rule("IM014", "image-blank", Severity.WARNING, on="dataset")
def blank(dataset: DataSet) -> Iterator[Hit]:
    """An image is all black, all white or of one colour.

    A camera's cap was on, a file was written before it was filled, or 16 bits were squeezed into 8. Not looked for in
    more than 20,000 images.
    """
    all_images = once(dataset, seen)
    for place in np.flatnonzero(all_images.looks.ranges <= BLANK_RANGE).tolist():
        path, book = all_images.paths[place], album(all_images.parts[place])
        index = book.index[path]
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
    compared as small grey thumbnails; copies byte for byte are IM012. Neither these nor SP006 and IM014 are looked for
    in more than 20,000 images: a finding of this rule says so then.
    """
    all_images = once(dataset, seen)
    if all_images.skipped:
        message, expected = "look-alikes and blank images were not looked for", f"at most {MOST_IMAGES:,} images"
        yield Hit(message, dataset.root, expected=expected, found=f"{all_images.skipped:,}")
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
    all_images = once(dataset, seen)
    of = [part.split for part in all_images.parts]
    groups = grouped(((of[pair.one], of[pair.other]), pair) for pair in all_images.pairs)
    for one, other in (splits for splits in groups if splits[0] != splits[1] and set(splits) <= set(ORDER)):
        leaks = _once_each(groups[one, other])
        message = f"{len(leaks):,} images of {one} look like images of {other}: {_told(dataset, leaks, all_images)}"
        where = place_of(all_images.parts[leaks[0].one])
        yield Hit(message, where, expected="images that differ between splits", found=f"{len(leaks):,} look-alikes")
