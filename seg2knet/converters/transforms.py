"""From sample to sample: classes renamed, dropped and checked, small objects left out, masks turned into polygons,
pictures upright. What a transform takes away it puts into the sample's skips.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Callable, Optional, Union

import msgspec

from seg2knet.converters.base import IGNORE, Measured
from seg2knet.dataset import geometry
from seg2knet.dataset.rle import Box, areas_and_boxes, mask_to_rle, rle_to_mask
from seg2knet.dataset.sample import Note, Object, Polygons, Rle, Sample, Skip
from seg2knet.errors import DataError


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


def prepare(samples: Sequence[Sample], recipe: Recipe, masks: bool = True) -> list[Union[Measured, DataError]]:
    """Apply a recipe to samples and measure what is left, together, which is quicker than one by one.

    Args:
        masks: whether the masks are needed, too.

    Returns:
        For each sample what became of it, or the error: a shape that cannot be rasterised.
    """
    recast = [_recast(sample, recipe) for sample in samples]
    sound = [each for each in recast if isinstance(each, Sample)]
    if masks:
        measured = iter([_drawn(sample, recipe) for sample in sound])
    else:
        found = geometry.measure_all([(_shapes(each), each.image.height, each.image.width) for each in sound])
        measured = iter([
            measures if isinstance(measures, DataError) else _measured(sample, recipe, [], *measures)
            for sample, measures in zip(sound, found)
        ])  # fmt: skip
    return [each if isinstance(each, DataError) else next(measured) for each in recast]


def _shapes(sample: Sample) -> list[geometry.Shape]:
    return [found.shape for found in sample.objects]


def _recast(sample: Sample, recipe: Recipe) -> Union[Sample, DataError]:
    """Classes and kinds of shapes as they are to be."""
    if not (recipe.mapping or recipe.drop or recipe.known is not None or recipe.polygons):
        return sample
    objects, skips, notes = list(sample.objects), list(sample.skips), list(sample.notes)
    if recipe.mapping or recipe.drop or recipe.known is not None:
        objects = _labelled(objects, recipe, sample.image.name, skips)
    if recipe.polygons:
        try:
            objects = [_outlined(found, sample.image.name, notes) for found in objects]
        except DataError as error:
            return error
    return Sample(sample.image, tuple(objects), sample.split, tuple(skips), tuple(notes))


def _drawn(sample: Sample, recipe: Recipe) -> Union[Measured, DataError]:
    """A sample with its masks."""
    try:
        rles = geometry.rasterize(_shapes(sample), sample.image.height, sample.image.width)
    except DataError as error:
        return error
    return _measured(sample, recipe, rles, *areas_and_boxes(rles))


def _measured(
    sample: Sample, recipe: Recipe, rles: Sequence[Rle], areas: Sequence[int], boxes: Sequence[Box]
) -> Measured:
    """A sample without the objects that are too small."""
    if not areas or min(areas) >= max(recipe.min_area, 1):
        return Measured(sample, rles, areas, boxes)
    skips = list(sample.skips)
    keep = _large_enough(sample.objects, areas, recipe.min_area, sample.image.name, skips)
    objects = tuple(sample.objects[i] for i in keep)
    left = msgspec.structs.replace(sample, objects=objects, skips=tuple(skips))
    return Measured(left, [rles[i] for i in keep] if rles else [], [areas[i] for i in keep], [boxes[i] for i in keep])


def _labelled(objects: Iterable[Object], recipe: Recipe, name: str, skips: list[Skip]) -> list[Object]:
    kept = []
    for found in objects:
        label = recipe.mapping.get(found.label, found.label)
        if label in recipe.drop or found.label in recipe.drop:
            skips.append(Skip("dropped-class", _place(name, found), asked=True, detail=label))
        elif recipe.known is not None and label not in recipe.known and label != IGNORE:
            skips.append(Skip("class-not-listed", _place(name, found), detail=repr(label)))
        else:
            kept.append(found if label == found.label else msgspec.structs.replace(found, label=label))
    return kept


def _large_enough(
    objects: Sequence[Object], areas: Sequence[int], least: int, name: str, skips: list[Skip]
) -> list[int]:
    keep = []
    for index, (found, area) in enumerate(zip(objects, areas)):
        if area == 0:
            skips.append(Skip("no-pixels", _place(name, found), detail=f"{found.label!r} covers no pixel's centre"))
        elif area < least:
            skips.append(Skip("below-min-area", _place(name, found), asked=True, detail=f"{area} pixels"))
        else:
            keep.append(index)
    return keep


def _outlined(found: Object, name: str, notes: list[Note]) -> Object:
    """A mask as polygons along its pixels' edges. Crowds stay masks: COCO has no polygons for them."""
    if not isinstance(found.shape, Rle) or found.iscrowd:
        return found
    outline = geometry.mask_to_polygons(rle_to_mask(found.shape))
    if outline is None:
        return found
    before = rle_to_mask(found.shape)
    after = rle_to_mask(geometry.shape_to_rle(outline, *before.shape))
    changed = int((before != after).sum())
    if changed:
        notes.append(Note("pixels-changed-by-polygons", _place(name, found), "holes are filled", changed))
    return msgspec.structs.replace(found, shape=outline)


def turned(objects: Iterable[Object], width: int, height: int, orientation: int) -> tuple[Object, ...]:
    """Objects given in a stored picture's pixels, in the pixels of the picture as shown.

    Args:
        width, height: of the picture as stored.
        orientation: EXIF orientation (Exif 2.3, tag 0x0112), 1..8.
    """
    if orientation == 1:
        return tuple(objects)
    return tuple(
        msgspec.structs.replace(found, shape=_turned_shape(found.shape, width, height, orientation))
        for found in objects
    )


def _turned_shape(shape: geometry.Shape, width: int, height: int, orientation: int) -> geometry.Shape:
    if isinstance(shape, Polygons):
        turn = _TURNS[orientation]
        return Polygons([_turned_part(part, lambda x, y: turn(x, y, width, height)) for part in shape.parts])
    mask = rle_to_mask(shape)
    if orientation >= 5:
        mask = mask.T
    if orientation in (2, 3, 6, 7):
        mask = mask[:, ::-1]
    if orientation in (3, 4, 7, 8):
        mask = mask[::-1]
    return mask_to_rle(mask)


def _turned_part(part: Sequence[float], turn: Callable[[float, float], tuple[float, float]]) -> list[float]:
    return [number for x, y in zip(part[0::2], part[1::2]) for number in turn(x, y)]


_TURNS: dict[int, Callable[[float, float, int, int], tuple[float, float]]] = {
    2: lambda x, y, width, height: (width - x, y),
    3: lambda x, y, width, height: (width - x, height - y),
    4: lambda x, y, width, height: (x, height - y),
    5: lambda x, y, width, height: (y, x),
    6: lambda x, y, width, height: (height - y, x),
    7: lambda x, y, width, height: (height - y, width - x),
    8: lambda x, y, width, height: (y, width - x),
}


def _place(name: str, found: Object) -> str:
    return f"{name}: {found.place}" if found.place else name
