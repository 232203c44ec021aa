"""What the writers of label tools share: the objects of an image one by one, without what a tool cannot hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from seg2knet.converters.base import IGNORE, Measured
from seg2knet.dataset.rle import Box
from seg2knet.dataset.sample import Note, Object, Polygons, Rle, Skip


class Item(NamedTuple):
    """An object, its number on the image from 1, its box, its place for the ledger, and all there is on the image."""

    number: int
    object: Object
    box: Box
    place: str
    measured: Measured

    @property
    def rle(self) -> Rle:
        return self.measured.rles[self.number - 1]

    @property
    def polygons(self) -> Sequence[list[float]]:
        """Its outlines as the source has them; none where it is a mask."""
        return self.object.shape.parts if isinstance(self.object.shape, Polygons) else ()

    def attributes_as(self, kind: str, but: Sequence[str] = ()) -> list[Note]:
        """A note that the target says its attributes, but some, otherwise or not at all."""
        lost = [str(key) for key in self.object.attributes or () if key not in but]
        return [Note(kind, self.place, ", ".join(lost))] if lost else []


def items(measured: Measured, tool: str, ignored: bool = False) -> tuple[list[Item], list[Skip]]:
    """The objects that a tool can hold; crowds, and regions to be ignored unless it has those, are skips."""
    name, held, skips = measured.sample.image.name, [], []
    for number, (item, box) in enumerate(zip(measured.sample.objects, measured.boxes), 1):
        place = f"{name}: {item.place}"
        if (item.label == IGNORE and not ignored) or (item.iscrowd and item.label != IGNORE):
            skips.append(Skip("crowd", place, detail=f"{tool} has no crowds"))
        else:
            held.append(Item(number, item, box, place, measured))
    return held, skips
