"""SP rules, IM014 and IM015: what must hold between the splits of a data set, and images that look alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np

from seg2knet.dataset.grouping import grouped
from seg2knet.validators.model import DeleteFile, Edit, Fix, Hit, Remove, SetValue, Severity, rule
from seg2knet.validators.rules.coco_categories import is_background, unknown_references
from seg2knet.validators.rules.images import MIN_SIDE, image_hit
from seg2knet.validators.subjects.album import Album, album
from seg2knet.validators.subjects.data import DataSet, Part
from seg2knet.validators.subjects.document import first_few, shown
from seg2knet.validators.subjects.files import CocoFile, JsonFile, PanopticFile, once
from seg2knet.validators.subjects.image_files import same_content, survey
from seg2knet.validators.subjects.looks import LookAlike, Looks, look_alikes, looks_of, objects_on, same_layouts

ORDER = {"train": 0, "val": 1, "test": 2}
COPY_SHARE = 0.5
"""Share of a split's images in another from which one is taken for a copy of the other."""


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
    listed = [(part, path) for part in parts for path in album(part).paths] if several else []
    groups = same_content(survey([path for _, path in listed], dataset.jobs), dataset.jobs)
    twins = ((listed[index], listed[group[-1]]) for group in groups for index in group)
    leaks = grouped(((member[0].split, keeper[0].split), (member, keeper)) for member, keeper in twins)
    for (split, other), pairs in ((splits, pairs) for splits, pairs in leaks.items() if splits[0] != splits[1]):
        total = sum(each.split == split for each, _ in listed)
        if len(pairs) >= max(COPY_SHARE * total, 2):
            where, found = place_of(pairs[0][0][0]), f"{len(pairs):,} of {total:,} images of {split} are in {other}"
            yield Hit(f"{split} is a copy of {other}", where, expected="each image in one split", found=found)
        else:
            yield from (_leak(dataset, member, keeper) for member, keeper in pairs)


def place_of(part: Part) -> Path:
    """The file, or else the folder, that stands for a split in a finding."""
    file = part.instances or part.panoptic
    return file.path if file is not None else part.images_dir or part.dataset.root


def _leak(dataset: DataSet, member: tuple[Part, str], twin: tuple[Part, str]) -> Hit:
    part, path = member
    message = f"the same image is in {twin[0].split}: {dataset.show(twin[1])}"
    more: dict[str, Any] = {"expected": "each image in one split", "found": f"in {part.split} and {twin[0].split}"}
    if path in album(part).owners:
        file, row = album(part).owners[path]
        return file.image_hit(row, message, edits=partial(_taken_out, album(part), path), **more)
    assert dataset.ade is not None  # else a file names the image
    files = (Path(path), dataset.ade.annotations(part.split) / f"{Path(path).stem}.png")
    return Hit(message, files[0], edits=[DeleteFile(each) for each in files if each.is_file()], **more)


def _taken_out(book: Album, path: str) -> Sequence[Edit]:
    edits: list[Edit] = []
    for file in book.files:
        rows = book.rows_of(file, path)
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
        for file, split in others:
            new = {n: count for n, count in _counted(file).items() if n not in have and not is_background(n)}
            have.update(new)
            for name, count in new.items():
                index = next((f"/{each.index}" for each in train[0].categories if each.name == name), "")
                message = f"no object of train is a {name!r}: --resplit divides anew, --drop leaves it out"
                expected, found = "objects of every class", f"none in train, {count:,} in {split}"
                yield Hit(message, train[0].path, f"/categories{index}", expected=expected, found=found)


def _kinds(dataset: DataSet) -> Iterator[tuple[list[JsonFile], list[tuple[JsonFile, str]]]]:
    """Instance files, then panoptic ones, with objects in train: those of train, and the others with their split."""
    for kind in (CocoFile, PanopticFile):
        files = [(file, part.split) for part in dataset.parts for file in part.json_files if isinstance(file, kind)]
        train: list[JsonFile] = [file for file, split in files if split == "train"]
        if any(_counted(file) for file in train):
            yield train, [(file, split) for file, split in files if split in ("val", "test")]


def _counted(file: JsonFile) -> dict[str, int]:
    """Class name, without white space around it, -> objects, for the classes that have some."""
    counts = np.bincount(file.category_indices[file.category_indices >= 0], minlength=len(file.categories))
    totals: Counter[str] = Counter()
    for category, count in zip(file.categories, counts.tolist()):
        if category.name is not None and count:
            totals[category.name.strip()] += count
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


MOST_IMAGES = 100_000
"""More are not looked at: a JPEG of 640 x 480 takes 1.4 ms the first time, comparing 100,000 takes 17 s each time."""
BLANK_RANGE = 2


class Seen(NamedTuple):
    """All images of a data set that are not broken: their splits' parts, files and looks, and which look alike."""

    parts: list[Part]
    paths: list[str]
    looks: Looks
    pairs: list[LookAlike]
    layouts: list[LookAlike]  # of different splits, with the same objects: those that do not look alike
    skipped: int  # images that were not looked at, because they are too many


def seen(dataset: DataSet) -> Seen:
    """The data set's images; none where there are too many."""
    owners: dict[str, Part] = {}
    in_order = sorted(dataset.parts, key=lambda part: ORDER.get(part.split, len(ORDER)))
    for part in in_order:
        book = album(part)
        for path in np.array(book.paths, object)[~book.gallery.broken()] if book.paths else ():
            owners.setdefault(path, part)
    skipped = len(owners) if len(owners) > MOST_IMAGES else 0
    parts, paths = ([], []) if skipped else (list(owners.values()), list(owners))
    looks = looks_of(paths, dataset.jobs)
    splits = np.array([ORDER.get(part.split, len(ORDER)) for part in parts], np.int64)
    places, numbers = {path: place for place, path in enumerate(paths)}, dict[str, int]()
    objects = (rows for part in in_order for rows in objects_on(part, places, numbers)) if len(set(splits)) > 1 else ()
    pairs, layouts = look_alikes(looks, splits), same_layouts(np.concatenate([np.zeros((0, 7)), *objects]), splits)
    told = {pair.one for pair in pairs if splits[pair.one] != splits[pair.other]}
    layouts = [pair for pair in layouts if pair.one not in told]
    groups = enumerate(same_content(survey(paths, dataset.jobs), dataset.jobs))
    same = {place: number for number, group in groups for place in group}
    pairs, layouts = ([p for p in of if same.get(p.one, -1) != same.get(p.other, -2)] for of in (pairs, layouts))
    return Seen(parts, paths, looks, pairs, layouts, skipped)


def _looked_at(dataset: DataSet) -> Generator[Hit, None, Seen]:
    """The data set's images, after a hit where they are too many: a rule that finds nothing then does not say so."""
    all_images = once(dataset, seen)
    if all_images.skipped:
        message, expected = "not looked for in so many images", f"at most {MOST_IMAGES:,} images"
        yield Hit(message, dataset.root, expected=expected, found=f"{all_images.skipped:,}")
    return all_images


@rule("IM014", "image-blank", Severity.WARNING, on="dataset")
def blank(dataset: DataSet) -> Iterator[Hit]:
    """An image is all black, all white or of one colour.

    A camera's cap was on, a file was written before it was filled, or 16 bits were squeezed into 8. Looked for in at
    most 100,000 images: a finding says where there are more.
    """
    all_images = yield from _looked_at(dataset)
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


def _told(dataset: DataSet, pairs: list[LookAlike], paths: list[str]) -> str:
    told = [" and ".join(dataset.show(paths[at]) for at in pair[:2]) + " (flipped)" * pair[2] for pair in pairs[:3]]
    return ", ".join(told) + (" ..." if len(pairs) > 3 else "") + "; convert --group-by keeps such images in one split"


@rule("IM015", "near-duplicate-images", Severity.INFO, on="dataset")
def near_duplicates(dataset: DataSet) -> Iterator[Hit]:
    """Images of a split look nearly the same as others of it.

    Frames of a video, or copies that were resized, flipped or coded again. They add little, and where they come into
    another split by the next division they leak: `seg2knet convert ... --group-by` keeps them together. Compared are
    small grey thumbnails of at most 100,000 images: a finding says where there are more. Equal files are IM012.
    """
    all_images = yield from _looked_at(dataset)
    for part in dataset.parts:
        own = [pair for pair in all_images.pairs if all_images.parts[pair.one] is all_images.parts[pair.other] is part]
        if own:
            total = sum(each is part for each in all_images.parts)
            message = f"{len(own):,} of {total:,} images look like another: {_told(dataset, own, all_images.paths)}"
            yield Hit(message, place_of(part), "", expected="images that differ", found=f"{len(own):,} look-alikes")


@rule("SP006", "look-alike-in-two-splits", Severity.WARNING, on="dataset")
def look_alikes_in_two_splits(dataset: DataSet) -> Iterator[Hit]:
    """Images of one split look nearly the same as images of another.

    The model is evaluated on what it has memorised, as in SP001, though the files differ: they were resized, flipped,
    coded again, or are frames of one video. Split again with `seg2knet convert ... --group-by`, which keeps images of
    one folder or name in one split. Compared are small grey thumbnails of at most 100,000 images: a finding says where
    there are more.
    """
    yield from _leaks(dataset, once(dataset, seen).pairs, "look like", "look-alikes")


def _leaks(dataset: DataSet, pairs: list[LookAlike], what: str, found: str) -> Iterator[Hit]:
    all_images = yield from _looked_at(dataset)
    of = [part.split for part in all_images.parts]
    groups = grouped(((of[pair.one], of[pair.other]), pair) for pair in pairs)
    for one, other in (splits for splits in groups if splits[0] != splits[1] and set(splits) <= set(ORDER)):
        leaks = groups[one, other]
        message = f"{len(leaks):,} images of {one} {what} images of {other}: {_told(dataset, leaks, all_images.paths)}"
        where = place_of(all_images.parts[leaks[0].one])
        yield Hit(message, where, expected="images that differ between splits", found=f"{len(leaks):,} {found}")


@rule("SP007", "same-layout-in-two-splits", Severity.WARNING, on="dataset")
def same_layout_in_two_splits(dataset: DataSet) -> Iterator[Hit]:
    """Images of one split have the same objects at the same places as images of another, and do not look alike.

    Copies that were recoloured, darkened, padded or cropped, or frames of a camera that stands still: the model is
    evaluated on what it has memorised. Look at the pairs, and split again with `seg2knet convert ... --group-by`.

    Compared are classes, boxes and areas of three objects and more (or a mask's classes), flipped too, in the box of
    all of them, from 32 pixels on: they may be off by 0.2 % of it. What SP001 and SP006 report is left out.
    """
    yield from _leaks(dataset, once(dataset, seen).layouts, "have their objects at the places of", "equal layouts")
