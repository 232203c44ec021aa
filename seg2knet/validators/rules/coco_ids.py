"""CI004 to CI010: ids, and what refers to them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Union

import numpy as np

from seg2knet.validators.model import Edit, Fix, Hit, Remove, SetValue, Severity, rule
from seg2knet.validators.subjects.files import CocoFile, JsonFile, PanopticFile

TABLES = ("instances", "panoptic")


def repeated(ids: np.ndarray, there: np.ndarray) -> Iterator[tuple[int, int]]:
    """(row, first row with that id) for every row whose id an earlier one has."""
    rows = np.flatnonzero(there)
    _, first, inverse = np.unique(ids[rows], return_index=True, return_inverse=True)
    again = np.flatnonzero(first[inverse] != np.arange(len(rows)))
    for place in again.tolist():
        yield int(rows[place]), int(rows[first[inverse[place]]])


@rule("CI004", "duplicate-image-id", Severity.ERROR, Fix.UNSAFE, on=TABLES)
def duplicate_image_id(file: JsonFile) -> Iterator[Hit]:
    """Two images have the same id.

    pycocotools keeps the last and forgets the others, so that the objects of one picture are laid over another.

    The unsafe fix takes the later entry out where both name the same file; else it gives the later one a new id, and
    all objects stay with the first, for nothing says whose they are.
    """
    largest = int(file.images.ids[file.images.has_id].max(initial=0))
    for count, (row, first) in enumerate(repeated(file.images.ids, file.images.has_id), 1):
        same = file.images.names[row] == file.images.names[first]
        edits: list[Edit] = [SetValue(file.path, f"/images/{row}/id", largest + count)]
        if same:
            edits = [Remove(file.path, f"/images/{row}")]
        yield file.image_hit(
            row,
            f"image id {file.shown_id(file.images.ids, file.images.has_id, row)} is that of an earlier image too",
            "id",
            expected="an id of its own",
            found=f"the id of {file.images.names[first]!r}",
            edits=edits,
        )


@rule("CI005", "duplicate-file-name", Severity.ERROR, Fix.UNSAFE, on=TABLES)
def duplicate_file_name(file: JsonFile) -> Iterator[Hit]:
    """Two images have the same file name.

    One picture is trained on twice, each time with the objects of the other entry counted as background; in an
    evaluation every right detection on it is a false positive once.

    The unsafe fix takes the later entry out and gives its objects to the first.
    """
    first: dict[str, int] = {}
    for row, name in enumerate(file.images.names):
        if name is None:
            continue
        if name not in first:
            first[name] = row
            continue
        if file.images.has_id[row] and file.images.ids[row] == file.images.ids[first[name]]:
            continue  # the same entry twice: CI004 says so
        yield file.image_hit(
            row,
            "an earlier image has the same file name",
            "file_name",
            expected="one entry a picture",
            found=f"also image {file.shown_id(file.images.ids, file.images.has_id, first[name])}",
            edits=partial(_merged, file, row, first[name]),
        )


def _merged(file: JsonFile, row: int, into: int) -> list[Edit]:
    edits: list[Edit] = [Remove(file.path, f"/images/{row}")]
    if not (file.images.has_id[row] and file.images.has_id[into]):
        return edits if not file.images.has_id[row] else []
    if isinstance(file, PanopticFile):
        # A picture has one PNG: the later entry's cannot be laid over the first's.
        entries = np.flatnonzero(file.image_rows == row).tolist()
        return edits + [Remove(file.path, f"/annotations/{entry}") for entry in entries]
    if isinstance(file, CocoFile):
        target = int(file.images.ids[into])
        rows = np.flatnonzero(file.image_rows == row).tolist()
        edits += [SetValue(file.path, f"/annotations/{each}/image_id", target) for each in rows]
    return edits


@rule("CI006", "duplicate-annotation-id", Severity.ERROR, Fix.SAFE, on="instances")
def duplicate_annotation_id(file: CocoFile) -> Iterator[Hit]:
    """Two annotations have the same id.

    pycocotools keeps the last under that id: the others are lost to everything that looks objects up by id, and the
    evaluation matches predictions against one object under another's name.

    The fix gives the later ones new ids, counted on from the largest. Nothing refers to annotation ids.
    """
    table = file.annotations
    for row, first in repeated(table.ids, table.has_id & (table.ids != 0)):
        yield file.hit(
            row,
            "an earlier annotation has the same id",
            "id",
            expected="an id of its own",
            found=f"the id of annotation /annotations/{first}",
            edits=[SetValue(file.path, f"/annotations/{row}/id", file.fresh_ids[row])],
        )


@rule("CI007", "annotation-id-zero", Severity.ERROR, Fix.SAFE, on="instances")
def annotation_id_zero(file: CocoFile) -> Iterator[Hit]:
    """An annotation has the id 0.

    pycocotools notes for each prediction the id of the object that it matched, and takes 0 for none: perfect
    predictions score below 1.

    The fix gives it a new id, counted on from the largest.
    """
    table = file.annotations
    for row in np.flatnonzero(table.has_id & (table.ids == 0)).tolist():
        yield file.hit(
            row,
            "annotation id 0: pycocotools takes a match with it for no match",
            "id",
            expected="an id from 1 on",
            found="0",
            edits=[SetValue(file.path, f"/annotations/{row}/id", file.fresh_ids[row])],
        )


@rule("CI008", "missing-annotation-id", Severity.ERROR, Fix.SAFE, on="instances")
def missing_annotation_id(file: CocoFile) -> Iterator[Hit]:
    """An annotation has no id.

    pycocotools stops with `KeyError: 'id'`.

    The fix gives it one, counted on from the largest.
    """
    table = file.annotations
    wrong = {fault.pointer for fault in file.reading.faults}
    for row in np.flatnonzero(~table.has_id & table.usable).tolist():
        if f"/annotations/{row}/id" in wrong:
            continue
        yield file.hit(
            row,
            "an annotation without an id",
            expected="an integer from 1 on",
            found="nothing",
            edits=[SetValue(file.path, f"/annotations/{row}/id", file.fresh_ids[row])],
        )


@rule("CI009", "unknown-image-ref", Severity.ERROR, Fix.UNSAFE, on=TABLES)
def unknown_image_ref(file: Union[CocoFile, PanopticFile]) -> Iterator[Hit]:
    """An annotation refers to an image that the file does not have, or to none.

    Trainers leave such objects out in silence; `coco.loadImgs` stops with a `KeyError`. Usually a file was cut down to
    fewer images and its annotations were not.

    The unsafe fix takes the annotation out.
    """
    if not file.has["images"]:
        return
    table = file.annotations if isinstance(file, CocoFile) else file.entries
    wrong = {fault.pointer for fault in file.reading.faults}
    for row in np.flatnonzero((file.image_rows < 0) & table.usable).tolist():
        if not table.has_image_id[row] and f"/annotations/{row}/image_id" in wrong:
            continue
        found = str(file.as_written(int(table.image_ids[row]))) if table.has_image_id[row] else "nothing"
        message = f"no image has the id {found}" if table.has_image_id[row] else "an annotation without an image_id"
        more = {"expected": "the id of an image of this file", "found": found}
        edits = [Remove(file.path, f"/annotations/{row}")]
        if isinstance(file, CocoFile):
            yield file.hit(row, message, "image_id", edits=edits, **more)
        else:
            yield file.entry_hit(row, message, "image_id", edits=edits, **more)


@rule("CI010", "unknown-category-ref", Severity.ERROR, Fix.UNSAFE, on=TABLES)
def unknown_category_ref(file: Union[CocoFile, PanopticFile]) -> Iterator[Hit]:
    """An annotation (or panoptic segment) refers to a category that the file does not have, or to none.

    mmdet leaves such objects out in silence, others stop with a `KeyError`. Often the ids were counted from 0 in one
    place and from 1 in another.

    The unsafe fix takes the annotation out; a segment is left, for its pixels are still in the PNG.
    """
    if not file.has["categories"]:
        return
    wrong = {fault.pointer for fault in file.reading.faults}
    if isinstance(file, CocoFile):
        table = file.annotations
        for row in np.flatnonzero((file.category_indices < 0) & table.usable).tolist():
            if not table.has_category_id[row] and f"/annotations/{row}/category_id" in wrong:
                continue
            message, found = _category_words(file, bool(table.has_category_id[row]), int(table.category_ids[row]))
            yield file.hit(
                row,
                message,
                "category_id",
                expected=_category_range(file),
                found=found,
                edits=[Remove(file.path, f"/annotations/{row}")],
            )
        return
    segments = file.segments
    known = np.array(sorted(file.category_places), np.int64)
    for row in np.flatnonzero(~(segments.has_category_id & np.isin(segments.category_ids, known))).tolist():
        message, found = _category_words(file, bool(segments.has_category_id[row]), int(segments.category_ids[row]))
        pointer = f"{file.segment_pointer(row)}/category_id"
        if not segments.has_category_id[row] and pointer in wrong:
            continue
        yield file.segment_hit(row, message, "category_id", expected=_category_range(file), found=found, fix=Fix.NONE)


def _category_words(file: JsonFile, there: bool, number: int) -> tuple[str, str]:
    if not there:
        return "no category_id", "nothing"
    return f"no category has the id {file.as_written(number)}", str(file.as_written(number))


def _category_range(file: JsonFile) -> str:
    ids = sorted(file.category_places)
    return f"one of the {len(ids)} ids from {ids[0]} to {ids[-1]}" if ids else "the id of a category of this file"
