"""CI011 to CI017: categories."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial

import numpy as np

from seg2knet.validators.model import Edit, Edits, Fix, Hit, Remove, SetValue, Severity, rule
from seg2knet.validators.rules.coco_tables import TABLES
from seg2knet.validators.subjects.data import DataSet
from seg2knet.validators.subjects.document import first_few
from seg2knet.validators.subjects.files import CocoFile, JsonFile
from seg2knet.validators.subjects.tables import Category

OFFICIAL_GAPS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
"""Ids from 1 to 90 that COCO's own instance files skip."""
OFFICIAL_STUFF = {92, 93, 95, 100, 107, 109, 112, 118, 119, 122, 125, 128, 130, 133, 138, 141, 144, 145, 147, 148, 149}
OFFICIAL_STUFF |= {151, 154, 155, 156, 159, 161, 166, 168, 171, 175, 176, 177, 178, 180, 181, *range(184, 201)}
"""Ids of the stuff classes in COCO's own panoptic files."""


def is_background(name: str) -> bool:
    """Whether a category's name says that it is the background."""
    return name.strip().strip("_-").lower() in ("background", "bg")


def unknown_references(file: JsonFile) -> set[int]:
    """Category ids that objects refer to and no category has: renumbering must not give them a meaning."""
    return set(np.unique(file.objects.category_ids[file.objects.has_category_id]).tolist()) - set(file.category_places)


@rule("CI011", "duplicate-category-id", Severity.ERROR, on=TABLES)
def duplicate_category_id(file: JsonFile) -> Iterator[Hit]:
    """Two categories have the same id.

    Loaders keep the last one's name: objects of both classes become one class. Nothing says which object is which.
    """
    for category in file.categories:
        if category.id is not None and file.category_index(category.id) != category.index:
            first = file.categories[file.category_index(category.id)]
            message = f"category {category.name!r} has the id of {first.name!r}"
            found = str(file.as_written(category.id))
            yield file.category_hit(category, message, "id", expected="an id of its own", found=found)


@rule("CI012", "duplicate-category-name", Severity.ERROR, Fix.UNSAFE, on=TABLES)
def duplicate_category_name(file: JsonFile) -> Iterator[Hit]:
    """Two categories have the same name.

    mmdet finds categories by name: both ids get one label, or one is lost, depending on the version. The unsafe fix
    gives the later one's objects to the first and removes the later one.
    """
    first: dict[str, Category] = {}
    for category in file.categories:
        if category.name is None or first.setdefault(category.name, category) is category:
            continue
        into = first[category.name]
        if category.id is not None and category.id == into.id:
            continue  # CI011
        edits = partial(_into_one, file, category, into) if None not in (category.id, into.id) else ()
        message, found = f"two categories are called {category.name!r}", f"ids {into.id} and {category.id}"
        yield file.category_hit(category, message, "name", expected="one category a name", found=found, edits=edits)


def _into_one(file: JsonFile, category: Category, into: Category) -> list[Edit]:
    edits: list[Edit] = [SetValue(file.path, at, into.id) for at, _ in file.category_pointers([category.id or 0])]
    return [*edits, Remove(file.path, f"/categories/{category.index}")]


@rule("CI013", "category-name-whitespace-or-case-clash", Severity.WARNING, Fix.SAFE, on=TABLES)
def category_name_clash(file: JsonFile) -> Iterator[Hit]:
    """A category's name has white space around it, or differs from another only by case or white space.

    `"car "` is not `"car"`: a class list typed by hand matches nothing, mmdet silently drops the class, and in a report
    the two cannot be told apart. The fix removes the white space where no other category then has the name. Names that
    differ only by case may be one class or two; only you know.
    """
    names = {category.name for category in file.categories}
    folded: dict[str, Category] = {}
    for category in file.categories:
        name = category.name or ""
        clean = " ".join(name.split())
        twin = folded.setdefault(clean.casefold(), category) if clean else category  # without a name: CI003
        message, expected, edits = f"the category's name {name!r} has white space around it", repr(clean), []
        if twin is not category and twin.name != name:
            message = f"the category's name {name!r} differs from {twin.name!r} only by case or white space"
            expected = "names that differ in more"
        elif not clean or name == name.strip():
            continue
        elif name.strip() not in names:
            edits = [SetValue(file.path, f"/categories/{category.index}/name", name.strip())]
        yield file.category_hit(category, message, "name", expected=expected, found=repr(name), edits=edits)


@rule("CI014", "category-id-zero", Severity.WARNING, Fix.SAFE, on="instances")
def category_id_zero(file: CocoFile) -> Iterator[Hit]:
    """A category has the id 0.

    Many trainers keep 0 for background, and lose the class or shift all others by one. The fix adds 1 to the ids from 0
    up to the first that is free, in categories and annotations. There is none where an object refers to a category that
    is not there, or where a panoptic file has the same ids.
    """
    if 0 in file.category_places:
        category = file.categories[file.category_places[0]]
        message = f"category {category.name!r} has the id 0, which many trainers take for background"
        free = next(number for number in itertools.count() if number not in file.category_places)
        edits = _renumbered(file, {old: old + 1 for old in range(free)})
        yield file.category_hit(category, message, "id", expected="ids from 1 on", found="0", edits=edits)


@rule("CI015", "category-ids-not-contiguous", Severity.INFO, Fix.SAFE, on="instances")
def category_ids_not_contiguous(file: CocoFile) -> Iterator[Hit]:
    """The categories' ids are not 1, 2, 3...

    That is valid, but a trainer that takes ids for labels fails on the first id above the number of classes. COCO's own
    lists, 80 ids up to 90 and 133 up to 200, are known everywhere and not reported. The fix numbers the categories from
    1 in the order of their ids, and the annotations with them; not where CI014's would not.
    """
    ids = sorted(each for each in file.category_places if each > 0)
    official = set(range(1, 91)) - OFFICIAL_GAPS
    if 0 in file.category_places or set(ids) in (official, official | OFFICIAL_STUFF, set(range(1, len(ids) + 1))):
        return
    if any(file.as_written(each) != each for each in ids) or any(each.id is None for each in file.categories):
        return  # CI003
    gaps = sorted(set(range(1, ids[-1] + 1)) - set(ids)) if ids[-1] < 10_000 else []
    message, expected = f"the {len(ids)} category ids are not 1 to {len(ids)}", f"1 to {len(ids)}"
    found = f"{ids[0]} to {ids[-1]}" + (f" without {first_few(gaps)}" if gaps else "")
    edits = _renumbered(file, {old: new for new, old in enumerate(ids, 1)})
    yield Hit(message, file.path, "/categories", expected=expected, found=found, edits=edits)


def _renumbered(file: CocoFile, new: dict[int, int]) -> Edits:
    """New ids, unless a reference has no category or a panoptic file shares the ids."""
    if unknown_references(file) or (file.part is not None and file.part.panoptic is not None):
        return ()
    moved = {old: number for old, number in new.items() if old != number}
    own = [(f"/categories/{each.index}/id", each.id or 0) for each in file.categories if each.id in moved]
    return lambda: [SetValue(file.path, at, moved[old]) for at, old in (*own, *file.category_pointers(moved))]


def _used(file: JsonFile, category: Category) -> list[int]:
    """Rows of annotations (panoptic: segments) of a category."""
    return np.flatnonzero(file.objects.has_category_id & (file.objects.category_ids == category.id)).tolist()


@rule("CI016", "background-as-category", Severity.WARNING, Fix.SAFE, on=TABLES)
def background_as_category(file: JsonFile) -> Iterator[Hit]:
    """The background is among the categories (`_background_`, `background`, `bg`).

    mmdet gives it a label: the class count is one too high, and every model has a class without objects. CVAT's and
    VOC's label lists have it. The fix removes it where no object of any split uses it; the unsafe fix removes such
    objects too.
    """
    others = [other for other in (file.part.dataset.json_files if file.part is not None else ()) if other is not file]
    for category in file.categories:
        if category.name is None or not is_background(category.name):
            continue
        rows = _used(file, category)
        alike = ((other, each) for other in others for each in other.categories if each.name == category.name)
        used = rows or any(_used(other, each) for other, each in alike)
        edits: list[Edit] = [Remove(file.path, f"/categories/{category.index}")]
        if isinstance(file, CocoFile):
            edits += [Remove(file.path, f"/annotations/{row}") for row in rows]
        elif rows:
            edits = []
        message = f"{category.name!r} is not a class" + (f", and {len(rows):,} objects use it" if rows else "")
        more = {"expected": "classes that have objects", "found": repr(category.name)}
        yield file.category_hit(category, message, edits=edits, fix=Fix.UNSAFE if used else None, **more)


@rule("CI017", "unused-category", Severity.WARNING, Fix.UNSAFE, on="dataset")
def unused_category(dataset: DataSet) -> Iterator[Hit]:
    """Categories have no object in any split.

    The model gets classes that nothing teaches, and their AP is -1 or 0 in every table. A class that has objects in one
    split only is SP003 or SP005. The unsafe fix removes them from every file.
    """
    files = dataset.json_files
    told = {each.name for file in files for each in file.categories if _used(file, each)}
    for file in files:
        if not file.has["annotations"] or not file.objects.count:
            continue
        unused: dict[str, Category] = {}
        for category in file.categories:
            name = category.name
            if name is None or name in told or is_background(name):
                continue
            if category.id is not None and file.category_index(category.id) == category.index:  # else CI003, CI011
                unused.setdefault(name, category)
        if unused:
            told.update(unused)
            yield _unused_hit(dataset, file, unused)


def _unused_hit(dataset: DataSet, file: JsonFile, unused: dict[str, Category]) -> Hit:
    everywhere = ((other, each) for other in dataset.json_files for each in other.categories if each.name in unused)
    edits = [Remove(other.path, f"/categories/{each.index}") for other, each in everywhere]
    where, expected = " in any split" if len(dataset.parts) > 1 else "", "at least one object of each"
    shown = first_few(list(map(repr, unused)))
    if len(unused) == 1:
        (category,) = unused.values()
        message, found = f"no object is a {shown}", "none" + where
        return file.category_hit(category, message, found=found, expected=expected, edits=edits)
    message, found = f"no object is of these {len(unused)} classes: {shown}", f"{len(unused)} unused categories"
    return Hit(message, file.path, "/categories", found=found, expected=expected, edits=edits)
