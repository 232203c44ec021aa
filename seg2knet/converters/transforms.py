"""From sample to sample: classes renamed, dropped and checked, small objects left out, masks turned into polygons.
What a transform takes away it puts into the sample's skips.
"""

from __future__ import annotations

from typing import Optional

import msgspec

from seg2knet.converters.base import IGNORE, Measured
from seg2knet.converters.options import ConvertOptions
from seg2knet.dataset import geometry
from seg2knet.dataset.rle import areas_and_boxes, rle_to_mask
from seg2knet.dataset.sample import Note, Object, Rle, Sample, Skip
from seg2knet.dataset.text import clean_name


def prepare(sample: Sample, options: ConvertOptions, known: Optional[frozenset[str]] = None) -> Measured:
    """Do to a sample what was asked for, and measure what is left; ``known`` are the labels of the class list.

    Raises DataError: a shape that cannot be rasterised.
    """
    image, skips, notes = sample.image, list(sample.skips), list(sample.notes)
    objects = []
    for item in sample.objects:
        label = clean_name(item.label)
        if label != item.label:
            notes.append(Note("class-name-cleaned", _place(image.name, item), f"{item.label!r}: {label}"))
        name = options.mapping.get(label, label)
        if name in options.drop or label in options.drop:
            skips.append(Skip("dropped-class", _place(image.name, item), asked=True, detail=name))
        elif known is not None and name not in known and name != IGNORE:
            skips.append(Skip("class-not-listed", _place(image.name, item), detail=repr(name)))
        else:
            objects.append(item if name == item.label else msgspec.structs.replace(item, label=name))
    if options.polygons:
        objects = [_outlined(item, image.name, notes) for item in objects]
    rles = geometry.rasterize([item.shape for item in objects], image.height, image.width)
    areas, boxes = areas_and_boxes(rles)
    if areas and min(areas) < (least := max(options.min_area, 1)):
        for item, area in zip(objects, areas):
            if area == 0:
                detail = f"{item.label!r} covers no pixel's centre"
                skips.append(Skip("no-pixels", _place(image.name, item), detail=detail))
            elif area < least:
                skips.append(Skip("below-min-area", _place(image.name, item), asked=True, detail=f"{area} pixels"))
        keep = [index for index, area in enumerate(areas) if area >= least]
        objects, rles = [objects[i] for i in keep], [rles[i] for i in keep]
        areas, boxes = [areas[i] for i in keep], [boxes[i] for i in keep]
    return Measured(Sample(image, tuple(objects), sample.split, tuple(skips), tuple(notes)), rles, areas, boxes)


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
