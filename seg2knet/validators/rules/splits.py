"""SP001 to SP003: what must hold between the splits of a data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from seg2knet.validators.model import DeleteFile, Edit, Fix, Hit, Remove, SetValue, Severity, rule
from seg2knet.validators.rules.coco_categories import is_background
from seg2knet.validators.subjects.data import DataSet, Part
from seg2knet.validators.subjects.document import shown
from seg2knet.validators.subjects.files import CocoFile, JsonFile, PanopticFile

ORDER = {"train": 0, "val": 1, "test": 2}


@rule("SP001", "same-image-in-two-splits", Severity.ERROR, Fix.UNSAFE, on="dataset")
def same_image_in_two_splits(dataset: DataSet) -> Iterator[Hit]:
    """The same picture is in two splits, whatever its name.

    The model is judged on what it has learned by heart: the figure is too good, and nobody notices. Files are compared
    byte by byte, not by name: equal names in two splits are no defect (`0001.jpg` of two cameras), equal pictures are.

    The unsafe fix takes the picture and its objects out of the split that trains, so that what was measured before
    stays comparable; between val and test, out of val.
    """
    from seg2knet.validators.subjects.pictures import same_content

    parts = sorted((part for part in dataset.parts if part.split in ORDER), key=lambda part: ORDER[part.split])
    if len({part.split for part in parts}) < 2:
        return
    listed = [(part, row, path) for part in parts for row, path in _pictures(part)]
    for group in same_content([path for _, _, path in listed], dataset.jobs):
        members = [listed[index] for index in group]
        keeper = members[-1]
        for part, row, path in members:
            if part.split != keeper[0].split:
                yield _leak(dataset, part, row, path, keeper)


def _pictures(part: Part) -> list[tuple[int, Path]]:
    """(row in the annotation file or -1, file) of the pictures of a split that are there."""
    file: Optional[JsonFile] = part.instances or part.panoptic
    if file is None:
        return [(-1, path) for path in part.pictures()]
    found = []
    for row, name in enumerate(file.images.names):
        path = part.picture(name)
        if path is not None and path.is_file():
            found.append((row, path))
    return found


def _leak(dataset: DataSet, part: Part, row: int, path: Path, twin: tuple[Part, int, Path]) -> Hit:
    message = f"the same picture is in {twin[0].split}: {dataset.show(twin[2])}"
    more: dict[str, Any] = {"expected": "a picture in one split", "found": f"in {part.split} and {twin[0].split}"}
    file: Optional[JsonFile] = part.instances or part.panoptic
    if file is None:
        edits: list[Edit] = []
        if dataset.ade is not None:
            mask = dataset.ade.annotations(part.split) / f"{path.stem}.png"
            edits = [DeleteFile(path), *([DeleteFile(mask)] if mask.is_file() else [])]
        return Hit(message, path, edits=edits, **more)
    return file.image_hit(row, message, edits=lambda: _taken_out(part, path), **more)


def _taken_out(part: Part, path: Path) -> Sequence[Edit]:
    edits: list[Edit] = []
    for file in part.json_files:
        rows = [row for row, name in enumerate(file.images.names) if name is not None and part.picture(name) == path]
        edits += [Remove(file.path, f"/images/{row}") for row in rows]
        edits += [Remove(file.path, f"/annotations/{row}") for row in np.flatnonzero(np.isin(file.image_rows, rows))]
    return edits


@rule("SP002", "category-lists-differ-between-splits", Severity.ERROR, Fix.SAFE, on="dataset")
def category_lists_differ(dataset: DataSet) -> Iterator[Hit]:
    """The splits do not have the same categories under the same ids in the same order.

    A trainer numbers labels by the training file; the validation file's objects then count as other classes, and the
    figures fall without an error. Tools that export split by split list only what occurs in each.

    The fix gives every file the categories of all of them, those of train first, each with one id everywhere;
    annotations follow their class by its name. No object changes its class.
    """
    for kind in (CocoFile, PanopticFile):
        files = [file for part in dataset.parts for file in part.json_files if isinstance(file, kind)]
        files = [file for file in files if file.has["categories"]]
        files.sort(key=lambda file: ORDER.get(file.part.split, 3) if file.part is not None else 3)
        yield from _differing(dataset, files)


def _differing(dataset: DataSet, files: Sequence[JsonFile]) -> Iterator[Hit]:
    if len(files) < 2:
        return
    clean = _is_clean(files)
    first = _list(files[0])
    for file in files[1:]:
        if _list(file) == first:
            continue
        yield Hit(
            f"the categories are not those of {dataset.show(files[0].path)}",
            file.path,
            "/categories",
            expected=_difference(first, _list(file)),
            found=_difference(_list(file), first),
            edits=(lambda: _unified(files)) if clean else (),
        )


def _is_clean(files: Sequence[JsonFile]) -> bool:
    """Whether nothing must be guessed; names with a defect of their own are mended first."""
    names: set[str] = set()
    for file in files:
        own = [each.name for each in file.categories if each.name is not None and each.id is not None]
        if len(own) < len(file.categories) or len(set(own)) < len(own) or len(file.category_places) < len(own):
            return False
        names.update(own)
    alike = {" ".join(name.split()).casefold() for name in names}
    return len(alike) == len(names) and all(name == name.strip() for name in names)


def _list(file: JsonFile) -> list[tuple[Optional[int], Optional[str]]]:
    return [(category.id, category.name) for category in file.categories]


def _difference(one: Sequence[tuple], other: Sequence[tuple]) -> str:
    only = [each for each in one if each not in other]
    if not only:
        return (
            f"{len(one)} categories, in another order"
            if sorted(map(str, one)) == sorted(map(str, other))
            else (f"{len(one)} categories and no more")
        )
    return ", ".join(f"{number}: {shown(name)}" for number, name in only[:4]) + (" ..." if len(only) > 4 else "")


def _unified(files: Sequence[JsonFile]) -> Sequence[Edit]:
    """Every file's categories and annotations with one numbering for all."""
    ids: dict[str, int] = {}
    source: dict[str, tuple[JsonFile, int]] = {}
    for file in files:
        for category in file.categories:
            assert category.name is not None
            if category.name in ids:
                continue
            number = category.id or 0
            if number in ids.values() or category.id is None:
                number = max([*ids.values(), *(each.id or 0 for other in files for each in other.categories)]) + 1
            ids[category.name] = number
            source[category.name] = (file, category.index)
    whole = [_category(*source[name], ids[name]) for name in ids]
    edits: list[Edit] = []
    for file in files:
        if _list(file) == [(each["id"], each["name"]) for each in whole]:
            continue
        edits.append(SetValue(file.path, "/categories", whole))
        new = {each.id: ids[each.name] for each in file.categories if each.name is not None and each.id is not None}
        moved = [old for old, number in new.items() if old != number]
        edits += [SetValue(file.path, at, new[old]) for at, old in file.category_pointers(moved)]
    return edits


def _category(file: JsonFile, index: int, number: int) -> dict:
    """A category as it stands in its file, all its keys, with this id."""
    entry = dict(file.raw_category(index))
    entry["id"] = number
    return entry


@rule("SP003", "class-missing-from-train", Severity.ERROR, on="dataset")
def class_missing_from_train(dataset: DataSet) -> Iterator[Hit]:
    """A class has objects in another split and none in train.

    The model cannot learn it, and its AP of 0 pulls the mean down. Split again so that rare classes are in each part
    (`seg2knet convert coco ... --split`), or leave the class out.
    """
    trained = [part for part in dataset.parts if part.split == "train"]
    others = [part for part in dataset.parts if part.split in ("val", "test")]
    for kind in (CocoFile, PanopticFile):
        train = [file for part in trained for file in part.json_files if isinstance(file, kind)]
        if not train or not any(_counted(file) for file in train):
            continue
        have: set[Optional[str]] = {name for file in train for name, count in _counted(file).items() if count}
        told: set[str] = set()
        for part in others:
            for file in part.json_files:
                if not isinstance(file, kind):
                    continue
                for name, count in _counted(file).items():
                    if name in have or name in told or is_background(name):
                        continue
                    told.add(name)
                    index = next((each.index for each in train[0].categories if each.name == name), None)
                    yield Hit(
                        f"no object of train is a {name!r}",
                        train[0].path,
                        "/categories" + ("" if index is None else f"/{index}"),
                        expected="objects of every class",
                        found=f"none in train, {count:,} in {part.split}",
                    )


def _counted(file: JsonFile) -> dict[str, int]:
    """Class name -> objects, for the classes that have some."""
    table = file.annotations if isinstance(file, CocoFile) else file.segments  # type: ignore[attr-defined]
    ids, counts = np.unique(table.category_ids[table.has_category_id], return_counts=True)
    found: dict[str, int] = {}
    for number, count in zip(ids.tolist(), counts.tolist()):
        index = file.category_index(number)
        name = file.categories[index].name if index >= 0 else None
        if name is not None:
            found[name] = found.get(name, 0) + count
    return found
