"""From decoded mask images to objects, encoding by encoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import numpy as np

from seg2knet.converters.readers.common import labelmap as _labelmap
from seg2knet.converters.readers.common.canvas import Canvas, NotAnObject
from seg2knet.converters.readers.common.labelmap import Labelmap
from seg2knet.converters.readers.common.sources import labels_as_shown
from seg2knet.dataset import label_image
from seg2knet.dataset.sample import Rle
from seg2knet.errors import DataError

_VOC_VOID = 224 | 224 << 8 | 192 << 16
_MOTS_VOID = 10000
_NOTHING = -1
"""The number of black, and of VOC's border, where no class has that colour."""
_COLOR = _labelmap.HIGHEST
"""Packed colours that are no class stand above all numbers that are."""
_NAME_IT = "add it to the label map (--labelmap FILE, --colors), as background where it is no class"


def mask_canvas(name: str, image: Optional[str], mask: str) -> tuple[Canvas, np.ndarray]:
    """The canvas of an image with a mask, in whose pixels objects are, and the mask; DataError where sizes differ."""
    labels = labels_as_shown(mask)
    canvas = Canvas(name, mask, path=image, declared=(labels.shape[1], labels.shape[0]))
    if canvas.fit.problem is not None:
        raise DataError("annotation and image are of different sizes", file=image, found=canvas.fit.problem)
    return canvas, labels


class Decoder:
    """Finds the objects of one image. Without a ``labelmap`` classes are called by number; numbers in ``ignore`` are no
    class; with ``split`` each connected piece of masks that know no instances is an object; ``class_name`` is the class
    of binary masks and of numbered objects."""

    def __init__(
        self,
        canvas: Canvas,
        labelmap: Optional[Labelmap],
        split: bool,
        ignore: frozenset[int] = frozenset({255}),
        class_name: str = "object",
    ) -> None:
        self.canvas = canvas
        self.by_number = labelmap is None
        self.labelmap = labelmap or Labelmap({})
        self.named = self.labelmap.names
        self.ignore = ignore
        self.split = split
        self.class_name = class_name
        void = {_NOTHING, *(number for number in ignore | {0} if number not in self.named)}
        self.void = sorted(void | self.labelmap.void)

    def one(self, encoding: str, labels: np.ndarray) -> None:
        """One mask image ``(H, W)`` or ``(H, W, 3)`` of any encoding but those of several images."""
        if encoding == "colors":
            runs = label_image.cut(np.repeat(labels[..., None], 3, axis=2) if labels.ndim == 2 else labels)
            self._classes(label_image.recoded(runs, self._by_color(runs.values)))
            return
        labels = grey(labels)
        if labels.ndim == 3:
            problem, hint = "a mask in colour where numbers were expected", "--encoding colors --labelmap FILE"
            raise DataError(problem, file=self.canvas.place, hint=f"say that they are colours: {hint}")
        if encoding == "binary":
            labels = foreground(labels, self.canvas.place).astype(np.uint8)
        runs = label_image.cut(labels)
        if encoding == "binary":
            for number, rle in enumerate(label_image.regions(runs, without=[0], split=self.split).rles, 1):
                self.canvas.add(self.class_name, rle, f"piece {number}")
        elif encoding == "classes":
            self._classes(runs)
        elif encoding == "instances":  # 255 is void unless the numbers run up to it
            void = self.ignore - {255} if 254 in runs.values else self.ignore
            found = label_image.regions(runs, without=sorted(void | {0}))
            for number, rle in zip(found.values, found.rles):
                self.canvas.add(self.class_name, rle, f"instance {number}")
        else:
            self._instances(runs, 1000 if "1000" in encoding else 256)

    def pair(self, instances: np.ndarray, classes: np.ndarray) -> None:
        """Instances ``(H, W)`` or in colours, and classes ``(H, W)`` or in colours: an instance has the class of most
        of its pixels; pixels of a class and of no instance are one region of that class."""
        if instances.shape[:2] != classes.shape[:2]:
            sizes = " and ".join(f"{labels.shape[1]}x{labels.shape[0]}" for labels in (instances, classes))
            problem = "the masks of instances and of classes are of different sizes"
            raise DataError(problem, file=self.canvas.place, found=sizes)
        instances, classes = grey(instances), grey(classes)
        runs, others = label_image.cut_pair(instances, classes)
        if classes.ndim == 3:
            others = self._by_color(others)
        none = [0, _VOC_VOID] if instances.ndim == 3 else [0, *(self.ignore & {255})]
        most = label_image.majority(runs, others, self.void)
        found = label_image.regions(runs, without=none)
        for number, rle, area in zip(found.values, found.rles, found.areas):
            place = f"instance {_labelmap.written(number) if instances.ndim == 3 else number}"
            if number not in most:
                self.canvas.skip("instance-without-a-class", place, f"{area} pixels")
                continue
            label, share = most[number]
            self._add(label, rle, place)
            if share < 0.5:
                self.canvas.note("instance-mostly-of-no-class", place, f"{share:.0%} of its pixels are of its class")
        alone = runs.values == 0
        runs = label_image.Runs(runs.starts[alone], runs.ends[alone], others[alone], runs.height, runs.width)
        found = label_image.regions(runs, without=self.void)
        for number, rle, area in zip(found.values, found.rles, found.areas):
            self._add(number, rle, f"class {number} without instance")
            self.canvas.note("class-without-instance", "", f"{area} pixels of class {number} became one region")

    def object_files(self, files: Sequence[Sequence[str]]) -> None:
        """One mask an object; ``files`` are pairs of class (or empty) and path."""
        for label, path in files:
            place = path.rpartition("/")[2]
            with self.canvas.skipping(place):
                mask = foreground(grey(labels_as_shown(path)), path)
                if mask.shape != (self.canvas.height, self.canvas.width):
                    first, other = f"{self.canvas.width}x{self.canvas.height}", f"{mask.shape[1]}x{mask.shape[0]}"
                    raise NotAnObject("size-differs", f"the first mask of this image is {first}, this {other}")
                self.canvas.add(label or self.class_name, self.canvas.bitmap(mask), place)

    def _by_color(self, colors: np.ndarray) -> np.ndarray:
        """Numbers of the classes of packed colours; a colour of no class stays, above all numbers."""
        if not self.labelmap.colors:
            problem, hint = "a mask in colour, and no file that says which colour is which class", "--labelmap FILE or "
            hint += '--colors "car=255,0,0; road=#804080"'
            raise DataError(problem, file=self.canvas.place, hint=hint)
        known, at = np.unique(colors, return_inverse=True)
        others = (_NOTHING if color in (0, _VOC_VOID) else color + _COLOR for color in known.tolist())
        table = [self.labelmap.colors.get(color, other) for color, other in zip(known.tolist(), others)]
        return np.asarray(table, np.int64)[at]

    def _classes(self, runs: label_image.Runs) -> None:
        things = self.labelmap.things if self.split else {}
        stuff = {number for number, thing in things.items() if not thing} - set(self.void)
        parts = [label_image.regions(runs, without=sorted({*self.void, *stuff}), split=self.split)]
        if stuff:
            parts.append(label_image.regions(runs, without=sorted(set(np.unique(runs.values).tolist()) - stuff)))
        for found in parts:
            for index, (number, rle) in enumerate(zip(found.values, found.rles), 1):
                self._add(number, rle, f"region {index}")

    def _instances(self, runs: label_image.Runs, base: int) -> None:
        """``class * base + instance``; under Cityscapes' base of 1000, a number below it is a class alone: stuff, or a
        group of things that nobody told apart, which is a crowd."""
        found = label_image.regions(runs)
        for number, rle in zip(found.values, found.rles):
            label, instance = (number, None) if base == 1000 and number < base else divmod(number, base)
            nothing = label == 0 or (base == 1000 and number == _MOTS_VOID)
            nothing = nothing or (instance is None and number in self.ignore)
            if label in self.labelmap.void or (nothing and label not in self.named):
                continue
            place = f"class {label}" if instance is None else f"class {label} instance {instance}"
            group = instance is None and self.labelmap.things.get(label) is True
            self._add(label, rle, place, iscrowd=group)

    def _add(self, number: int, rle: Rle, place: str, iscrowd: bool = False) -> None:
        if self.by_number or number in self.named:
            self.canvas.add(self.named.get(number, str(number)), rle, place, iscrowd=iscrowd)
        elif number >= _COLOR:
            detail = f"colour {_labelmap.written(number - _COLOR)}; {_NAME_IT}"
            self.canvas.skip("colour-without-a-class", place, detail)
        else:
            self.canvas.skip("number-without-a-class", place, f"number {number}; {_NAME_IT}")


def grey(labels: np.ndarray) -> np.ndarray:
    """One channel of an image whose three are equal; any other as it is."""
    if labels.ndim == 3 and (labels[..., 0] == labels[..., 1]).all() and (labels[..., 0] == labels[..., 2]).all():
        return labels[..., 0]
    return labels


def foreground(labels: np.ndarray, path: str) -> np.ndarray:
    """``(H, W)`` bool: what a mask marks by 0 and 1, or 0 and 255 with grey edges; DataError where it is in colour."""
    if labels.ndim == 3:
        raise DataError("a mask in colour where black and white was expected", file=path)
    # JPEG leaves specks about black; in other formats half of the largest number divides 0 and 1 and soft edges alike.
    lossy = path.lower().endswith((".jpg", ".jpeg"))
    return labels > (127 if lossy else int(labels.max(initial=0)) // 2)
