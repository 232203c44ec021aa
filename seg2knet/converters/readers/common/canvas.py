"""One image while its objects are read: the size that the annotation means, objects, parts of one object, skips."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any, Optional, Union

import msgspec
import numpy as np

from seg2knet.converters.base import IGNORE
from seg2knet.dataset import geometry, images, rle
from seg2knet.dataset.label_image import window_rle
from seg2knet.dataset.sample import Image, Note, Object, Polygons, Rle, Sample, Shape, Skip
from seg2knet.errors import DataError


class Fit(msgspec.Struct, frozen=True):
    """An image's size as its annotation has it, against what its file says: the same, turned by EXIF, or another."""

    width: int  # of the image as shown
    height: int
    turn: int = 1  # EXIF orientation by which the coordinates must be turned, where they are the stored image's
    problem: Optional[str] = None  # where the sizes are two different ones: what differs, for a person
    scaled: bool = False  # they differ as those of one image at two scales do, so that coordinates cannot be right


def _fit(declared: Optional[tuple[int, int]], header: images.Header) -> Fit:
    """Compare the size that an annotation declares (width, height; ``None`` for none) with the image's."""
    width, height = header.shown
    if declared is None or declared == (width, height):
        return Fit(width, height)
    if header.orientation != 1 and declared == (header.width, header.height):
        return Fit(width, height, header.orientation)
    said = f"the annotation says {declared[0]}x{declared[1]}, the image is {width}x{height}"
    # Side by side as fractions: 1024x683 and 512x341 are one image, rounded.
    scaled = min(declared) > 0 and abs(declared[0] * height - declared[1] * width) <= max(*declared, width, height)
    return Fit(width, height, 1, said, scaled)


def _inside(item: Object, size: Fit) -> bool:
    """Whether an object given for another size fits the image, give or take a pixel."""
    if not isinstance(item.shape, Polygons):
        return (item.shape.width, item.shape.height) == (size.width, size.height)
    return all(
        min(part) >= -1 and max(part[0::2]) <= size.width + 1 and max(part[1::2]) <= size.height + 1
        for part in item.shape.parts
    )


def _turned(shape: Shape, width: int, height: int, orientation: int) -> Shape:
    """A shape given in the pixels of an image of that size as stored, in those of the image as shown (Exif 2.3, tag
    0x0112): transposed from orientation 5 on, then mirrored along x, y or both.
    """
    transposed, mirror_x, mirror_y = orientation >= 5, orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)
    if not isinstance(shape, Polygons):
        mask = rle.rle_to_mask(shape)
        mask = mask.T if transposed else mask
        return rle.mask_to_rle(mask[:: -1 if mirror_y else 1, :: -1 if mirror_x else 1])
    if transposed:
        width, height = height, width
    parts = []
    for part in shape.parts:
        xs, ys = (part[1::2], part[0::2]) if transposed else (part[0::2], part[1::2])
        xs = [width - x for x in xs] if mirror_x else xs
        ys = [height - y for y in ys] if mirror_y else ys
        parts.append([number for point in zip(xs, ys) for number in point])
    return Polygons(parts)


class NotAnObject(Exception):
    """What was read is not an object: a skip's reason and detail."""

    def __init__(self, reason: str, detail: str = "", *, asked: bool = False) -> None:
        super().__init__(detail)
        self.reason, self.detail, self.asked = reason, detail, asked


class Canvas:
    """One image: the file ``path`` or encoded ``data``, and the width and height that its annotation has ``declared``.

    ``place`` is the annotation's, for the ledger; ``strict`` refuses an impossible declared size even where the image
    is there. The annotation is in pixels of ``width`` and ``height``; ``parts`` are the objects so far, by group.

    Raises DataError: neither the image can be read nor is its size known.
    """

    def __init__(
        self,
        name: str,
        place: str,
        *,
        path: Optional[str] = None,
        data: Optional[bytes] = None,
        declared: Optional[tuple[int, int]] = None,
        extra: Optional[dict[str, Any]] = None,
        strict: bool = False,
    ) -> None:
        if declared is not None and not rle.size_allowed(max(declared[0], 1), max(declared[1], 1)):
            found, expected = f"{declared[0]}x{declared[1]}", f"at most {rle.max_pixels():,} pixels"
            if strict or (path is None and data is None):
                raise DataError("an impossible image size", file=place, found=found, expected=expected)
            declared = None
        self.place = place
        self.skips: list[Skip] = []
        self.notes: list[Note] = []
        self.parts: dict[Any, list[Object]] = {}
        if path is not None:
            try:
                header = images.probe(path)
            except DataError as error:
                if declared is None:
                    raise
                # The annotation is whole without it, which is all that --images none asks for.
                self.notes.append(Note("image-unreadable", path, f"{error.message}: {error.found}"))
                header, path = images.Header(*declared), None
        elif data is not None:
            header = images.probe_bytes(data, f"{place}: {name}")
        elif declared is not None:
            header = images.Header(*declared)
        else:
            inside = None if name in place else f"image {name!r}"
            hint = "name the folder of the images with --images-dir"
            raise DataError("neither the image nor its size is known", file=place, place=inside, hint=hint)
        self.header = header
        self.fit = _fit(declared, header)
        self.width, self.height = declared or header.shown
        path = path and os.path.abspath(path)
        self.image = Image(name, self.fit.width, self.fit.height, path, header.orientation, data, extra)

    def add(
        self,
        label: str,
        shape: Shape,
        place: str,
        *,
        group: Optional[tuple[Any, ...]] = None,
        iscrowd: bool = False,
        attributes: Optional[dict[str, Any]] = None,
        z: int = 0,
    ) -> None:
        """An object, or a part of the object of this ``group``."""
        if label == IGNORE:
            iscrowd = True
            self.note("ignored-region", place, f"{IGNORE} is not trained on: a crowd, in COCO of the first class")
        key = len(self.parts) if group is None else group
        self.parts.setdefault(key, []).append(Object(label, shape, iscrowd, place, attributes, z))

    def skip(self, reason: str, place: str, detail: str = "", *, asked: bool = False) -> None:
        self.skips.append(Skip(reason, f"{self.place}: {place}", 1, asked, detail))

    @contextlib.contextmanager
    def skipping(self, place: str) -> Iterator[None]:
        """While one object is read: a skip where it turns out not to be one, or its mask cannot be read."""
        try:
            yield
        except (NotAnObject, DataError) as problem:
            self.refuse(problem, place)

    def refuse(self, problem: Union[NotAnObject, DataError], place: str) -> None:
        if isinstance(problem, DataError):
            problem = NotAnObject("mask-unreadable", ": ".join(filter(None, (problem.message, problem.found))))
        self.skip(problem.reason, place, problem.detail, asked=problem.asked)

    def note(self, kind: str, place: str, detail: str = "", count: int = 1) -> None:
        self.notes.append(Note(kind, f"{self.place}: {place}" if place else self.place, detail, count))

    def sample(self, split: Optional[str]) -> Sample:
        """The image with its objects, in pixels of the image as shown."""
        found = [parts[0] if len(parts) == 1 else self._joined(parts) for parts in self.parts.values()]
        return Sample(self.image, tuple(self._settled(found)), split, tuple(self.skips), tuple(self.notes))

    def _settled(self, objects: Sequence[Object]) -> Sequence[Object]:
        """Objects in pixels of the image as shown; skips, where its and the annotation's size cannot be one."""
        size, header = self.fit, self.header
        if size.problem is not None:
            if size.scaled or not all(_inside(item, size) for item in objects):
                for item in objects:
                    self.skip("size-differs", item.place, f"{size.problem}: the coordinates are another image's")
                return ()
            self.note("size-differs", "", f"{size.problem}; all coordinates lie inside")
        if size.turn == 1:
            return objects
        self.note("coordinates-turned", "", f"they were the stored image's, turned as EXIF {size.turn} says")
        shapes = (_turned(item.shape, header.width, header.height, size.turn) for item in objects)
        return [msgspec.structs.replace(item, shape=shape) for item, shape in zip(objects, shapes)]

    def _joined(self, parts: Sequence[Object]) -> Object:
        first = parts[0]
        self.note("parts-joined", first.place, f"{len(parts)} parts of one {first.label}")
        shape = geometry.join([part.shape for part in parts], self.height, self.width)
        return msgspec.structs.replace(first, shape=shape, z=max(part.z for part in parts))

    def bitmap(self, mask: np.ndarray, left: int = 0, top: int = 0) -> Rle:
        """The mask ``(h, w)`` at ``left``, ``top`` of the image; NotAnObject where no pixel of it lies in the image."""
        found = window_rle(mask, left, top, self.height, self.width)
        if found is None:
            raise NotAnObject("no-pixels", "no pixel of the mask lies in the image")
        return found

    def run_length(self, code: dict[str, Any]) -> Rle:
        """COCO's ``{"size", "counts"}``, compressed or not; NotAnObject where it is not of the image's size."""
        height, width = self.height, self.width
        size, counts = code.get("size"), code.get("counts")
        if size != [height, width]:
            raise NotAnObject("rle-size-differs", f"size {size!r}, the image is {height} high, {width} wide")
        try:
            if isinstance(counts, list):
                return rle.rle_from_counts(counts, height, width)
            if isinstance(counts, str):
                return rle.rle_from_string(rle.counts_as_bytes(counts), height, width)
        except DataError as error:
            raise NotAnObject("rle-unusable", ": ".join(filter(None, (error.message, error.found)))) from None
        raise NotAnObject("rle-unusable", f"counts {type(counts).__name__}")

    def rings(self, outer: list[list[float]], holes: Sequence[list[float]] = (), even_odd: bool = False) -> Shape:
        """One object: the union of ``outer`` rings, or, with ``even_odd``, what an odd number of them covers, without
        the ``holes``; polygons, or the mask where there are holes. NotAnObject where a ring is not a polygon."""
        polygons = [polygon(ring) for ring in (*outer, *holes)]
        if len(polygons) == 1:
            return polygons[0]
        masks = [rle.rle_to_mask(geometry.shape_to_rle(each, self.height, self.width)) for each in polygons]
        union = np.logical_or.reduce(masks[: len(outer)])
        mask = np.logical_xor.reduce(masks[: len(outer)]) if even_odd else union
        for hole in masks[len(outer) :]:
            mask = mask & ~hole
        return Polygons(outer) if (mask == union).all() else rle.mask_to_rle(mask)


def polygon(flat: list[float], reason: str = "not-a-polygon") -> Polygons:
    """A flat polygon, or NotAnObject for this ``reason``."""
    problem = geometry.polygon_problem(flat)
    if problem is not None:
        raise NotAnObject(reason, problem)
    return Polygons([flat])


def box(x: float, y: float, width: float, height: float, boxes: str, degrees: float = 0.0) -> Polygons:
    """A box as ``boxes`` (``refuse``, ``as-polygons``) says; one that is turned is an outline, and never refused."""
    if not (width > 0 and height > 0):
        raise NotAnObject("not-a-box", f"width {width:g}, height {height:g}")
    if boxes == "refuse" and not degrees % 360:
        raise NotAnObject("box-only", "a box has no outline; --boxes as-polygons takes its corners")
    return polygon(geometry.box_polygon(x, y, width, height, degrees), "not-a-box")


def ellipse(cx: float, cy: float, rx: float, ry: float, degrees: float = 0.0) -> Polygons:
    if not (rx > 0 and ry > 0):
        raise NotAnObject("not-an-ellipse", f"radii {rx:g} and {ry:g}")
    return polygon(geometry.ellipse_polygon(cx, cy, rx, ry, degrees), "not-an-ellipse")
