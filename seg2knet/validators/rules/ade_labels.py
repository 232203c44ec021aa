"""AD006 to AD008, AD010, AD013, AD014 and AD017: the numbers in masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from seg2knet.dataset.text import whole_number
from seg2knet.validators.model import Edit, Fix, Hit, Severity, WriteFile, rule
from seg2knet.validators.rules.ade import relabelled
from seg2knet.validators.subjects.document import first_few
from seg2knet.validators.subjects.masks import IGNORE, AdeSet, sixteen_bit

_NOTHING = ("background", "_background_", "unlabeled", "unlabelled", "void", "other", "none")


def _tables(whole: AdeSet) -> Iterator[tuple[str, Path, np.ndarray]]:
    """Name, path and regions of each mask whose numbers can be trusted."""
    for folder in whole.folders:
        for name, table in folder.regions.items():
            yield name, Path(folder.masks[name]), table


@rule("AD006", "mask-id-out-of-range", Severity.ERROR, on="ade")
def id_out_of_range(whole: AdeSet) -> Iterator[Hit]:
    """A mask has a number that is not a class.

    Numbers are 0 (unlabelled), 1 to the number of classes in `objectInfo.txt`, and 255 (ignored). Any other stops
    training on a GPU with an uninformative "device-side assert triggered". There is no fix: convert again, with the
    full list of classes. One number in place of 255 is AD008.
    """
    if whole.other_ignore is not None or _shifted(whole):
        return
    for _, path, table in _tables(whole):
        wrong = [number for number in table[:, 0].tolist() if number in whole.strange]
        if wrong:
            found = f"{first_few(wrong, 8)} ({int(table[np.isin(table[:, 0], wrong), 1].sum()):,} pixels)"
            yield Hit("the mask has numbers that are not classes", path, expected=whole.allowed, found=found)


def _rewritten(whole: AdeSet, change: Callable[[np.ndarray], np.ndarray], what: str) -> list[Edit]:
    """Every mask that can be read written again, with its numbers changed."""
    return [
        WriteFile(path, partial(relabelled, path, change), f"{what} in {name}")
        for name, path, table in _tables(whole)
        if table[:, 0].max() <= IGNORE
    ]


def _plus_one(labels: np.ndarray) -> np.ndarray:
    return np.where(labels == IGNORE, IGNORE, labels + 1)


@rule("AD007", "zero-label-policy-mismatch", Severity.ERROR, Fix.UNSAFE, on="ade")
def zero_is_a_class(whole: AdeSet) -> Iterator[Hit]:
    """The masks count classes from 0, the loader from 1.

    In the ADE layout 0 is unlabelled and classes start at 1 (`reduce_zero_label`): of masks made with 0 as the first
    class that class is ignored, and every other is taken for the one before it.

    Reported where `objectInfo.txt` counts from 0, or where the last class is in no mask though all others are, and the
    first is one like "background", or 255 is used beside 0 as ignored.

    The unsafe fix adds 1 to every number in all masks but 255, and counts `objectInfo.txt` from 1.
    """
    reason, info = _shifted(whole), whole.layout.object_info
    if reason:
        message = "the masks count classes from 0; the loader takes 0 for unlabelled"
        edits = _rewritten(whole, _plus_one, "added 1 to the numbers")
        if _first(whole) == 0:
            edits.append(WriteFile(info, partial(_counted, info), "counted classes from 1"))
        if any(sixteen_bit(facts.mode) for folder in whole.folders for facts in folder.gallery.facts):
            edits = []
        yield Hit(message, info, expected="0 unlabelled, classes from 1", found=reason, edits=edits)


def _first(whole: AdeSet) -> int:
    return min((number for number, _ in whole.classes or [(1, "")]), default=1)


def _used(whole: AdeSet) -> set[int]:
    """Every number in any mask."""
    return {number for folder in whole.folders for number in folder.counts}


def _shifted(whole: AdeSet) -> str:
    """Why the masks seem to count classes from 0; empty where they do not."""
    if not whole.classes:
        return ""
    if _first(whole) == 0:
        return f"{whole.layout.object_info.name} counts classes from 0"
    count, used = len(whole.classes), _used(whole)
    if whole.strange or count < 2 or not set(range(count)) <= used or count in used:
        return ""
    if whole.classes[0][1].lower() in _NOTHING:
        return f"numbers 0 to {count - 1} for {count} classes, of which the first is {whole.classes[0][1]!r}"
    return f"numbers 0 to {count - 1} for {count} classes, and 255 beside 0" if IGNORE in used else ""


def _counted(path: Path) -> bytes:
    out = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        number, tab, rest = line.partition("\t")
        index = whole_number(number) if tab else None
        out.append(f"{index + 1}{tab}{rest}" if index is not None else line)
    return "".join(out).encode()


@rule("AD008", "ignore-value-not-255", Severity.WARNING, Fix.SAFE, on="ade")
def other_ignore(whole: AdeSet) -> Iterator[Hit]:
    """The masks have another number than 255 for ignored pixels.

    Losses and metrics skip 255 and nothing else; 254 or 65535 is taken for a class, and stops training. Reported where
    the only number beyond the classes is 250 to 254, or 65535. The fix writes 255.
    """
    number, message = whole.other_ignore, "the mask has another number than 255 for ignored pixels"
    if number is None:
        return
    galleries = [folder.gallery for folder in whole.folders]
    deep = {path for each in galleries for path, facts in zip(each.paths, each.facts) if sixteen_bit(facts.mode)}
    for name, path, table in _tables(whole):
        pixels = int(table[table[:, 0] == number, 1].sum())
        if pixels and str(path) not in deep:  # else AD005 comes first
            make = partial(relabelled, path, lambda labels: np.where(labels == number, IGNORE, labels))
            edits = [WriteFile(path, make, f"changed {number} to 255 in {name}")]
            yield Hit(message, path, expected="255", found=f"{number} ({pixels:,} pixels)", edits=edits)


@rule("AD010", "class-absent-in-split", Severity.WARNING, on="ade")
def class_absent(whole: AdeSet) -> Iterator[Hit]:
    """Classes of the list are in no mask of a split.

    Missing from training a class is never learned; missing from validation its figures are `nan`, and a mean over
    classes skips it. There is no fix: split again (`seg2knet convert ade ... --split`), or remove the class.
    """
    if not whole.classes or _shifted(whole) or _two_valued(whole) or _used(whole) <= {0}:
        return
    for folder in whole.folders:
        # Masks whose numbers cannot be trusted may hold any class.
        if folder.split == "test" or not folder.masks or len(folder.regions) < len(folder.masks):
            continue
        absent = [(number, name) for number, name in whole.classes if number not in folder.counts]
        if absent:
            things = "the class" if len(absent) == 1 else f"{len(absent)} classes:"
            message = f"no mask of the split has {things} {first_few([repr(name) for _, name in absent])}"
            expected = f"pixels of {first_few([number for number, _ in absent])}"
            yield Hit(message, folder.masks_dir, expected=expected, found=f"none in {len(folder.masks):,} masks")


def _two_valued(whole: AdeSet) -> bool:
    """Whether all masks have 0 and 255 and no other number."""
    return _used(whole) in ({0, IGNORE}, {IGNORE})


@rule("AD013", "masks-are-0-and-255", Severity.ERROR, Fix.UNSAFE, on="ade")
def masks_are_black_and_white(whole: AdeSet) -> Iterator[Hit]:
    """The masks have only 0 and 255.

    They are drawn for the eye: 255 is ignored and 0 unlabelled, so that nothing is trained on. The unsafe fix writes 1
    for 255 where there is one class, or no list of classes.
    """
    if _two_valued(whole):
        single = whole.classes is None or len(whole.classes) == 1
        edits = _rewritten(whole, lambda labels: labels == IGNORE, "wrote 1 for 255") if single else []
        message, found = "the masks have only 0 and 255: every pixel is ignored", "0 and 255 in every mask"
        yield Hit(message, whole.layout.annotations("train"), expected=whole.allowed, found=found, edits=edits)


@rule("AD014", "one-class-without-background", Severity.WARNING, Fix.UNSAFE, on="ade")
def one_class(whole: AdeSet) -> Iterator[Hit]:
    """The masks have only 0 and 1, one class.

    0 is unlabelled and not trained on: a model that finds the class everywhere is never corrected. The unsafe fix makes
    the background a class: it adds 1 to every number and lists `background` first.
    """
    if _used(whole) - {IGNORE} != {0, 1} or len(whole.classes or [1]) != 1 or _shifted(whole):
        return
    name = whole.classes[0][1] if whole.classes else "object"
    text = f"Idx\tRatio\tTrain\tVal\tName\n1\t0\t0\t0\tbackground\n2\t0\t0\t0\t{name}\n".encode()
    listed = WriteFile(whole.layout.object_info, partial(bytes, text), "listed the background as a class")
    edits = [*_rewritten(whole, _plus_one, "added 1 to the numbers"), listed]
    message, expected = f"only {name!r} is labelled: nothing teaches what is not", "two classes, one the background"
    yield Hit(message, whole.layout.annotations("train"), expected=expected, found="0 and 1", edits=edits)


@rule("AD017", "mask-without-class", Severity.WARNING, on="ade")
def mask_empty(whole: AdeSet) -> Iterator[Hit]:
    """A mask has no pixel of any class, only 0 or 255.

    Its image teaches nothing; often the mask was saved before it was drawn.
    """
    for _, path, table in _tables(whole) if not _two_valued(whole) else ():  # else AD013
        if set(table[:, 0].tolist()) <= {0, IGNORE}:
            found = " and ".join(map(str, table[:, 0].tolist()))
            yield Hit("the mask has no pixel of any class", path, expected="pixels of a class", found=found)
