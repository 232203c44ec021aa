"""Which encoding mask images are in, and which of several kinds of masks to read, with the evidence for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Optional

import msgspec
import numpy as np

from seg2knet.converters.readers.common.encodings import grey
from seg2knet.converters.readers.common.labelmap import Labelmap
from seg2knet.converters.readers.common.pairs import Pairing
from seg2knet.converters.readers.common.sources import labels_as_shown
from seg2knet.dataset import label_image
from seg2knet.dataset.grouping import grouped
from seg2knet.errors import DataError, UsageError

LOOK = 24
"""Masks of a kind that are looked at."""
_INSTANCES = ("instance", "segmentationobject")
_CLASSES = ("label", "class", "semantic", "segmentation", "annot", "mask", "gt", "seg")
_DRAWN = ("panoptic", "color", "rgb", "viz", "vis")
_FEW_ON_EDGES = 8
"""Numbers that may stand on edges alone without making masks smooth: thin objects do."""
_MOST_PIECES = 5000
"""Numbers in a mask beyond which nobody counted objects."""


class Choice(msgspec.Struct, frozen=True):
    """How to read the masks: the encoding, the kind of mask that holds it (``None``: all kinds; for
    ``instances+classes`` the instances, and the kind that holds the ``classes``), and what was seen."""

    encoding: str
    kind: Optional[str]
    classes: Optional[str] = None
    reasons: tuple[str, ...] = ()


class Look(msgspec.Struct, frozen=True):
    """What a few masks of a kind have in common: how many were looked at; the numbers that occur, sorted, or packed
    colours; those that fill more than an edge between others (``solid``); whether some are in colour, have 16 bits or
    more (``deep``), are JPEG (``lossy``). ``counted`` is the highest number of each mask with any, where in all of them
    numbers run from 1 without gaps and nearly every number is one connected piece; else empty."""

    count: int
    values: np.ndarray
    solid: np.ndarray
    colored: bool
    deep: bool
    lossy: bool
    counted: tuple[int, ...]

    def describe(self) -> str:
        if self.colored:
            return f"{self.count} looked at are in colour, {len(self.values)} colours"
        numbers = ", ".join(map(str, self.values[:6].tolist()))
        last = f" ... {self.values[-1]}" if len(self.values) > 6 else ""
        return f"{self.count} looked at are {'16' if self.deep else '8'}-bit with the numbers {numbers}{last}"

    @property
    def smooth(self) -> bool:
        """Whether most numbers stand on edges alone, as drawing or resizing with anti-aliasing makes them."""
        on_edges = len(self.values) - len(self.solid)
        return on_edges >= _FEW_ON_EDGES and on_edges > len(self.solid)


def look(paths: Sequence[str]) -> Look:
    """Look at some of these masks, evenly over all of them; DataError where none can be decoded."""
    count = min(LOOK, len(paths))
    chosen = [paths[index * len(paths) // count] for index in range(count)]
    lossy = any(path.lower().endswith((".jpg", ".jpeg")) for path in chosen)
    values: list[np.ndarray] = []
    solid: list[np.ndarray] = []
    highest: list[Optional[int]] = []
    colored = deep = False
    for path in chosen:
        try:
            labels = grey(labels_as_shown(path))
        except DataError:
            if path == chosen[-1] and not values:
                raise
            continue
        deep |= labels.dtype.itemsize > 1
        if labels.ndim == 3:
            colored, labels = True, label_image.ids_of(labels)
        values.append(np.unique(labels))
        inner, across, down = labels[1:-1, 1:-1], labels[1:-1], labels[:, 1:-1]
        same = (inner == across[:, 2:]) & (inner == across[:, :-2]) & (inner == down[2:]) & (inner == down[:-2])
        solid.append(np.unique(inner[same]))
        if not colored and not lossy and None not in highest:
            highest.append(_highest(labels, values[-1]))
    counted = () if colored or lossy or None in highest else tuple(number for number in highest if number)
    every, filled = np.unique(np.concatenate(values)), np.unique(np.concatenate(solid))
    return Look(len(values), every, filled, colored, deep, lossy, counted)


def _highest(labels: np.ndarray, values: np.ndarray) -> Optional[int]:
    """The number of objects that a mask counts from 1 on, 0 for an empty one; ``None`` where it does not count."""
    numbers = values[values > 0]
    if len(numbers) > 1 and numbers[-1] == 255 and numbers[-2] != 254:
        numbers = numbers[:-1]  # a void border
    if not len(numbers):
        return 0
    if numbers[0] != 1 or numbers[-1] > _MOST_PIECES or len(numbers) < 0.9 * numbers[-1]:
        return None
    pieces = label_image.regions(label_image.cut(labels), without=[0, 255] if numbers[-1] < 255 else [0], split=True)
    return int(numbers[-1]) if len(pieces.values) <= 1.1 * len(numbers) else None


class Chooser:
    """Chooses kind and encoding; ``absolute`` makes a mask's path whole."""

    def __init__(self, pairing: Pairing, absolute: Callable[[str], str], labelmap: Optional[Labelmap]) -> None:
        self.labelmap = labelmap
        of_images = [[mask.kind for mask in pair.masks] for pair in pairing.pairs]
        self.several = sum(len(kinds) > 1 for kinds in of_images)
        self.repeated = any(len(set(kinds)) < len(kinds) for kinds in of_images)
        self.paths = grouped((mask.kind, absolute(mask.path)) for pair in pairing.pairs for mask in pair.masks)
        self.kinds = sorted(self.paths)

    def choose(self, encoding: Optional[str], masks: Optional[str], class_masks: Optional[str]) -> Choice:
        """The choice, which each of these options limits; UsageError where it cannot be told, or they do not fit."""
        if encoding == "object-files" or (encoding is None and masks is None and self._one_an_object()):
            return Choice("object-files", None, None, (f"{self.several} images have several masks each",))
        chosen = self._named(masks, "--masks") if masks else None
        classes = self._named(class_masks, "--class-masks") if class_masks else None
        if encoding == "instances+classes" or classes is not None:
            if encoding not in (None, "instances+classes"):
                problem = "--class-masks belongs to --encoding instances+classes"
                raise UsageError(problem, found=f"--encoding {encoding}")
            return self._two(chosen, classes)
        kind = chosen or self._kind(encoding)
        if encoding is not None:
            return Choice(encoding, kind)
        seen = look(self.paths[kind])
        guessed, reason = self._guess(kind, seen)
        if guessed is not None:
            where = f"masks in {kind}: " if kind else ""
            return Choice(guessed, kind, None, (f"{where}{seen.describe()}", reason))
        partner = self._partner(kind)
        if partner is None:
            raise _unclear(kind, seen, reason)
        return Choice("instances+classes", kind, partner, (f"masks in {kind} and {partner}", seen.describe()))

    def _one_an_object(self) -> bool:
        """Whether masks come one an object: several of a kind, or kinds by class, and all of two numbers at most."""
        if not self.several or not (self.repeated or _by_class(self.kinds)):
            return False
        some = [path for paths in list(self.paths.values())[:LOOK] for path in paths[:2]][:LOOK]
        return all(mask.ndim == 2 and len(np.unique(mask)) <= 2 for mask in map(grey, map(labels_as_shown, some)))

    def _named(self, text: str, option: str) -> str:
        exact = [kind for kind in self.kinds if kind.lower() == text.lower()]
        matching = exact or [kind for kind in self.kinds if text.lower().strip("/") in kind.lower()]
        if len(matching) == 1:
            return matching[0]
        problem = f"{option} must name one kind of masks, by its folder or the end of its files' names"
        found, hint = f"{option} {text} fits {_some(matching) or 'none'}", f"{option} {(matching or self.kinds)[0]}"
        raise UsageError(problem, found=found, expected=f"one of {_some(self.kinds)}", hint=hint)

    def _kind(self, encoding: Optional[str]) -> str:
        """The kind to read: instances before classes, drawings last."""
        plain = [kind for kind in self.kinds if not _says(kind, _DRAWN)] or self.kinds
        if encoding == "colors":
            plain = [kind for kind in self.kinds if _says(kind, ("color", "rgb"))] or plain
        instances = [kind for kind in plain if _says(kind, _INSTANCES)]
        if encoding in ("classes", "binary", "colors"):
            plain, instances = [kind for kind in plain if kind not in instances] or plain, []
        wanted = instances or [kind for kind in plain if "trainids" not in kind] or plain
        if len(wanted) != 1:
            hint = f"name it: --masks {wanted[0]}; where each mask is one object: --encoding object-files"
            raise UsageError("several kinds of masks: which one to read?", found=_some(wanted), hint=hint)
        return wanted[0]

    def _partner(self, kind: str) -> Optional[str]:
        """The kind that says the classes of the instances in ``kind``."""
        if not _says(kind, _INSTANCES):
            return None
        others = [other for other in self.kinds if other != kind and not _says(other, _DRAWN + _INSTANCES)]
        beside = [other for other in others if other.rpartition("/")[0] == kind.rpartition("/")[0]] or others
        return beside[0] if len(beside) == 1 else None

    def _two(self, chosen: Optional[str], classes: Optional[str]) -> Choice:
        instances = [kind for kind in self.kinds if _says(kind, _INSTANCES) and kind != classes]
        chosen = chosen or (instances[0] if len(instances) == 1 else None)
        classes = classes or (chosen and self._partner(chosen))
        if chosen is None or classes is None:
            what = "number the instances" if chosen is None else "hold the instances' classes"
            hint = f"name both: --masks {chosen or 'INSTANCES'} --class-masks CLASSES"
            raise UsageError(f"which masks {what}?", found=_some(self.kinds), hint=hint)
        return Choice("instances+classes", chosen, classes)

    def _guess(self, kind: str, seen: Look) -> tuple[Optional[str], str]:
        """The encoding, or ``None``, and why."""
        values = seen.values
        named = self.labelmap.names if self.labelmap is not None else {}
        if seen.colored:
            if self.labelmap is None or not self.labelmap.colors:
                return None, "colours, and no file that says which colour is which class"
            known = np.isin(values, np.array([*self.labelmap.colors, 0], np.int64))
            reason = f"{int(known.sum())} of {len(values)} colours are classes' colours"
            return (None, f"only {reason}") if known.mean() < 0.5 else ("colors", reason)
        if "instanceids" in kind.lower():
            return "class*1000+instance", "the files are called instanceIds, as Cityscapes calls them"
        if seen.lossy:
            if ((values < 64) | (values > 191)).all():
                return "binary", "JPEG files whose numbers stand near 0 and 255"
            return None, "JPEG blurs numbers: a class's number cannot be told from the next one's"
        if len(values) <= 2 and values[-1] == 255 and 255 not in named:
            return "binary", "0 and 255 only"
        if seen.smooth and not named:
            if set(seen.solid.tolist()) == {0, 255}:
                return "binary", "0 and 255, and other numbers on edges alone"
            return None, "most numbers stand on edges alone, as anti-aliasing makes them"
        if self.labelmap is None and max(seen.counted, default=0) > 1 and self._partner(kind) is None:
            counts = f"numbers run from 1 to {min(seen.counted)}..{max(seen.counted)}, mask by mask, each in one piece"
            if max(seen.counted) > 255 or (len(seen.counted) > 2 and len(set(seen.counted)) > 1):
                return "instances", f"{counts}, and no file names classes: objects of one class"
            if len(set(seen.counted)) > 1 or seen.counted[0] > 4:
                return None, f"{counts}: they may number the objects of one class, or be classes"
        if values[-1] < 256 and _says(kind, _INSTANCES):
            return None, "instances are numbered, which says nothing of their classes"
        if values[-1] < 256 or (named and set(values.tolist()) <= set(named) | {0}):
            return "classes", "no number over 255"
        return _guess_base(values)


def _unclear(kind: str, seen: Look, reason: str) -> Exception:
    hint = "name it: --encoding ..."
    one_class = "--encoding instances --class-name NAME where they number the objects of one class"
    if seen.colored:
        hint = 'name the colours: --labelmap FILE or --colors "car=255,0,0; road=128,64,128"'
    elif seen.lossy:
        hint = "export the masks as PNG; if they are black and white, --encoding binary"
    elif _says(kind, _INSTANCES):
        hint = f"name the masks with the classes: --encoding instances+classes --class-masks FOLDER; or {one_class}"
    elif seen.smooth:
        hint = "export the masks without anti-aliasing; if they are black and white, --encoding binary"
    elif seen.counted:
        hint = f"{one_class}; --encoding classes where a number is a class"
    problem = f"the encoding of the masks {f'in {kind} ' if kind else ''}cannot be told"
    error = DataError if seen.lossy else UsageError
    return error(problem, found=f"{seen.describe()}: {reason}", hint=hint)


def _some(kinds: Sequence[str]) -> str:
    return ", ".join(kinds[:12]) + (f" and {len(kinds) - 12} more" if len(kinds) > 12 else "")


def _by_class(kinds: Sequence[str]) -> bool:
    """``car/masks`` and ``road/masks``: one word in common, and names before it that are not a kind of mask."""
    heads, _, tails = zip(*(kind.rpartition("/") for kind in kinds))
    words = _INSTANCES + _CLASSES + _DRAWN
    named = all(head and not _says(head, words) and not re.match(r"v\d", head) for head in heads)
    return named and len(kinds) > 1 and len(set(tails)) == 1


def _says(kind: str, words: Sequence[str]) -> bool:
    return any(word in kind.lower() for word in words)


def _guess_base(values: np.ndarray) -> tuple[Optional[str], str]:
    """Over 255: by which base do the numbers fall into small classes and small instance numbers?"""
    fits = []
    for base in (1000, 256):
        large = values[values >= base]
        between = base == 1000 and len(large) < len(values) and values[values < base].max() > 255
        if len(large) and not between and (large // base).max() <= 255:
            fits.append((float((large % base).mean()), base))  # the mean instance number: lower is likelier
    fits.sort()
    if not fits or (len(fits) == 2 and fits[1][0] - fits[0][0] < 5):
        return None, f"the numbers up to {values[-1]} fit class*1000+instance as well or as badly as class*256+instance"
    _, base = fits[0]
    reason = f"by {base} they fall into {len(np.unique(values // base))} classes with small instance numbers"
    return f"class*{base}+instance", reason
