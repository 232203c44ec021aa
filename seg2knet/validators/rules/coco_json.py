"""CI001 to CI003: is it JSON, are the tables there, are the values of the right type."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from functools import partial

import numpy as np
from msgspec import UNSET

from seg2knet.validators.model import Edit, Fix, Hit, SetValue, Severity, WriteFile, rule
from seg2knet.validators.subjects.document import kind_of, shown
from seg2knet.validators.subjects.files import KEYS, CocoFile, JsonFile, PanopticFile
from seg2knet.validators.subjects.measure import USELESS
from seg2knet.validators.subjects.outlines import FLAT, WRONG_TYPE
from seg2knet.validators.subjects.records import TypeFault, Words

TABLES = ("instances", "panoptic")


@rule("CI001", "json-unreadable", Severity.ERROR, Fix.SAFE, on=TABLES)
def json_unreadable(file: JsonFile) -> Iterator[Hit]:
    """The file is not JSON as RFC 8259 has it.

    Every loader stops at it, mostly with a traceback that does not name the file. Line and column are given; `NaN`
    and `Infinity`, which Python writes and others refuse, are not reported here but where they stand (CI023).

    A byte order mark, as Windows editors put in front of a file, is the one such defect that can be mended without a
    guess: the fix saves the same text as plain UTF-8.
    """
    for fault in file.faults:
        message = f"not readable as JSON: {fault.message}" + (f" ({fault.place})" if fault.place else "")
        edits: list[Edit] = []
        if fault.repair is not None:
            edits.append(WriteFile(file.path, partial(bytes, fault.repair), fault.what))
        yield Hit(message, file.path, expected="JSON in UTF-8", found=fault.message, edits=edits)


@rule("CI002", "missing-top-level-key", Severity.ERROR, on=TABLES)
def missing_top_level_key(file: JsonFile) -> Iterator[Hit]:
    """`images`, `annotations` or `categories` is missing at the top of the file.

    pycocotools fails with a bare `KeyError`, or loads nothing and says nothing. Often the key is there under a name
    misspelt (`annotation`, `categoryes`), which is then named; or the file is not a data set at all but a list of
    results.
    """
    if file.keys is None:
        if file.top:
            yield Hit(
                "no COCO data set: the top of the file is not an object with images, annotations and categories",
                file.path,
                expected="an object",
                found=file.top,
            )
        return
    for key in KEYS:
        if key not in file.keys:
            close = difflib.get_close_matches(key, [each for each in file.keys if each not in KEYS], 1, 0.75)
            found = f"{close[0]!r}" if close else ", ".join(repr(each) for each in file.keys) or "an empty object"
            message = f"no {key!r} at the top of the file" + (f"; {close[0]!r} looks like it" if close else "")
            yield Hit(message, file.path, expected=repr(key), found=found)


@rule("CI003", "wrong-field-type", Severity.ERROR, Fix.SAFE, on=TABLES)
def wrong_field_type(file: JsonFile) -> Iterator[Hit]:
    """A field has the wrong type, or one that must be there is not.

    `"image_id": "7"` matches no image with the id 7, and `"iscrowd": true` no comparison with 1: objects vanish
    without a word. Tools of the JavaScript world and spreadsheets write such files. Ids that are words (`"img_7"`)
    break every loader that puts ids into an array.

    The fix writes the same value in the right type; words become numbers after the largest id there is, wherever they
    stand. What says no number at all is left to you.
    """
    for fault in file.reading.faults:
        yield _type_hit(file, fault)
    yield from _absent(file)
    if isinstance(file, CocoFile):
        yield from _segmentations(file)


def _type_hit(file: JsonFile, fault: TypeFault) -> Hit:
    value = fault.value
    if fault.word is not None:
        value = file.number_of(fault.word, fault.pointer)
    steps = fault.pointer.split("/")
    if value is UNSET and fault.pointer.endswith("/id") and steps[1] == "annotations" and isinstance(file, CocoFile):
        value = file.fresh_ids.get(int(steps[2]), UNSET)
    edits: list[Edit] = [] if value is UNSET else [SetValue(file.path, fault.pointer, value)]
    message = f"{steps[-1] if not steps[-1].isdecimal() else 'element'} has the wrong type"
    base = Hit(message, file.path, fault.pointer)
    row = int(steps[2]) if len(steps) > 2 and steps[2].isdecimal() else -1
    if isinstance(file, CocoFile) and steps[1] == "annotations" and row >= 0:
        base = file.hit(row, message)
    elif isinstance(file, PanopticFile) and steps[1] == "annotations" and row >= 0:
        base = file.entry_hit(row, message)
    elif steps[1] == "images" and row >= 0:
        base = file.image_hit(row, message)
    return Hit(
        message,
        file.path,
        fault.pointer,
        base.image_id,
        base.image_name,
        base.annotation_id,
        expected=fault.expected,
        found=fault.found,
        edits=edits,
    )


def _absent(file: JsonFile) -> Iterator[Hit]:
    """Fields of images and categories that nothing works without."""
    known = {fault.pointer for fault in file.reading.faults}
    images = file.images
    missing = ~images.has_id | (images.widths < 1) | (images.heights < 1)
    missing |= np.fromiter((name is None for name in images.names), bool, images.count)
    for row in np.flatnonzero(missing & images.usable).tolist():
        wanted = {
            "id": (images.has_id[row], "an integer"),
            "file_name": (images.names[row] is not None, "a string"),
            "width": (images.widths[row] > 0, "an integer above 0"),
            "height": (images.heights[row] > 0, "an integer above 0"),
        }
        for key, (there, expected) in wanted.items():
            if not there and f"/images/{row}/{key}" not in known:
                yield file.image_hit(
                    row,
                    f"an image without a usable {key}",
                    key,
                    expected=expected,
                    found="nothing of use",
                    edits=(partial(_size_edits, file, row, key)) if key in ("width", "height") else (),
                    fix=None if key in ("width", "height") and _on_disk(file, row) else Fix.NONE,
                )
    for category in file.categories:
        for key, value, expected in (("id", category.id, "an integer"), ("name", category.name, "a string")):
            if value is None and category.usable and f"/categories/{category.index}/{key}" not in known:
                message = f"a category without a usable {key}"
                yield file.category_hit(category, message, key, expected=expected, found="nothing of use")


def _on_disk(file: JsonFile, row: int) -> bool:
    place = file.part.picture(file.images.names[row]) if file.part is not None else None
    return place is not None and place.is_file()


def _size_edits(file: JsonFile, row: int, key: str) -> list[Edit]:
    from seg2knet.dataset.images import probe
    from seg2knet.errors import DataError

    place = file.part.picture(file.images.names[row]) if file.part is not None else None
    if place is None:
        return []
    try:
        width, height = probe(place).shown
    except DataError:
        return []
    return [SetValue(file.path, f"/images/{row}/{key}", width if key == "width" else height)]


def _segmentations(file: CocoFile) -> Iterator[Hit]:
    for row in np.flatnonzero((file.shapes.flags & (FLAT | WRONG_TYPE) != 0) | (file.shapes.kinds == USELESS)).tolist():
        value = file.segmentation(row)
        flat = bool(file.shapes.flags[row] & FLAT)
        edits = [SetValue(file.path, f"/annotations/{row}/segmentation", [value])] if flat else []
        message = "a polygon that does not stand in a list of polygons" if flat else "no segmentation that COCO knows"
        yield file.hit(
            row,
            message,
            "segmentation",
            expected="a list of polygons [[x, y, x, y, ...]], or an object with size and counts",
            found=f"{kind_of(value)}: {shown(value)}",
            edits=edits,
        )


__all__ = ["Words", "json_unreadable", "missing_top_level_key", "wrong_field_type"]
