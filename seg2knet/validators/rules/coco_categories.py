"""CI011 to CI017: the list of categories."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from seg2knet.validators.model import Edit, Fix, Hit, Remove, SetValue, Severity, rule
from seg2knet.validators.subjects.data import DataSet
from seg2knet.validators.subjects.files import CocoFile, JsonFile
from seg2knet.validators.subjects.tables import Category

TABLES = ("instances", "panoptic")
OFFICIAL_GAPS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
"""Ids from 1 to 90 that COCO's own instance files leave out."""
OFFICIAL_STUFF = {92, 93, 95, 100, 107, 109, 112, 118, 119, 122, 125, 128, 130, 133, 138, 141, 144, 145, 147, 148, 149}
OFFICIAL_STUFF |= {151, 154, 155, 156, 159, 161, 166, 168, 171, 175, 176, 177, 178, 180, 181, *range(184, 201)}
"""Ids of the stuff classes in COCO's own panoptic files."""


def is_background(name: str) -> bool:
    """Whether a category's name says that it is no object."""
    return name.strip().strip("_-").lower() in ("background", "bg")


@rule("CI011", "duplicate-category-id", Severity.ERROR, on=TABLES)
def duplicate_category_id(file: JsonFile) -> Iterator[Hit]:
    """Two categories have the same id.

    Loaders keep the last one's name: objects of both classes become one class. Nothing in the file says which object
    is which, so there is no fix.
    """
    for category in file.categories:
        if category.id is not None and file.category_index(category.id) != category.index:
            first = file.categories[file.category_index(category.id)]
            yield file.category_hit(
                category,
                f"category {category.name!r} has the id of {first.name!r}",
                "id",
                expected="an id of its own",
                found=str(file.as_written(category.id)),
            )


@rule("CI012", "duplicate-category-name", Severity.ERROR, Fix.UNSAFE, on=TABLES)
def duplicate_category_name(file: JsonFile) -> Iterator[Hit]:
    """Two categories have the same name.

    mmdet finds categories by name: both ids get one label, or one is lost, depending on the version.

    The unsafe fix gives the later one's objects to the first and takes the later one out.
    """
    first: dict[str, Category] = {}
    for category in file.categories:
        if category.name is None:
            continue
        if category.name not in first:
            first[category.name] = category
            continue
        into = first[category.name]
        if category.id is not None and category.id == into.id:
            continue  # the same category twice: CI011 says so
        can = category.id is not None and into.id is not None
        yield file.category_hit(
            category,
            f"two categories are called {category.name!r}",
            "name",
            expected="one category a name",
            found=f"ids {into.id} and {category.id}",
            edits=(partial(_merged, file, category, into)) if can else (),
        )


def _merged(file: JsonFile, category: Category, into: Category) -> list[Edit]:
    assert category.id is not None
    edits: list[Edit] = [SetValue(file.path, at, into.id) for at, _ in file.category_pointers([category.id])]
    return [*edits, Remove(file.path, f"/categories/{category.index}")]


@rule("CI013", "category-name-whitespace-or-case-clash", Severity.WARNING, Fix.SAFE, on=TABLES)
def category_name_clash(file: JsonFile) -> Iterator[Hit]:
    """A category's name is padded with white space, or differs from another's by case or space alone.

    `"car "` is not `"car"`: a class list typed by hand matches nothing, mmdet drops the class in silence, and in a
    report the two cannot be told apart.

    The fix takes the white space away where no other category has the name then. Names that differ by case alone may
    be one class or two; only you know.
    """
    names = {category.name for category in file.categories}
    folded: dict[str, Category] = {}
    for category in file.categories:
        name = category.name
        if name is None:
            continue
        clean = " ".join(name.split())
        padded = name != name.strip()
        twin = folded.setdefault(clean.casefold(), category)
        clash = twin is not category and twin.name != name
        if not padded and not clash:
            continue
        message = f"the category's name {name!r} is padded with white space"
        if clash:
            message = f"the category's name {name!r} differs from {twin.name!r} by case or white space alone"
        edits = [SetValue(file.path, f"/categories/{category.index}/name", name.strip())]
        free = padded and name.strip() and name.strip() not in names and not clash
        yield file.category_hit(
            category,
            message,
            "name",
            expected=repr(clean) if not clash else "names that differ in more",
            found=repr(name),
            edits=edits if free else (),
        )


@rule("CI014", "category-id-zero", Severity.WARNING, Fix.SAFE, on="instances")
def category_id_zero(file: CocoFile) -> Iterator[Hit]:
    """A category has the id 0.

    Many trainers keep 0 for background, and lose the class or shift all others by one.

    The fix adds 1 to the ids from 0 up to the first that is free, in categories and annotations.
    """
    if 0 not in file.category_places:
        return
    category = file.categories[file.category_places[0]]
    yield file.category_hit(
        category,
        f"category {category.name!r} has the id 0, which many trainers take for background",
        "id",
        expected="ids from 1 on",
        found="0",
        edits=lambda: _renumbered(file, _shift(file)),
    )


def _shift(file: CocoFile) -> dict[int, int]:
    new, number = {}, 0
    while number in file.category_places:
        new[number] = number + 1
        number += 1
    return new


@rule("CI015", "category-ids-not-contiguous", Severity.INFO, Fix.SAFE, on="instances")
def category_ids_not_contiguous(file: CocoFile) -> Iterator[Hit]:
    """The categories' ids do not count 1, 2, 3...

    Nothing is wrong with that, but a trainer that takes ids for labels fails on the first id above the number of
    classes. COCO's own lists, 80 ids up to 90 and 133 up to 200, are known everywhere and
    passed over.

    The fix numbers the categories from 1 in the order of their ids, and the annotations with them.
    """
    ids = sorted(each for each in file.category_places if each > 0)
    if not ids or 0 in file.category_places or ids == list(range(1, len(ids) + 1)) or _is_official(ids):
        return
    if any(file.as_written(each) != each for each in ids) or any(each.id is None for each in file.categories):
        return  # ids that are words or not there: CI003 says so
    gaps = sorted(set(range(1, ids[-1] + 1)) - set(ids)) if ids[-1] < 10_000 else []
    missing = f"without {', '.join(map(str, gaps[:5]))}" + ("..." if len(gaps) > 5 else "") if gaps else ""
    yield Hit(
        f"the {len(ids)} category ids do not count from 1 to {len(ids)}",
        file.path,
        "/categories",
        expected=f"1 to {len(ids)}",
        found=f"{ids[0]} to {ids[-1]} {missing}".strip(),
        edits=lambda: _renumbered(file, {old: new for new, old in enumerate(ids, 1)}),
    )


def _is_official(ids: list[int]) -> bool:
    things = set(range(1, 91)) - OFFICIAL_GAPS
    return set(ids) in (things, things | OFFICIAL_STUFF)


def _renumbered(file: CocoFile, new: dict[int, int]) -> list[Edit]:
    edits: list[Edit] = []
    for category in file.categories:
        if category.id is not None and new.get(category.id, category.id) != category.id:
            edits.append(SetValue(file.path, f"/categories/{category.index}/id", new[category.id]))
    moved = [old for old, number in new.items() if old != number]
    edits += [SetValue(file.path, at, new[old]) for at, old in file.category_pointers(moved)]
    return edits


def _used(file: JsonFile, category: Category) -> np.ndarray:
    """Rows of annotations (panoptic: segments) of a category."""
    table = file.annotations if isinstance(file, CocoFile) else file.segments  # type: ignore[attr-defined]
    if category.id is None:
        return np.zeros(0, np.int64)
    return np.flatnonzero(table.has_category_id & (table.category_ids == category.id))


@rule("CI016", "background-as-category", Severity.WARNING, Fix.SAFE, on=TABLES)
def background_as_category(file: JsonFile) -> Iterator[Hit]:
    """The background stands among the categories (`_background_`, `background`, `bg`).

    A class is what has objects; background is what has none. mmdet gives it a label all the same: the class count is
    one too high, and every model has a class that nothing teaches. CVAT's and VOC's label lists bring it along.

    The fix takes the category out where no object uses it; objects that do go with it only by the unsafe fix.
    """
    for category in file.categories:
        if category.name is None or not is_background(category.name):
            continue
        rows = _used(file, category)
        edits: list[Edit] = [Remove(file.path, f"/categories/{category.index}")]
        if isinstance(file, CocoFile):
            edits += [Remove(file.path, f"/annotations/{row}") for row in rows.tolist()]
        elif len(rows):
            edits = []
        yield file.category_hit(
            category,
            f"{category.name!r} is no class" + (f", and {len(rows):,} objects use it" if len(rows) else ""),
            expected="classes that have objects",
            found=repr(category.name),
            edits=edits,
            fix=Fix.UNSAFE if len(rows) else None,
        )


@rule("CI017", "unused-category", Severity.WARNING, Fix.UNSAFE, on="dataset")
def unused_category(dataset: DataSet) -> Iterator[Hit]:
    """A category has no object in any split.

    The model gets a class that nothing teaches, and its AP is -1 or 0 in every table. A class that is there in one
    split only is another matter (SP003).

    The unsafe fix takes it out of every file.
    """
    files = dataset.json_files
    used = {
        category.name
        for file in files
        for category in file.categories
        if category.name is not None and len(_used(file, category))
    }
    told: set[str] = set()
    for file in files:
        if not file.has["annotations"] or not _count(file):
            continue
        for category in file.categories:
            name = category.name
            if name is None or name in used or name in told or is_background(name):
                continue
            if category.id is None or file.category_index(category.id) != category.index:
                continue  # no id, or another category's: CI003 and CI011 say so
            told.add(name)
            yield file.category_hit(
                category,
                f"no object is a {name!r}",
                expected="at least one object",
                found="none" + (" in any split" if len(dataset.parts) > 1 else ""),
                edits=[
                    Remove(other.path, f"/categories/{each.index}")
                    for other in files
                    for each in other.categories
                    if each.name == name
                ],
            )


def _count(file: JsonFile) -> int:
    return file.annotations.count if isinstance(file, CocoFile) else file.segments.count  # type: ignore[attr-defined]
