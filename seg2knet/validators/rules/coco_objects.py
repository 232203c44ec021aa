"""CI029 to CI031, CI039 to CI043, CI046, CI047, CI050: run-length encoded masks, crowds, duplicates, whole files."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Optional

import numpy as np

from seg2knet.dataset.coco_json import RleCode
from seg2knet.dataset.grouping import grouped
from seg2knet.dataset.rle import counts_to_runs, size_allowed
from seg2knet.errors import DataError
from seg2knet.validators.fixing import repairs
from seg2knet.validators.model import Fix, Hit, SetValue, Severity, rule
from seg2knet.validators.rules.coco_shapes import written_otherwise
from seg2knet.validators.rules.images import on_right_size
from seg2knet.validators.subjects.document import first_few, shown
from seg2knet.validators.subjects.files import CocoFile, once
from seg2knet.validators.subjects.measure import POLYGONS, shapes_in
from seg2knet.validators.subjects.outlines import CROSSING, INSIDE, RLE_BAD, RLE_SIZE, RLE_SUM, areas_before, beside
from seg2knet.validators.subjects.tables import array_of

SAME_IOU, OTHER_CLASS_IOU, NEAR_IOU = 0.98, 0.95, 0.9
MOST_PAIRS = 20_000
FEW, MANY = 10, 20
IMBALANCE, GREAT_IMBALANCE = 100, 2000


@rule("CI039", "iscrowd-missing", Severity.ERROR, Fix.SAFE, on="instances")
def iscrowd_missing(file: CocoFile) -> Iterator[Hit]:
    """`iscrowd` is missing.

    pycocotools' evaluation stops with `KeyError: 'iscrowd'`, hours after training began. The fix writes 0: one object.
    """
    for row in np.flatnonzero(~file.annotations.has_crowd & file.annotations.usable).tolist():
        pointer, message = f"/annotations/{row}/iscrowd", "an annotation without iscrowd"
        if pointer not in file.fault_pointers:
            edits = [SetValue(file.path, pointer, 0)]
            yield file.hit(row, message, "iscrowd", expected="0 or 1", found="nothing usable", edits=edits)


@rule("CI040", "suspicious-all-crowd", Severity.ERROR, Fix.SAFE, on="instances")
def suspicious_all_crowd(file: CocoFile) -> Iterator[Hit]:
    """Every annotation is a crowd (`iscrowd` 1).

    A crowd is a region of many objects that nobody drew one by one; trainers skip crowds, so that nothing is left to
    train on. Tools that write masks as RLEs set `iscrowd` to 1 because COCO's own crowds are written like that. The fix
    writes 0 everywhere; it is unsafe for a single annotation.
    """
    table = file.annotations
    if table.count and (table.has_crowd & (table.crowd == 1)).all():
        message, fix = f"all {table.count:,} annotations are crowds: trainers skip every one", Fix.UNSAFE
        more: dict[str, Any] = {"expected": "iscrowd 0 for objects", "found": "iscrowd 1 everywhere"}
        more["edits"] = lambda: [SetValue(file.path, f"/annotations/{row}/iscrowd", 0) for row in range(table.count)]
        yield Hit(message, file.path, "/annotations", fix=fix if table.count == 1 else None, **more)


@rule("CI041", "duplicate-annotation", Severity.WARNING, Fix.UNSAFE, on="instances")
def duplicate_annotation(file: CocoFile) -> Iterator[Hit]:
    """Two annotations of one class cover the same pixels (IoU of at least 0.98), or nearly (0.9).

    The object counts twice: one of the two can never be found, so recall has a ceiling, and in training two kernels are
    pulled to one object. Usually a file was merged with itself, or saved twice by a tool. The unsafe fix removes the
    later one of two that cover the same pixels. Of two that nearly do, which one is better cannot be told.
    """
    for first, second, iou in once(file, _coinciding)[0]:
        nearly, edits = ("", repairs.remove(file, second)) if iou >= SAME_IOU else ("nearly ", ())
        message = f"covers {nearly}the same pixels as annotation {_name(file, first)}"
        expected, found = "one annotation for each object", f"IoU {iou:.3f}, same class"
        yield file.hit(second, message, expected=expected, found=found, edits=edits)


@rule("CI046", "same-object-in-two-classes", Severity.WARNING, on="instances")
def same_object_in_two_classes(file: CocoFile) -> Iterator[Hit]:
    """Annotations of different classes cover the same pixels (IoU of at least 0.95).

    Each is a false answer to the other: the classes compete for one object, and one of the two never scores. Which
    class is right cannot be told. However many they are on one object, they are one finding.
    """
    for first, rows, iou in once(file, _coinciding)[1]:
        classes = file.annotations.category_ids
        second = next(row for row in rows if classes[row] != classes[first])
        indices = [int(file.category_indices[row]) for row in (first, second)]
        names = [repr(file.categories[index].name) if index >= 0 else "an unknown class" for index in indices]
        message = f"the same object as annotation {_name(file, first)}, there {names[0]} and here {names[1]}"
        message += f", and as {len(rows) - 1:,} more" if len(rows) > 1 else ""
        yield file.hit(second, message, "category_id", expected="one class for each object", found=f"IoU {iou:.3f}")


def _name(file: CocoFile, row: int) -> str:
    number = file.shown_id(file.annotations.ids, file.annotations.has_id, row)
    return f"/annotations/{row}" if number is None else str(number)


def _coinciding(file: CocoFile) -> tuple[list[tuple[int, int, float]], list[tuple[int, list[int], float]]]:
    """What covers the same pixels, crowds with crowds alone: (row, later row of its class, IoU of ``NEAR_IOU`` and
    more), each later row once; and (row, later rows of any class, least IoU), each later row in one group."""
    twins: list[tuple[int, int, float]] = []
    groups: list[tuple[int, list[int], float]] = []
    masks: dict[int, Optional[dict]] = {}
    classes, pairs = file.annotations.category_ids, _close_pairs(file)
    gone, told = np.zeros((2, len(classes)), bool)

    def undecided(pairs: np.ndarray) -> np.ndarray:
        first, second = pairs.T
        return pairs[np.where(classes[first] == classes[second], ~(gone[first] | gone[second]), ~told[second])]

    # Some at a time, for where all objects of an image lie on one another the pairs are as many as objects squared.
    for part in np.array_split(pairs, len(pairs) // MOST_PAIRS + 1):
        part = undecided(part)
        for first, later in grouped(part[_evenly_spread(file, part)].tolist()).items():
            later = undecided(np.array([(first, row) for row in later]))[:, 1].tolist()
            ious = _ious(file, first, later, masks) if later else {}
            own = [row for row in later if ious[row] >= NEAR_IOU and classes[row] == classes[first]]
            same = [row for row in later if ious[row] >= OTHER_CLASS_IOU]
            twins += [(first, row, ious[row]) for row in own]
            gone[own] = True
            if (classes[same] != classes[first]).any():
                groups.append((first, same, min(map(ious.__getitem__, same))))
                told[same] = True
    return twins, groups


def _close_pairs(file: CocoFile) -> np.ndarray:
    """Pairs (earlier, later row) of one image whose areas and extents allow that IoU, their own or those of their
    largest polygons, for one may lack a small one far away; ``(P, 2)``."""
    shapes, table = file.shapes, file.annotations
    rows = np.flatnonzero(shapes.sound & (file.image_rows >= 0) & table.has_category_id & (shapes.areas > 0))
    keys = file.image_rows[rows] * 2 + (table.crowd[rows] != 0)
    several = np.isin(keys, keys[(shapes.cores[rows] != shapes.extents[rows]).any(1)])
    pairs = [*_near(file, rows, keys, shapes.extents), *_near(file, rows[several], keys[several], shapes.cores)]
    places = [np.minimum(one, other) * table.count + np.maximum(one, other) for one, other in pairs]
    return np.stack(np.divmod(np.unique(np.concatenate([rows[:0], *places])), table.count or 1), 1)


def _near(file: CocoFile, rows: np.ndarray, key: np.ndarray, extents: np.ndarray) -> Iterator[list[np.ndarray]]:
    """Pairs of rows of one key whose areas and extents allow that IoU. Objects are sorted by key and left edge, and
    compared with the next, the one after that, and so on, all at once, as long as any two left edges are near enough.
    """
    # Intersection over union of s leaves at most (1 - s) / s of the area outside: an edge can be further out only
    # along a spike, which costs at least a pixel a row.
    slack = np.maximum(0.12 * (extents[rows, 2] - extents[rows, 0]), 3.0)
    order = np.lexsort((extents[rows, 0], key))
    rows, slack, key = rows[order], slack[order], key[order]
    lefts, areas, classes = extents[rows, 0], file.shapes.areas[rows], file.annotations.category_ids[rows]
    alive: np.ndarray = np.arange(max(len(rows) - 1, 0))
    step = 1
    while len(alive):
        alive = alive[alive + step < len(rows)]
        after = alive + step
        near = (key[alive] == key[after]) & (lefts[after] - lefts[alive] <= slack[alive])
        alive, after = alive[near], after[near]
        # Two classes are one object from a higher IoU on, and nearly all pairs are of two.
        least = np.where(classes[alive] == classes[after], NEAR_IOU - 0.05, OTHER_CLASS_IOU - 0.04)
        alike = _alike(extents[rows[alive]], extents[rows[after]], areas[alive], areas[after], least)
        yield [rows[alive[alike]], rows[after[alike]]]
        step += 1


def _alike(
    one: np.ndarray, other: np.ndarray, areas: np.ndarray, other_areas: np.ndarray, least: np.ndarray
) -> np.ndarray:
    """Whether areas and boxes allow that IoU: looser than what is sought, because outlines and pixels differ."""
    common = np.clip(np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2]), 0, None).prod(1)
    union = (one[:, 2:] - one[:, :2]).prod(1) + (other[:, 2:] - other[:, :2]).prod(1) - common
    areas_alike = np.minimum(areas, other_areas) >= least * np.maximum(areas, other_areas) - 4
    return (common >= (least - 0.08) * union) & areas_alike


def _evenly_spread(file: CocoFile, pairs: np.ndarray) -> np.ndarray:
    """``(P,)`` bool: as much of both objects lies in each of 8 columns and of 8 rows as the sought IoU needs.

    Sorts out most pairs without drawing a mask. True also where outlines do not tell what the mask covers.
    """
    shapes, classes = file.shapes, file.annotations.category_ids
    plain = (shapes.kinds == POLYGONS) & (shapes.flags & (CROSSING | INSIDE) == 0) & (shapes.overshoot == 0)
    possible = np.ones(len(pairs), bool)
    known = np.flatnonzero(plain[pairs].all(1))
    rows = np.unique(pairs[known]).tolist()
    outlines = dict(zip(rows, shapes_in(array_of([file.annotations.segmentations[row] for row in rows]))[0]))
    apart = np.array([bool(outlines[row]) and (len(outlines[row]) == 1 or beside(outlines[row])) for row in rows], bool)
    known = known[apart[np.searchsorted(rows, pairs[known])].all(1)]
    for axis in (0, 1):
        first, second = pairs[known].T
        # Symmetric difference of two masks of an IoU of s: at most (1 - s) / (1 + s) of their areas; and the edge of a
        # mask is up to half a pixel off its outline.
        least = np.where(classes[first] == classes[second], NEAR_IOU, OTHER_CLASS_IOU)
        areas, edges = (column[first] + column[second] for column in (shapes.areas, shapes.perimeters / 2))
        limits = (areas + edges) * (1 - least) / (1 + least) + edges
        low, high = (shapes.extents[pairs[known], side + axis] for side in (0, 2))
        cuts = np.linspace(low.min(1), high.max(1), 9)[1:].repeat(2, axis=1)
        before = areas_before([outlines[row] for row in pairs[known].ravel().tolist()], axis, cuts)
        inside = np.diff(before, axis=0, prepend=0)
        fits = np.abs(inside[:, ::2] - inside[:, 1::2]).sum(0) <= limits
        possible[known[~fits]] = False
        known = known[fits]
    return possible


def _ious(file: CocoFile, first: int, others: list[int], masks: dict[int, Optional[dict]]) -> dict[int, float]:
    """IoU of one annotation's mask with that of each other on its image; ``masks`` keeps each for the next call."""
    from pycocotools import mask as coco_mask

    height, width = file.sizes[first].tolist()
    for row in (first, *others):
        if row not in masks:
            masks[row] = _code(file, row, height, width)
    one = masks[first]
    ious = dict.fromkeys(others, 0.0)
    for row in (row for row in others if masks[row] is None or one is None):
        ious[row] = float(file.segmentation(first) == file.segmentation(row))
    drawn = {row: mask for row in others if one and (mask := masks[row]) and mask["size"] == one["size"]}
    if drawn:
        ious.update(zip(drawn, coco_mask.iou([one], list(drawn.values()), [0] * len(drawn))[0].tolist()))
    return ious


def _code(file: CocoFile, row: int, height: int, width: int) -> Optional[dict]:
    """An annotation's mask as pycocotools takes it; ``None`` where it must not see it."""
    from pycocotools import mask as coco_mask

    shape = file.outlines([row])[0]
    if isinstance(shape, RleCode):
        rows, columns = shape.size
        if isinstance(shape.counts, str):
            return {"size": [rows, columns], "counts": shape.counts.encode()}
        return coco_mask.frPyObjects({"size": [rows, columns], "counts": list(shape.counts)}, rows, columns)
    if not shape or not size_allowed(height, width) or file.shapes.overshoot[row] > max(height, width):
        return None
    return coco_mask.merge(coco_mask.frPyObjects([part for part in shape if len(part) >= 6], height, width))


@rule("CI047", "masks-are-boxes", Severity.WARNING, on="instances")
def masks_are_boxes(file: CocoFile) -> Iterator[Hit]:
    """All masks are upright rectangles, or all boxes are the same.

    The labels are boxes, or a tool filled in a default: a model trained on them draws boxes. Reported for 20 objects
    and more, 95 % of them rectangles, or all with one box on several images.
    """
    shapes = file.shapes
    sizes = (shapes.extents[:, 2:] - shapes.extents[:, :2]).prod(1)
    with np.errstate(invalid="ignore"):
        boxes = np.count_nonzero((shapes.kinds == POLYGONS) & (shapes.areas >= 0.99 * sizes) & (sizes > 0))
    same = len(sizes) >= MANY and (shapes.boxes == shapes.boxes[0]).all()
    if len(sizes) >= MANY and boxes >= 0.95 * len(sizes):
        found = f"{boxes:,} rectangles in {len(sizes):,} objects"
        yield Hit("the masks are boxes", file.path, "/annotations", expected="outlines of objects", found=found)
    elif same and len(np.unique(file.image_rows)) > 1:
        found = f"{shapes.boxes[0].tolist()} {len(sizes):,} times"
        yield Hit("all boxes are the same", file.path, "/annotations", expected="boxes of objects", found=found)


@rule("CI050", "size-unusual-for-class", Severity.INFO, on="instances")
def unusual_size(file: CocoFile) -> Iterator[Hit]:
    """An object is far larger or smaller than the others of its class.

    A slip of the mouse, a wrong class, or another scale. Reported from 20 objects of a class on, where the share of the
    image is 100 times off the median and 8 times farther than half of the class.
    """
    table, rows = file.annotations, file.image_rows
    pixels = (file.images.widths * file.images.heights)[rows] if file.images.count else np.zeros(len(rows))
    usable = (rows >= 0) & (pixels > 0) & (file.shapes.areas > 0) & (table.crowd == 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = np.log(file.shapes.areas / pixels)
    for index, category in enumerate(file.categories):
        own = np.flatnonzero(usable & (file.category_indices == index))
        if len(own) >= MANY:
            usual = np.median(shares[own])
            off = np.abs(shares[own] - usual)
            for row in own[(off > math.log(100)) & (off > 8 * np.median(off))].tolist():
                message, found = f"an unusual size for a {category.name!r}", f"{math.exp(shares[row]):.2g} of the image"
                expected = f"about {math.exp(usual):.2%} of the image"
                yield file.hit(row, message, "segmentation", expected=expected, found=found)


@rule("CI042", "image-without-annotations", Severity.INFO, on="instances")
def image_without_annotations(file: CocoFile) -> Iterator[Hit]:
    """An image has no annotation.

    That is right where the image has no object of any class; it teaches the model the background. Where nobody
    annotated it, every object on it teaches the model that it is background.
    """
    if not file.annotations.count or (file.image_rows < 0).any():
        return  # KN005, SP004 or CI009
    images = file.images
    alone = images.usable & images.has_id & (images.index.rows(images.ids) == np.arange(images.count))
    alone[file.image_rows] = False
    for row in np.flatnonzero(alone).tolist():
        yield file.image_hit(row, "an image without annotations", expected="objects, or an image without any")


@rule("CI043", "class-imbalance", Severity.INFO, on="instances")
def class_imbalance(file: CocoFile) -> Iterator[Hit]:
    """Some classes have very few objects, others very many.

    The rare class's AP will be low and jump from epoch to epoch. `--balance` draws its images more often; more images
    of it are better. Reported where the most frequent class has 100 times the objects of the rarest and that one fewer
    than 10, or 2000 times whatever the numbers are. Classes without objects are CI017 and SP003.
    """
    known = file.category_indices
    counts = np.bincount(known[known >= 0], minlength=len(file.categories))
    there = np.flatnonzero(counts)
    if len(there) < 2:
        return
    most = int(there[np.argmax(counts[there])])
    ratios = counts[most] / counts[there]
    rare = there[((counts[there] < FEW) & (ratios >= IMBALANCE)) | (ratios >= GREAT_IMBALANCE)]
    rare = rare[np.argsort(counts[rare], kind="stable")]
    if len(rare):
        words = [f"{file.categories[each].name!r} {counts[each]:,}" for each in (most, *rare.tolist())]
        message, found = f"few objects of some classes: {first_few(words[1:])}", f"{words[0]}, {words[1]}"
        expected = f"less than a factor of {IMBALANCE} between classes"
        yield Hit(message, file.path, "/categories", expected=expected, found=found)


@rule("CI029", "rle-size-mismatch", Severity.ERROR, on="instances")
def rle_size_mismatch(file: CocoFile) -> Iterator[Hit]:
    """An RLE's size is not its image's.

    The code runs down the columns: with another height every column is out of step. `size` is height, then width; often
    they are swapped, or the image was resized later. What the code was made for cannot be told, so there is no fix.
    """
    for row in on_right_size(file, file.shapes.flags & RLE_SIZE != 0):
        height, width = file.sizes[row].tolist()
        found = shown((file.segmentation(row) or {}).get("size"))
        message, expected = "the RLE is of another size than its image", f"[{height}, {width}] (height, width)"
        yield file.hit(row, message, "segmentation/size", expected=expected, found=found)


@rule("CI030", "rle-counts-sum-mismatch", Severity.ERROR, on="instances")
def rle_counts_sum_mismatch(file: CocoFile) -> Iterator[Hit]:
    """An RLE's runs do not add up to its size.

    pycocotools writes past the end of the mask, or leaves its end to chance. Part of the code is missing, or it is
    another image's.
    """
    for row in file.shapes.having(RLE_SUM).tolist():
        value, message = file.segmentation(row), "the runs do not add up to the mask's size"
        height, width = value["size"]
        expected, found = f"{height} x {width} = {height * width}", str(int(counts_to_runs(value["counts"]).sum()))
        yield file.hit(row, message, "segmentation/counts", expected=expected, found=found)


@rule("CI031", "rle-undecodable", Severity.ERROR, on="instances")
def rle_undecodable(file: CocoFile) -> Iterator[Hit]:
    """An RLE cannot be decoded.

    It lacks `size` or `counts`, a run is negative, or the compressed string has invalid characters or ends in the
    middle of a number. pycocotools crashes on it, or decodes garbage.
    """
    expected = "size [height, width] and counts, a string or a list of runs from 0 up"
    for row in np.flatnonzero((file.shapes.flags & RLE_BAD != 0) & ~once(file, written_otherwise)).tolist():
        found = _why(file.segmentation(row))
        yield file.hit(row, "an RLE that cannot be decoded", "segmentation", expected=expected, found=found)


def _why(value: object) -> str:
    if not isinstance(value, dict):
        return shown(value)
    if not {"size", "counts"} <= set(value):
        return "no 'counts'" if "size" in value else "no 'size'"
    size = value["size"]
    if not (isinstance(size, list) and len(size) == 2 and all(type(each) is int and each > 0 for each in size)):
        return f"size {shown(size)}"
    try:
        counts_to_runs(value["counts"])
    except DataError as error:
        return error.message + (f": {error.found}" if error.found else "")
    except (OverflowError, ValueError, TypeError):
        pass
    return f"counts {shown(value['counts'], 40)}"
