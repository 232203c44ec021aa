"""CI001 to CI010 and CI045: the JSON itself, its tables, ids and what refers to them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Union

import numpy as np
from msgspec import UNSET

from seg2knet.dataset.coco_json import LISTS
from seg2knet.dataset.images import probe
from seg2knet.errors import DataError
from seg2knet.validators.fixing import repairs
from seg2knet.validators.model import Edit, Fix, Hit, Remove, SetValue, Severity, WriteFile, rule
from seg2knet.validators.rules.coco_shapes import written_otherwise
from seg2knet.validators.subjects.document import kind_of, shown
from seg2knet.validators.subjects.files import CocoFile, JsonFile, PanopticFile, once
from seg2knet.validators.subjects.measure import USELESS
from seg2knet.validators.subjects.outlines import FLAT, WRONG_TYPE
from seg2knet.validators.subjects.records import TypeFault

TABLES = ("instances", "panoptic")


@rule("CI001", "json-unreadable", Severity.ERROR, Fix.SAFE, on=TABLES)
def json_unreadable(file: JsonFile) -> Iterator[Hit]:
    """The file is not valid JSON (RFC 8259).

    Every loader stops at it, usually with a traceback that does not name the file. Line and column are given. `NaN` and
    `Infinity`, which Python writes and other parsers refuse, are reported where they stand (CI023).

    A file that is something else (gzip, HTML, a Git LFS pointer) is named, and a key that is there twice in one object.

    The fix removes a byte order mark, as Windows editors write it, and saves the same text as plain UTF-8. Text in
    another encoding is not read any further; the unsafe fix takes it for Windows-1252. All else would be guessing.
    """
    for fault in file.faults:
        message = f"not readable as JSON: {fault.message}" + (f" ({fault.place})" if fault.place else "")
        repair = fault.repair
        edits = [WriteFile(file.path, partial(bytes, repair), fault.what)] if repair is not None else []
        fix = Fix.UNSAFE if fault.guessed else None
        yield Hit(message, file.path, expected="JSON in UTF-8", found=fault.message, edits=edits, fix=fix)
    for pointer, key in file.repeated_keys() if file.keys is not None and not file.faults else ():
        message = f"the key {key!r} is there twice; readers keep the last"
        yield Hit(message, file.path, pointer, expected="each key once", found=f"{key!r} twice")


@rule("CI002", "missing-top-level-key", Severity.ERROR, on=TABLES)
def missing_top_level_key(file: JsonFile) -> Iterator[Hit]:
    """`images`, `annotations` or `categories` is missing at the top level.

    pycocotools fails with a bare `KeyError`, or silently loads nothing. A misspelt key (`annotation`, `categoryes`) is
    named; or the file is not a data set but a list of results.
    """
    if file.keys is None:
        if file.top:
            message = "not a COCO data set: the top level is not an object with images, annotations and categories"
            yield Hit(message, file.path, expected="an object", found=file.top)
        return
    for key in (key for key in LISTS if key not in file.keys):
        close = difflib.get_close_matches(key, [other for other in file.keys if other not in LISTS], 1, 0.75)
        found = f"{close[0]!r}" if close else ", ".join(map(repr, file.keys)) or "an empty object"
        message = f"no {key!r} at the top level" + (f"; {close[0]!r} looks like it" if close else "")
        yield Hit(message, file.path, expected=repr(key), found=found)


@rule("CI003", "wrong-field-type", Severity.ERROR, Fix.SAFE, on=TABLES)
def wrong_field_type(file: Union[CocoFile, PanopticFile]) -> Iterator[Hit]:
    """A field has the wrong type, or a required field is missing.

    `"image_id": "7"` matches no image with the id 7: objects vanish silently. JavaScript tools and spreadsheets write
    such files. Ids that are words (`"img_7"`) break every loader that puts ids into an array.

    The fix writes the same value in the right type; words become numbers above every id and reference in the file, the
    same word the same number everywhere, and a segmentation as OpenCV, VIA or Python (`"b'...'"`) write it becomes what
    COCO reads. A value that is not a number at all stays, and so does a boolean: nothing says which id it was.
    """
    yield from (_type_hit(file, fault) for fault in file.reading.faults if not _boolean_crowd(fault))
    yield from _missing_fields(file)
    if isinstance(file, CocoFile):
        yield from _segmentations(file)
        for row in np.flatnonzero(file.annotations.has_crowd & ~np.isin(file.annotations.crowd, (0, 1))).tolist():
            found = str(file.annotations.crowd[row])
            yield file.hit(row, "iscrowd is neither 0 nor 1", "iscrowd", expected="0 or 1", found=found)


def _boolean_crowd(fault: TypeFault) -> bool:
    return fault.pointer.endswith("/iscrowd") and fault.found.startswith("a boolean")


@rule("CI045", "iscrowd-boolean", Severity.WARNING, Fix.SAFE, on=TABLES)
def boolean_crowds(file: JsonFile) -> Iterator[Hit]:
    """`iscrowd` is `true` or `false`, and not 1 or 0.

    Python's readers take one for the other; readers in other languages refuse the file. The fix writes 1 and 0.
    """
    faults = [fault for fault in file.reading.faults if _boolean_crowd(fault)]
    if faults:
        edits = [SetValue(file.path, fault.pointer, fault.value) for fault in faults]
        message = f"iscrowd is a boolean, {len(faults):,} times"
        yield Hit(message, file.path, faults[0].pointer, expected="0 or 1", found=faults[0].found, edits=edits)


def _type_hit(file: Union[CocoFile, PanopticFile], fault: TypeFault) -> Hit:
    value = fault.value
    if fault.word is not None:
        number = file.number_of(fault.word, fault.pointer)
        value = UNSET if number is None else number
    _, table, *steps = fault.pointer.split("/")
    row = int(steps[0]) if steps and steps[0].isdecimal() else -1
    if value is UNSET and table == "annotations" and steps[1:] == ["id"] and isinstance(file, CocoFile):
        value = file.fresh_ids.get(row, UNSET)
    key = (steps or [table])[-1]
    message = f"{'element' if key.isdecimal() else key} has the wrong type"
    at_row = {"images": file.image_hit, "annotations": file.hit}.get(table)
    hit = at_row(row, message) if at_row is not None and row >= 0 else Hit(message, file.path)
    boolean = fault.found.startswith("a boolean") and key != "isthing"
    edits = () if value is UNSET or boolean else [SetValue(file.path, fault.pointer, value)]
    return replace(hit, pointer=fault.pointer, expected=fault.expected, found=fault.found, edits=edits)


def _missing_fields(file: JsonFile) -> Iterator[Hit]:
    images = file.images
    named = np.fromiter((bool(name and name.strip()) for name in images.names), bool, images.count)
    fields = {
        "id": (images.has_id, "an integer"),
        "file_name": (named, "a string"),
        "width": (images.widths > 0, "an integer above 0"),
        "height": (images.heights > 0, "an integer above 0"),
    }
    lacking = ~np.logical_and.reduce([there for there, _ in fields.values()])
    for row in np.flatnonzero(lacking & images.usable).tolist():
        for key, (there, expected) in fields.items():
            if not there[row] and f"/images/{row}/{key}" not in file.fault_pointers:
                message, edits = f"an image without a usable {key}", _size_edits(file, row, key)
                yield file.image_hit(row, message, key, expected=expected, found="nothing usable", edits=edits)
    for category in file.categories:
        for key, value, expected in (("id", category.id, "an integer"), ("name", category.name, "a string")):
            missing = value is None or not str(value).strip()
            if missing and category.usable and f"/categories/{category.index}/{key}" not in file.fault_pointers:
                message = f"a category without a usable {key}"
                yield file.category_hit(category, message, key, expected=expected, found="nothing usable")


def _size_edits(file: JsonFile, row: int, key: str) -> list[Edit]:
    place = file.part.image_path(file.images.names[row]) if file.part is not None else None
    try:
        sides = dict(zip(("width", "height"), probe(place or "").shown))
    except DataError:
        return []
    return [SetValue(file.path, f"/images/{row}/{key}", sides[key])] if key in sides else []


def _segmentations(file: CocoFile) -> Iterator[Hit]:
    expected = "a list of polygons [[x, y, x, y, ...]], or an object with size and counts"
    shapes = file.shapes
    odd = (shapes.flags & (FLAT | WRONG_TYPE) != 0) | (shapes.kinds == USELESS)
    for row in np.flatnonzero(odd | once(file, written_otherwise)).tolist():
        value = file.segmentation(row)
        meant, written = repairs.meant_by(value)
        edits = [SetValue(file.path, f"/annotations/{row}/segmentation", meant)] if meant is not None else []
        message = f"a segmentation written as {written}" if edits else "not a segmentation that COCO knows"
        found = f"{kind_of(value)}: {shown(value)}"
        yield file.hit(row, message, "segmentation", expected=expected, found=found, edits=edits)


def repeated(ids: np.ndarray, there: np.ndarray) -> Iterator[tuple[int, int]]:
    """(row, first row with that id) for every row whose id an earlier one has."""
    rows = np.flatnonzero(there)
    _, first, inverse = np.unique(ids[rows], return_index=True, return_inverse=True)
    again = first[inverse] != np.arange(len(rows))
    yield from zip(rows[again].tolist(), rows[first[inverse][again]].tolist())


@rule("CI004", "duplicate-image-id", Severity.ERROR, Fix.UNSAFE, on=TABLES)
def duplicate_image_id(file: JsonFile) -> Iterator[Hit]:
    """Two images have the same id.

    pycocotools keeps the last one, so that the objects of one image are laid over another. The unsafe fix removes the
    later entry where both name the same file; else it gives the later one a new id. All objects stay with the first.
    """
    images, largest = file.images, file.largest_image_id
    for count, (row, first) in enumerate(repeated(images.ids, images.has_id), 1):
        edit: Edit = SetValue(file.path, f"/images/{row}/id", largest + count)
        if images.names[row] == images.names[first]:
            edit = Remove(file.path, f"/images/{row}")
        message = f"an earlier image has the id {file.shown_id(images.ids, images.has_id, row)} too"
        found = f"the id of {images.names[first]!r}"
        yield file.image_hit(row, message, "id", expected="an id of its own", found=found, edits=[edit])


@rule("CI005", "duplicate-file-name", Severity.ERROR, Fix.UNSAFE, on=TABLES)
def duplicate_file_name(file: JsonFile) -> Iterator[Hit]:
    """Two images have the same file name.

    The image is trained on twice, each time with the objects of the other entry as background; in an evaluation every
    correct detection on it counts as a false positive once. The unsafe fix gives its objects to the first.
    """
    images = file.images
    first: dict[str, int] = {}
    for row, name in enumerate(images.names):
        into = row if name is None else first.setdefault(name, row)
        if into == row or (images.has_id[row] and images.ids[row] == images.ids[into]):
            continue  # the first, or CI004
        message, edits = "an earlier image has the same file name", partial(_merged, file, row, into)
        expected, found = "one entry for each image", f"also image {file.shown_id(images.ids, images.has_id, into)}"
        yield file.image_hit(row, message, "file_name", expected=expected, found=found, edits=edits)


def _merged(file: JsonFile, row: int, into: int) -> list[Edit]:
    edits: list[Edit] = [Remove(file.path, f"/images/{row}")]
    if not (file.images.has_id[row] and file.images.has_id[into]):
        return edits if not file.images.has_id[row] else []
    target, rows = int(file.images.ids[into]), np.flatnonzero(file.image_rows == row).tolist()
    if isinstance(file, PanopticFile):  # an image has one PNG: the later entry's cannot be laid over the first's
        return edits + [Remove(file.path, f"/annotations/{entry}") for entry in rows]
    return edits + [SetValue(file.path, f"/annotations/{each}/image_id", target) for each in rows]


def _id_hit(file: CocoFile, row: int, message: str, expected: str, found: str) -> Hit:
    edits = [SetValue(file.path, f"/annotations/{row}/id", file.fresh_ids[row])]
    return file.hit(row, message, "id", expected=expected, found=found, edits=edits)


@rule("CI006", "duplicate-annotation-id", Severity.ERROR, Fix.SAFE, on="instances")
def duplicate_annotation_id(file: CocoFile) -> Iterator[Hit]:
    """Two annotations have the same id.

    pycocotools keeps the last one: the others are lost to everything that looks objects up by id, and the evaluation
    matches predictions with the wrong object. The fix gives the later ones new ids above the largest; nothing refers to
    them.
    """
    table = file.annotations
    for row, first in repeated(table.ids, table.has_id & (table.ids != 0)):
        found = f"the id of annotation /annotations/{first}"
        yield _id_hit(file, row, "an earlier annotation has the same id", "an id of its own", found)


@rule("CI007", "annotation-id-zero", Severity.ERROR, Fix.SAFE, on="instances")
def annotation_id_zero(file: CocoFile) -> Iterator[Hit]:
    """An annotation has the id 0.

    pycocotools notes for each prediction the id of the object it matched, with 0 for none: perfect predictions score
    below 1. The fix gives it a new id above the largest.
    """
    for row in np.flatnonzero(file.annotations.has_id & (file.annotations.ids == 0)).tolist():
        yield _id_hit(file, row, "annotation id 0: pycocotools counts a match with it as none", "an id above 0", "0")


@rule("CI008", "missing-annotation-id", Severity.ERROR, Fix.SAFE, on="instances")
def missing_annotation_id(file: CocoFile) -> Iterator[Hit]:
    """An annotation has no id.

    pycocotools stops with `KeyError: 'id'`. The fix gives it a new id above the largest.
    """
    for row in np.flatnonzero(~file.annotations.has_id & file.annotations.usable).tolist():
        if f"/annotations/{row}/id" not in file.fault_pointers:
            yield _id_hit(file, row, "an annotation without an id", "an integer above 0", "nothing")


@rule("CI009", "unknown-image-ref", Severity.ERROR, Fix.UNSAFE, on=TABLES)
def unknown_image_ref(file: Union[CocoFile, PanopticFile]) -> Iterator[Hit]:
    """An annotation refers to an image that the file does not have, or to none.

    Trainers skip such objects silently; `coco.loadImgs` stops with a `KeyError`. Usually the file was reduced to fewer
    images and its annotations were not. The unsafe fix removes the annotation.
    """
    if not file.has["images"]:
        return
    table = file.referring
    for row in np.flatnonzero((file.image_rows < 0) & table.usable).tolist():
        there = bool(table.has_image_id[row])
        if not there and f"/annotations/{row}/image_id" in file.fault_pointers:
            continue
        found = str(file.as_written(int(table.image_ids[row]))) if there else "nothing"
        message = f"no image has the id {found}" if there else "an annotation without an image_id"
        edits = [Remove(file.path, f"/annotations/{row}")]
        yield file.hit(row, message, "image_id", expected="the id of an image of this file", found=found, edits=edits)


@rule("CI010", "unknown-category-ref", Severity.ERROR, Fix.UNSAFE, on=TABLES)
def unknown_category_ref(file: Union[CocoFile, PanopticFile]) -> Iterator[Hit]:
    """An annotation (or panoptic segment) refers to a category that the file does not have, or to none.

    mmdet skips such objects silently, others stop with a `KeyError`. Often the ids count from 0 in one place and from 1
    in another. The unsafe fix removes the annotation. A segment stays, because its pixels are still in the PNG.
    """
    if not file.has["categories"]:
        return
    table, hit = file.objects, file.hit if isinstance(file, CocoFile) else file.segment_hit
    known = np.array(sorted(file.category_places), np.int64)
    expected = f"one of the {len(known)} ids from {known[0]} to {known[-1]}" if len(known) else "the id of a category"
    unknown = ~(table.has_category_id & np.isin(table.category_ids, known))
    if isinstance(file, CocoFile):
        unknown &= file.annotations.usable
    for row in np.flatnonzero(unknown).tolist():
        there = bool(table.has_category_id[row])
        found = str(file.as_written(int(table.category_ids[row]))) if there else "nothing"
        message = f"no category has the id {found}" if there else "no category_id"
        made = hit(row, message, "category_id", expected=expected, found=found)
        if isinstance(file, CocoFile):
            made = replace(made, edits=[Remove(file.path, f"/annotations/{row}")])
        if there or made.pointer not in file.fault_pointers:
            yield made
