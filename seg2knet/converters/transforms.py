"""From sample to sample: classes renamed, dropped and checked, small objects left out, masks turned into polygons.
What a transform takes away it puts into the sample's skips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Optional

import msgspec

from seg2knet.converters.base import IGNORE, Measured
from seg2knet.converters.options import ConvertOptions
from seg2knet.dataset import geometry
from seg2knet.dataset.rle import Box, check_size, rle_to_mask
from seg2knet.dataset.sample import Note, Object, Polygons, Rle, Sample, Skip
from seg2knet.dataset.text import clean_name

Sizes = Mapping[tuple[int, int, int], Optional[tuple[int, Box]]]
"""Pixels and box of objects, as far as they are known, by the object's ``id`` and its image's height and width."""


def measure(samples: Sequence[Sample]) -> Sizes:
    """The sizes of single polygons on many images, together, which is quicker than one by one."""
    polygons = {
        (id(item), sample.image.height, sample.image.width): item.shape.parts[0]
        for sample in samples
        for item in sample.objects
        if isinstance(item.shape, Polygons) and len(item.shape.parts) == 1 and not len(item.shape.parts[0]) % 2
    }
    outlines = [(part, height, width) for (_, height, width), part in polygons.items()]
    return dict(zip(polygons, geometry.measure_polygons(outlines)))


def prepare(
    sample: Sample, options: ConvertOptions, known: Optional[frozenset[str]] = None, sizes: Sizes = MappingProxyType({})
) -> Measured:
    """Do to a sample what was asked for, and measure what is left; ``known`` are the labels of the class list,
    ``sizes`` what ``measure`` told.

    Raises DataError: a shape that cannot be rasterised.
    """
    image, skips, notes = sample.image, list(sample.skips), list(sample.notes)
    height, width, least = image.height, image.width, max(options.min_area, 1)
    objects, areas, boxes = list[Object](), list[int](), list[Box]()
    check_size(height, width)
    for item in sample.objects:
        label, size = clean_name(item.label), sizes.get((id(item), height, width))
        if label != item.label:
            notes.append(Note("class-name-cleaned", _place(image.name, item), f"{item.label!r}: {label}"))
        name = options.mapping.get(label, label)
        if name in options.drop or label in options.drop:
            skips.append(Skip("dropped-class", _place(image.name, item), asked=True, detail=name))
            continue
        if known is not None and name not in known and name != IGNORE:
            skips.append(Skip("class-not-listed", _place(image.name, item), detail=repr(name)))
            continue
        item = item if name == item.label else msgspec.structs.replace(item, label=name)
        item = _outlined(item, image.name, notes) if options.polygons else item
        area, box = size or geometry.measure(item.shape, height, width)
        if area >= least:
            objects.append(item)
            areas.append(area)
            boxes.append(box)
        elif area == 0:
            detail = f"{item.label!r} covers no pixel's centre"
            skips.append(Skip("no-pixels", _place(image.name, item), detail=detail))
        else:
            skips.append(Skip("below-min-area", _place(image.name, item), asked=True, detail=f"{area} pixels"))
    return Measured(Sample(image, tuple(objects), sample.split, tuple(skips), tuple(notes)), areas, boxes)


def _outlined(item: Object, name: str, notes: list[Note]) -> Object:
    """A mask as polygons along its pixels' edges. Crowds stay masks: COCO has no polygons for them."""
    if not isinstance(item.shape, Rle) or item.iscrowd:
        return item
    before = rle_to_mask(item.shape)
    outline = geometry.mask_to_polygons(before)
    if outline is None:
        return item
    changed = int((before != rle_to_mask(geometry.shape_to_rle(outline, *before.shape))).sum())
    if changed:
        notes.append(Note("pixels-changed-by-polygons", _place(name, item), "holes are filled", changed))
    return msgspec.structs.replace(item, shape=outline)


def _place(name: str, item: Object) -> str:
    return f"{name}: {item.place}" if item.place else name
