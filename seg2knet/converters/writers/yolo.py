"""Ultralytics' YOLO-seg: ``data.yaml``, ``images/SPLIT`` and ``labels/SPLIT`` with a row an object: class, ring.

A row is one ring. A polygon stays as it is, number for number; the mask of an object of several parts or with holes
becomes one ring joined by bridges of no width. Ultralytics cuts coordinates to whole pixels and fills the border too:
a bridge becomes a pixel wide. Rings made from masks stand a fiftieth of a pixel inside, so that but for the bridges it
and pycocotools draw the same pixels.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import cv2
import numpy as np
import orjson

from seg2knet.converters.base import Encoded, Measured, Writer
from seg2knet.converters.registry import register_writer
from seg2knet.converters.splitting.names import without_suffix
from seg2knet.converters.writers.shapes import Item, items
from seg2knet.dataset import geometry
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.rle import rle_to_mask
from seg2knet.dataset.sample import Note

INSIDE = 0.02
"""Pixels: pycocotools rounds to fifths and does not see them; Ultralytics' cut then ends in the object's own pixel."""

_PAIRS = 1 << 20
"""Pairs of corners of two rings that are compared, at most."""


@register_writer
class YoloWriter(Writer):
    name = "yolo"
    title = "Ultralytics YOLO segmentation"
    needs_classes = True
    reread = True

    def encode(self, measured: Measured) -> Encoded:
        size = measured.sample.image.width, measured.sample.image.height
        rows: list[bytes] = []
        changes: list[Note] = []
        held, skips = items(measured, "YOLO")
        for item in held:
            if self.options.boxes_only:
                x, y, width, height = item.box
                values = (np.array([x + width / 2, y + height / 2, width, height]) / (*size, *size)).tolist()
            else:
                ring, changed = one_ring(item)
                if changed:
                    changes.append(Note("pixels-changed-by-bridges", item.place, "", changed))
                values = geometry.fractions(np.clip(ring, 0, size), size).ravel().tolist()
            changes += item.attributes_as("attributes-left-out")
            rows.append(
                b"%d %b\n" % (self.numbers[item.object.label] - 1, orjson.dumps(values)[1:-1].replace(b",", b" "))
            )
        return Encoded(None, len(rows), {"labels": b"".join(rows)}, skips, changes)

    def reader_options(self) -> dict[str, Any]:
        return {"boxes": "as-polygons"}

    def blob(self, kind: str, split: str, name: str) -> str:
        return f"labels/{split}/{without_suffix(name)}.txt"

    def open(self, root: Path, classes: ClassList, meta: Optional[dict[str, Any]], splits: Sequence[str]) -> None:
        # No "path": Ultralytics looks for a relative one in the current folder, and takes this file's without one.
        lines = [f"{split}: images/{split}\n" for split in splits]
        names = [f"  {number}: {json.dumps(name)}\n" for number, name in enumerate(classes.names)]
        (root / "data.yaml").write_text("".join([*lines, f"nc: {len(classes)}\n", "names:\n", *names]), "utf-8")


def one_ring(item: Item) -> tuple[np.ndarray, int]:
    """An object's outline as one ring ``(N, 2)`` in pixels, and how many pixels are drawn otherwise for its bridges."""
    if len(item.polygons) == 1:
        return _points(item.polygons[0]), 0
    mask = rle_to_mask(item.rle)
    parts = geometry.mask_to_rings(mask)
    ring = bridged([_inside(_points(outer), mask, False) for outer, _ in parts], among_parts=True)
    ring = bridged([ring, *(_inside(_points(hole), mask, True) for _, holes in parts for hole in holes)])
    by_pycocotools = rle_to_mask(geometry.polygons_to_rle([ring.ravel().tolist()], *mask.shape))
    by_ultralytics = np.zeros(mask.shape, np.uint8)
    cv2.fillPoly(by_ultralytics, [ring.astype(np.int32)], 1)  # as polygon2mask in its loader does
    return ring, int(np.count_nonzero((by_pycocotools != mask) | (by_ultralytics != mask)))


def bridged(rings: Sequence[np.ndarray], among_parts: bool = False) -> np.ndarray:
    """Rings ``(N, 2)`` as one: to the next ring where it is nearest to what is joined already, around it, and back.

    Among parts a bridge covers what is no object: there it goes where it is drawn with the fewest pixels.
    """
    import shapely

    joined, left = rings[0], list(rings[1:])
    while left:
        lines = shapely.shortest_line(shapely.linearrings(joined), [shapely.linearrings(ring) for ring in left])
        nearest = int(np.argmin(shapely.length(lines)))
        (here, there), ring = shapely.get_coordinates(lines[nearest]), left.pop(nearest)
        if among_parts and len(joined) * len(ring) <= _PAIRS:
            pixels = np.abs(joined[:, None] - ring).max(axis=2)
            leave, enter = np.unravel_index(pixels.argmin(), pixels.shape)
            if pixels[leave, enter] < np.abs(here - there).max():
                here, there = joined[leave], ring[enter]
        joined, leave = _with_corner(joined, here)
        ring, enter = _with_corner(ring, there)
        around = np.concatenate((ring[enter:], ring[: enter + 1]))
        joined = np.concatenate((joined[: leave + 1], around, joined[leave:]))
    return joined


def _with_corner(ring: np.ndarray, point: np.ndarray) -> tuple[np.ndarray, int]:
    """A ring with a point of it as a corner, and which one that is."""
    import shapely

    there = np.flatnonzero((ring == point).all(axis=1))
    if len(there):
        return ring, int(there[0])
    along = shapely.line_locate_point(shapely.linearrings(ring), shapely.points(point))
    ends = np.cumsum(np.hypot(*(np.roll(ring, -1, axis=0) - ring).T))
    place = min(int(np.searchsorted(ends, along)), len(ring) - 1) + 1
    return np.insert(ring, place, point, axis=0), place


def _inside(ring: np.ndarray, mask: np.ndarray, is_hole: bool) -> np.ndarray:
    """A ring along pixels' edges, moved a little towards the object."""
    following = np.roll(ring, -1, axis=0)
    leaving = np.sign(following - ring)
    clockwise = (ring[:, 0] * following[:, 1] - following[:, 0] * ring[:, 1]).sum() > 0
    towards = np.stack([-leaving[:, 1], leaving[:, 0]], axis=1) * (1 if clockwise != is_hole else -1)
    before, coming = np.roll(towards, 1, axis=0), np.roll(leaving, 1, axis=0)
    inwards = np.sign(towards + before)
    # Where two pixels touch at a corner alone, the way from one to the other is over that corner.
    columns, rows = np.floor(ring + inwards / 2).astype(int).T
    pinched = ~mask[rows.clip(0, mask.shape[0] - 1), columns.clip(0, mask.shape[1] - 1)]
    moves = np.stack([np.where(pinched[:, None], before - coming, inwards), towards + leaving], axis=1)
    return (ring[:, None] + INSIDE * moves)[np.stack([np.ones_like(pinched), pinched], axis=1)]


def _points(flat: Sequence[float]) -> np.ndarray:
    return np.asarray(flat, np.float64).reshape(-1, 2)
