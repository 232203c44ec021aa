"""From decoded mask images to objects, encoding by encoding."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Optional

import numpy as np

from seg2knet.converters.readers.common import labelmap as _labelmap
from seg2knet.converters.readers.common.labelmap import Labelmap
from seg2knet.converters.readers.common.sources import labels_as_shown, upright_labels
from seg2knet.dataset import label_image
from seg2knet.dataset.sample import Note, Object, Rle, Skip
from seg2knet.errors import DataError

_VOC_VOID = 224 | 224 << 8 | 192 << 16
_MOTS_VOID = 10000
_NOTHING = -1
"""The number of black, and of VOC's border, where no class has that colour."""
_COLOR = _labelmap.HIGHEST
"""Packed colours that are no class stand above all numbers that are."""


_NAME_IT = "add it to the label map (--labelmap FILE, --colors), as background where it is no class"


class Decoder:
    """Objects of one image, as they are found.

    Args:
        path: the mask, for errors and the ledger.
        labelmap: the classes; ``None`` where they are called by number.
        ignore: numbers that are no class.
        split: masks that know no instances: whether each connected piece is an object.
        class_name: the class of binary masks and of numbered objects.
    """

    def __init__(
        self, path: str, labelmap: Optional[Labelmap], ignore: frozenset[int], split: bool, class_name: str
    ) -> None:
        self.path = path
        self.labelmap = labelmap
        self.ignore = ignore
        self.split = split
        self.class_name = class_name
        self.objects: list[Object] = []
        self.skips: list[Skip] = []
        self.notes: list[Note] = []

    def one(self, encoding: str, labels: np.ndarray) -> None:
        """One mask image ``(H, W)`` or ``(H, W, 3)`` of any encoding but those of several images."""
        if encoding == "colors":
            self._colors(labels)
        elif encoding == "binary":
            self._binary(self._single(labels))
        elif encoding == "classes":
            self._classes(label_image.cut(self._single(labels)))
        elif encoding == "instances":
            self._counted(label_image.cut(self._single(labels)))
        else:
            self._instances(label_image.cut(self._single(labels)), 1000 if "1000" in encoding else 256)

    def pair(self, instances: np.ndarray, classes: np.ndarray) -> None:
        """Instances ``(H, W)`` or in colours, and classes ``(H, W)`` or in colours: an instance has the class of most
        of its pixels; pixels of a class and of no instance are one region of that class."""
        if instances.shape[:2] != classes.shape[:2]:
            raise DataError(
                "the masks of instances and of classes are of different sizes",
                file=self.path,
                found=f"{instances.shape[1]}x{instances.shape[0]} and {classes.shape[1]}x{classes.shape[0]}",
            )
        instances, classes = grey(instances), grey(classes)
        runs, others = label_image.cut_pair(instances, classes)
        if classes.ndim == 3:
            others = self._by_color(others)
        void = sorted(self._void())
        none = [0, _VOC_VOID] if instances.ndim == 3 else [0, *(self.ignore & {255})]
        most = label_image.majority(runs, others, void)
        found = label_image.regions(runs, without=none)
        for number, rle, area in zip(found.values, found.rles, found.areas):
            if number not in most:
                self._lose("instance-without-a-class", f"instance {_said(number, instances)}", f"{area} pixels")
                continue
            label, share = most[number]
            self._add(label, rle, f"instance {_said(number, instances)}")
            if share < 0.5:
                detail = f"{share:.0%} of its pixels are of its class"
                self.notes.append(Note("instance-mostly-of-no-class", f"{self.path}: instance {number}", detail))
        self._without_instance(runs, others, void)

    def object_files(self, files: Sequence[Sequence[str]], size: tuple[int, int], turn: int) -> None:
        """One mask an object; ``files`` are pairs of class (or empty) and path."""
        for label, path in files:
            labels = upright_labels(labels_as_shown(path), turn)
            place = path.rpartition("/")[2]
            if labels.shape[:2] != (size if turn < 5 else size[::-1]):
                found = f"{labels.shape[1]}x{labels.shape[0]}"
                self._lose("size-differs", place, f"the first mask of this image is {size[1]}x{size[0]}, this {found}")
                continue
            mask = foreground(grey(labels), path)
            found_regions = label_image.regions(label_image.cut(mask.astype(np.uint8)), without=[0])
            if not found_regions.rles:
                self._lose("no-pixels", place, "nothing is marked")
                continue
            self.objects.append(Object(label or self.class_name, found_regions.rles[0], place=place))

    def _single(self, labels: np.ndarray) -> np.ndarray:
        labels = grey(labels)
        if labels.ndim == 3:
            raise DataError(
                "a mask in colour where numbers were expected",
                file=self.path,
                hint="say that they are colours: --encoding colors --labelmap FILE",
            )
        return labels

    def _colors(self, labels: np.ndarray) -> None:
        if labels.ndim == 2:
            labels = np.repeat(labels[..., None], 3, axis=2)
        runs = label_image.cut(labels)
        self._classes(label_image.recoded(runs, self._by_color(runs.values)))

    def _by_color(self, colors: np.ndarray) -> np.ndarray:
        """Numbers of the classes of packed colours; a colour of no class stays, above all numbers."""
        if self.labelmap is None or not self.labelmap.colors:
            raise DataError(
                "a mask in colour, and no file that says which colour is which class",
                file=self.path,
                hint='--labelmap FILE or --colors "car=255,0,0; road=#804080"',
            )
        known, at = np.unique(colors, return_inverse=True)
        table = [self.labelmap.colors.get(int(color), _background(int(color))) for color in known]
        return np.asarray(table, np.int64)[at]

    def _binary(self, labels: np.ndarray) -> None:
        mask = foreground(labels, self.path)
        found = label_image.regions(label_image.cut(mask.astype(np.uint8)), without=[0], split=self.split)
        for number, rle in enumerate(found.rles, 1):
            self.objects.append(Object(self.class_name, rle, place=f"{self.path}: piece {number}"))

    def _classes(self, runs: label_image.Runs) -> None:
        void = self._void()
        if not self.split:
            self._take(label_image.regions(runs, without=sorted(void)))
            return
        things = self.labelmap.things if self.labelmap is not None else {}
        stuff = {number for number, thing in things.items() if not thing} - void
        self._take(label_image.regions(runs, without=sorted(void | stuff), split=True))
        self._take(label_image.regions(runs, without=sorted(set(np.unique(runs.values).tolist()) - stuff)))

    def _counted(self, runs: label_image.Runs) -> None:
        """A number an object, all of one class; 255 is void unless the numbers run up to it."""
        border = set() if 254 in runs.values else self.ignore & {255}
        found = label_image.regions(runs, without=sorted({0, *(self.ignore - {255}), *border}))
        for number, rle in zip(found.values, found.rles):
            self.objects.append(Object(self.class_name, rle, place=f"{self.path}: instance {number}"))

    def _take(self, found: label_image.Regions) -> None:
        for index, (number, rle) in enumerate(zip(found.values, found.rles), 1):
            self._add(number, rle, f"region {index}")

    def _instances(self, runs: label_image.Runs, base: int) -> None:
        """``class * base + instance``; under Cityscapes' base of 1000, a number below it is a class alone: stuff, or a
        group of things that nobody told apart, which is a crowd."""
        named = self.labelmap.names if self.labelmap is not None else {}
        void = self.labelmap.void if self.labelmap is not None else frozenset()
        found = label_image.regions(runs)
        for number, rle in zip(found.values, found.rles):
            label, instance = (number, None) if base == 1000 and number < base else divmod(number, base)
            if label in void or (label == 0 and 0 not in named):
                continue
            if base == 1000 and number == _MOTS_VOID and label not in named:
                continue
            if instance is None and number in self.ignore and number not in named:
                continue
            place = f"class {label}" if instance is None else f"class {label} instance {instance}"
            group = instance is None and self.labelmap is not None and self.labelmap.things.get(label) is True
            self._add(label, rle, place, iscrowd=group)

    def _without_instance(self, runs: label_image.Runs, others: np.ndarray, void: Sequence[int]) -> None:
        alone = runs.values == 0
        runs = label_image.Runs(runs.starts[alone], runs.ends[alone], others[alone], runs.height, runs.width)
        found = label_image.regions(runs, without=void)
        for number, rle, area in zip(found.values, found.rles, found.areas):
            self._add(number, rle, f"class {number} without instance")
            detail = f"{area} pixels of class {number} became one region"
            self.notes.append(Note("class-without-instance", self.path, detail))

    def _void(self) -> set[int]:
        """Numbers that are no class: background, void, what ``--ignore`` says."""
        named = self.labelmap.names if self.labelmap is not None else {}
        void = set(self.labelmap.void) if self.labelmap is not None else set()
        return void | {_NOTHING} | {number for number in self.ignore | {0} if number not in named}

    def _add(self, number: int, rle: Rle, place: str, iscrowd: bool = False) -> None:
        if self.labelmap is None:
            self.objects.append(Object(str(number), rle, iscrowd, f"{self.path}: {place}"))
        elif number in self.labelmap.names:
            self.objects.append(Object(self.labelmap.names[number], rle, iscrowd, f"{self.path}: {place}"))
        elif number >= _COLOR:
            self._lose("colour-without-a-class", place, f"colour {_labelmap.written(number - _COLOR)}; {_NAME_IT}")
        else:
            self._lose("number-without-a-class", place, f"number {number}; {_NAME_IT}")

    def _lose(self, reason: str, place: str, detail: str) -> None:
        self.skips.append(Skip(reason, f"{self.path}: {place}", detail=detail))


def grey(labels: np.ndarray) -> np.ndarray:
    """One channel of an image whose three are equal; any other as it is."""
    if labels.ndim == 3 and (labels[..., 0] == labels[..., 1]).all() and (labels[..., 0] == labels[..., 2]).all():
        return labels[..., 0]
    return labels


def foreground(labels: np.ndarray, path: str) -> np.ndarray:
    """``(H, W)`` bool: what a black and white mask marks, by 0 and 1 or by 0 and 255 with grey edges.

    Raises:
        DataError: it is in colour.
    """
    if labels.ndim == 3:
        raise DataError("a mask in colour where black and white was expected", file=path)
    # JPEG leaves specks about black; in other formats half of the largest number divides 0 and 1 and soft edges alike.
    lossy = path.lower().endswith((".jpg", ".jpeg"))
    return labels > (127 if lossy else int(labels.max(initial=0)) // 2)


def parse_ignore(text: str) -> frozenset[int]:
    """Numbers from ``255,0``."""
    return frozenset(int(part) for part in re.findall(r"\d+", text)[:1000] if len(part) < 10)


def _background(color: int) -> int:
    return _NOTHING if color in (0, _VOC_VOID) else color + _COLOR


def _said(number: int, labels: np.ndarray) -> str:
    return _labelmap.written(number) if labels.ndim == 3 else str(number)
