"""AD rules about the numbers in masks: AD006 to AD008 and AD010."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from seg2knet.dataset.images import decode_labels
from seg2knet.dataset.label_image import encode_png
from seg2knet.dataset.layout import AdeLayout
from seg2knet.dataset.text import whole_number
from seg2knet.validators.model import Fix, Hit, Severity, WriteFile, rule
from seg2knet.validators.subjects.masks import IGNORE, AdeSet, ade_set, sixteen_bit

_NOTHING = ("background", "_background_", "unlabeled", "unlabelled", "void", "other", "none")


@rule("AD006", "mask-id-out-of-range", Severity.ERROR, on="ade")
def id_out_of_range(layout: AdeLayout) -> Iterator[Hit]:
    """A mask has a number that is no class.

    Numbers are 0 (unlabelled), 1 to the number of classes in `objectInfo.txt`, and 255 (ignored). Any other stops
    training on a GPU with "device-side assert triggered", which says nothing. There is no fix: convert again, with the
    full list of classes. One number in place of 255 is AD008.
    """
    whole = ade_set(layout)
    if whole.other_ignore is not None or _shifted(whole):
        return
    for folder in whole.folders:
        for name, table in folder.regions.items():
            wrong = [number for number in table[:, 0].tolist() if number in whole.strange]
            if wrong:
                shown = ", ".join(map(str, wrong[:8])) + (f" and {len(wrong) - 8} more" if len(wrong) > 8 else "")
                pixels = int(table[np.isin(table[:, 0], wrong), 1].sum())
                yield Hit(
                    "the mask has numbers that are no class",
                    Path(folder.masks[name]),
                    expected=whole.allowed,
                    found=f"{shown} ({pixels:,} pixels)",
                )


@rule("AD007", "zero-label-policy-mismatch", Severity.ERROR, Fix.UNSAFE, on="ade")
def zero_is_a_class(layout: AdeLayout) -> Iterator[Hit]:
    """The masks count classes from 0, the loader from 1.

    In the ADE layout 0 is unlabelled and classes start at 1 (`reduce_zero_label`): of masks made with 0 as the first
    class that class is ignored, and every other is taken for the one before it.

    It is taken to be so where `objectInfo.txt` counts from 0, or where the last class is in no mask though all others
    are, the first is one like "background", or 255 is used beside 0 as ignored.

    The unsafe fix adds 1 to every number in all masks but 255, and counts `objectInfo.txt` from 1.
    """
    whole = ade_set(layout)
    reason = _shifted(whole)
    if reason:
        edits = [
            WriteFile(Path(path), partial(_raised, Path(path)), f"added 1 to the numbers in {name}")
            for folder in whole.folders
            for name, path in folder.masks.items()
            if name in folder.regions and folder.regions[name][:, 0].max() < IGNORE + 1
        ]
        if _first(whole) == 0:
            edits.append(WriteFile(layout.object_info, partial(_counted, layout.object_info), "counted classes from 1"))
        yield Hit(
            "the masks count classes from 0; the loader takes 0 for unlabelled",
            layout.object_info,
            expected="0 unlabelled, classes from 1",
            found=reason,
            edits=edits if not any(sixteen_bit(mode) for mode in _modes(whole)) else (),
        )


def _first(whole: AdeSet) -> int:
    return min((number for number, _ in whole.classes or [(1, "")]), default=1)


def _modes(whole: AdeSet) -> list[str]:
    return [folder.gallery.kind(index)[1] for folder in whole.folders for index in range(len(folder.paths))]


def _shifted(whole: AdeSet) -> str:
    """Why the masks are taken to count classes from 0; empty where they are not."""
    if not whole.classes:
        return ""
    if _first(whole) == 0:
        return f"{whole.layout.object_info.name} counts classes from 0"
    count = len(whole.classes)
    used: set[int] = set()
    for folder in whole.folders:
        used.update(folder.counts)
    if whole.strange or count < 2 or not set(range(count)) <= used or count in used:
        return ""
    if whole.classes[0][1].lower() in _NOTHING:
        return f"numbers 0 to {count - 1} for {count} classes, of which the first is {whole.classes[0][1]!r}"
    return f"numbers 0 to {count - 1} for {count} classes, and 255 beside 0" if IGNORE in used else ""


def _raised(path: Path) -> bytes:
    labels = decode_labels(path)
    return encode_png(np.where(labels == IGNORE, IGNORE, labels + 1).astype(np.uint8))


def _counted(path: Path) -> bytes:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    out = []
    for line in lines:
        number, tab, rest = line.partition("\t")
        index = whole_number(number) if tab else None
        out.append(f"{index + 1}{tab}{rest}" if index is not None else line)
    return "".join(out).encode()


@rule("AD008", "ignore-value-not-255", Severity.WARNING, Fix.SAFE, on="ade")
def other_ignore(layout: AdeLayout) -> Iterator[Hit]:
    """The masks have another number than 255 for what is to be ignored.

    Losses and figures leave out 255 and nothing else; 254 or 65535 is taken for a class, and stops training.

    It is taken to be so where the only number beyond the classes is 250 to 254, or 65535. The fix writes 255.
    """
    whole = ade_set(layout)
    number = whole.other_ignore
    if number is None:
        return
    for folder in whole.folders:
        modes = {name: folder.gallery.kind(index)[1] for index, name in enumerate(folder.masks)}
        for name, table in folder.regions.items():
            pixels = int(table[table[:, 0] == number, 1].sum())
            if pixels and not sixteen_bit(modes[name]):  # else AD005 comes first
                path = Path(folder.masks[name])
                yield Hit(
                    "the mask has another number than 255 for what is to be ignored",
                    path,
                    expected="255",
                    found=f"{number} ({pixels:,} pixels)",
                    edits=[WriteFile(path, partial(_ignored, path, number), f"made {number} 255 in {name}")],
                )


def _ignored(path: Path, number: int) -> bytes:
    labels = decode_labels(path)
    return encode_png(np.where(labels == number, IGNORE, labels).astype(np.uint8))


@rule("AD010", "class-absent-in-split", Severity.WARNING, on="ade")
def class_absent(layout: AdeLayout) -> Iterator[Hit]:
    """A class of the list is in no mask of a split.

    Missing from training it is never learned; missing from validation its figures are `nan`, and a mean over classes
    leaves it out. There is no fix: split again (`seg2knet convert ade ... --split`), or take the class out.
    """
    whole = ade_set(layout)
    if not whole.classes or _shifted(whole):
        return
    for folder in whole.folders:
        # Masks whose numbers cannot be trusted may hold any class.
        if folder.split == "test" or not folder.masks or len(folder.regions) < len(folder.masks):
            continue
        for number, name in whole.classes:
            if number not in folder.counts:
                yield Hit(
                    f"no mask of the split has the class {name!r}",
                    folder.masks_dir,
                    expected=f"pixels of {number}",
                    found=f"none in {len(folder.masks):,} masks",
                )
