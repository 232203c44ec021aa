"""From sample to sample: classes renamed, dropped and checked, small objects left out, masks turned into polygons.
What a transform takes away it puts into the sample's skips.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Optional

import msgspec

from seg2knet.converters.base import IGNORE, Measured
from seg2knet.dataset import geometry
from seg2knet.dataset.rle import areas_and_boxes, rle_to_mask
from seg2knet.dataset.sample import Note, Object, Rle, Sample, Skip
from seg2knet.dataset.text import clean_name


class Recipe(msgspec.Struct, frozen=True):
    """What ``convert`` was asked to do to each sample.

    Attributes:
        known: the labels of the class list; ``None`` where every label is a class.
        mapping: old label to new, before all else.
        drop: labels to leave out.
        min_area: objects of fewer pixels are left out.
        polygons: masks become polygons.
    """

    known: Optional[frozenset[str]] = None
    mapping: dict[str, str] = {}
    drop: frozenset[str] = frozenset()
    min_area: int = 0
    polygons: bool = False


def prepare(sample: Sample, recipe: Recipe) -> Measured:
    """Apply a recipe to a sample and measure what is left.

    Raises:
        DataError: a shape that cannot be rasterised.
    """
    image = sample.image
    objects, skips, notes = list(sample.objects), list(sample.skips), list(sample.notes)
    objects = [_cleaned(item, image.name, notes) for item in objects]
    if recipe.mapping or recipe.drop or recipe.known is not None:
        objects = _labelled(objects, recipe, image.name, skips)
    if recipe.polygons:
        objects = [_outlined(item, image.name, notes) for item in objects]
    rles = geometry.rasterize([item.shape for item in objects], image.height, image.width)
    areas, boxes = areas_and_boxes(rles)
    if areas and min(areas) < max(recipe.min_area, 1):
        keep = _large_enough(objects, areas, recipe.min_area, image.name, skips)
        objects, rles = [objects[i] for i in keep], [rles[i] for i in keep]
        areas, boxes = [areas[i] for i in keep], [boxes[i] for i in keep]
    return Measured(Sample(image, tuple(objects), sample.split, tuple(skips), tuple(notes)), rles, areas, boxes)


def _cleaned(item: Object, name: str, notes: list[Note]) -> Object:
    label = clean_name(item.label)
    if label == item.label:
        return item
    notes.append(Note("class-name-cleaned", _place(name, item), f"{item.label!r}: {label}"))
    return msgspec.structs.replace(item, label=label)


def _labelled(objects: Iterable[Object], recipe: Recipe, name: str, skips: list[Skip]) -> list[Object]:
    kept = []
    for item in objects:
        label = recipe.mapping.get(item.label, item.label)
        if label in recipe.drop or item.label in recipe.drop:
            skips.append(Skip("dropped-class", _place(name, item), asked=True, detail=label))
        elif recipe.known is not None and label not in recipe.known and label != IGNORE:
            skips.append(Skip("class-not-listed", _place(name, item), detail=repr(label)))
        else:
            kept.append(item if label == item.label else msgspec.structs.replace(item, label=label))
    return kept


def _large_enough(
    objects: Sequence[Object], areas: Sequence[int], least: int, name: str, skips: list[Skip]
) -> list[int]:
    keep = []
    for index, (item, area) in enumerate(zip(objects, areas)):
        if area == 0:
            skips.append(Skip("no-pixels", _place(name, item), detail=f"{item.label!r} covers no pixel's centre"))
        elif area < least:
            skips.append(Skip("below-min-area", _place(name, item), asked=True, detail=f"{area} pixels"))
        else:
            keep.append(index)
    return keep


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
