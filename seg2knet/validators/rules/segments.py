"""CP007 to CP013 and CP017: segments and their pixels."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Optional

import numpy as np

from seg2knet.dataset.grouping import grouped
from seg2knet.dataset.label_image import AREA, HEIGHT, ID, WIDTH, X, Y
from seg2knet.validators.fixing.remakes import repainted
from seg2knet.validators.model import Edit, Fix, Hit, Remove, SetValue, Severity, WriteFile, rule
from seg2knet.validators.subjects.files import PanopticFile, once
from seg2knet.validators.subjects.panoptic import TOP, Pngs

_SLACK = 0.5


def _set(found: Pngs, segment: int, key: str, value: Any) -> SetValue:
    return SetValue(found.file.path, f"{found.file.pointer(segment)}/{key}", value)


def _remove(found: Pngs, segment: int) -> Remove:
    return Remove(found.file.path, found.file.pointer(segment))


def _other_png(found: Pngs) -> set[int]:
    """Entries whose PNG is likely another image's: it lacks more segments than it has, or boxes and areas differ."""
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
    other = once(found, _other_png)
    for segment in np.flatnonzero(found.checked & ~found.impossible & (found.match < 0)).tolist():
        entry, own = int(found.file.segments.entry[segment]), found.lost.get(segment)
        edits: list[Edit] = [_remove(found, segment)]
        message, shown = "the segment has no pixel in the PNG", "no pixel"
        if own is not None:
            edits = [_set(found, segment, "id", int(found.all_regions[own, ID]))]
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
            yield found.file.hit(entry, message, "segments_info", expected=expected, found=shown)


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
        return [_set(found, segment, "id", int(found.all_regions[found.lost[segment], ID]))]
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
    return [_set(found, segment, "id", fresh), WriteFile(path, partial(repainted, path, {0: fresh}), what)]


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
    for segment, region, fix in once(found, _measured):
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
    for segment, region, fix in once(found, _measured):
        box = found.file.segments.boxes[segment]
        if not np.abs(box - region[X:]).max() < _SLACK:
            shown = "none, or no box" if np.isnan(box).any() else str([float(f"{side:g}") for side in box])
            yield _wrong(found, segment, "the box is not that of the pixels", "bbox", region[X:].tolist(), shown, fix)


def _wrong(found: Pngs, segment: int, message: str, key: str, right: Any, shown: str, fix: Optional[Fix]) -> Hit:
    edits = [_set(found, segment, key, right)]
    return found.file.segment_hit(segment, message, key, expected=str(right), found=shown, edits=edits, fix=fix)


def _measured(found: Pngs) -> list[tuple[int, np.ndarray, Optional[Fix]]]:
    """Segments that have pixels of their own, each with its region, where area or box do not fit it, and the fix."""
    segments, other = found.file.segments, once(found, _other_png)
    rows = np.flatnonzero((found.match >= 0) & ~found.repeated)
    regions = found.all_regions[found.match[rows]]
    right = np.abs(segments.areas[rows] - regions[:, AREA]) < _SLACK
    right &= (np.abs(segments.boxes[rows] - regions[:, X:]) < _SLACK).all(axis=1)
    fixes = [Fix.UNSAFE if entry in other else None for entry in segments.entry[rows[~right]].tolist()]
    return list(zip(rows[~right].tolist(), regions[~right], fixes))


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
    rows = np.flatnonzero((found.thing == 0) & (segments.crowd == 0)).tolist()
    groups = grouped(((int(segments.entry[row]), int(segments.category_ids[row])), row) for row in rows)
    return grouped((entry, group) for (entry, _), group in groups.items() if len(group) > 1)


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
        edits.append(_set(found, keep, "area", int(table[:, AREA].sum())))
        edits.append(_set(found, keep, "bbox", [*start.tolist(), *(end - start).tolist()]))
        edits += [_remove(found, other) for other in others]
    what = f"made one segment of each stuff class in {path.name}"
    return [*edits, WriteFile(path, partial(repainted, path, new), what)]


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
