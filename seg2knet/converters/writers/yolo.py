"""Ultralytics' YOLO-seg: ``data.yaml``, ``images/SPLIT`` and ``labels/SPLIT`` with a row an object: class, ring.

A row is one ring. Polygons stay as they are, number for number; an object of several parts or with holes becomes one
ring joined by bridges of no width. Ultralytics cuts coordinates to whole pixels and fills the border too; rings made
from masks stand a fiftieth of a pixel inside, so that it and pycocotools draw the same pixels.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np
import orjson

from seg2knet.converters.base import IGNORE, Encoded, Measured, Writer
from seg2knet.converters.output.checking import read_back
from seg2knet.converters.registry import register_writer
from seg2knet.converters.splitting.names import without_suffix
from seg2knet.dataset import geometry
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.rle import areas_and_boxes, rle_area, rle_to_mask
from seg2knet.dataset.sample import Note, Object, Polygons, Rle, Skip

INSIDE = 0.02
"""Pixels: pycocotools rounds to fifths and does not see them; Ultralytics' cut then ends in the object's own pixel."""


@register_writer
class YoloWriter(Writer):
    name = "yolo"
    title = "Ultralytics YOLO segmentation"
    needs_classes = True

    def encode(self, measured: Measured) -> Encoded:
        image, rows, skips, changes = measured.sample.image, [], [], []
        size = image.width, image.height
        numbers = self.classes.indices() if self.classes is not None else {}
        for item, rle, box in zip(measured.sample.objects, measured.rles, measured.boxes):
            place = f"{image.name}: {item.place}"
            if item.iscrowd or item.label == IGNORE:
                skips.append(Skip("crowd", place, detail="YOLO has no crowds"))
                continue
            if self.options.boxes_only:
                x, y, width, height = box
                values = [(x + width / 2) / image.width, (y + height / 2) / image.height]
                values += [width / image.width, height / image.height]
            else:
                ring, changed = one_ring(item, rle)
                if changed:
                    changes.append(Note("pixels-changed-by-bridges", place, "", changed))
                values = geometry.fractions(np.clip(ring, 0, size), size).ravel().tolist()
            if item.attributes:
                changes.append(Note("attributes-left-out", place, ", ".join(map(str, item.attributes))))
            rows.append(b"%d %b\n" % (numbers[item.label], orjson.dumps(values)[1:-1].replace(b",", b" ")))
        return Encoded(None, len(rows), {"labels": b"".join(rows)}, tuple(skips), tuple(changes))

    def image(self, split: str, name: str) -> str:
        return f"images/{split}/{name}"

    def blob(self, kind: str, split: str, name: str) -> str:
        return f"labels/{split}/{without_suffix(name)}.txt"

    def open(self, root: Path, classes: ClassList, meta: Optional[dict[str, Any]], splits: Sequence[str]) -> None:
        # No "path": Ultralytics looks for a relative one in the current folder, and takes this file's without one.
        lines = [f"{split}: images/{split}\n" for split in splits]
        names = [f"  {number}: {json.dumps(name)}\n" for number, name in enumerate(classes.names)]
        (root / "data.yaml").write_text("".join([*lines, f"nc: {len(classes)}\n", "names:\n", *names]), "utf-8")

    def add(self, split: str, name: str, fragment: Any) -> None:
        pass

    def close(self) -> None:
        pass

    def check(self, tree: Path, written: int) -> list[str]:
        return read_back(tree, "yolo", written, boxes="as-polygons")


def one_ring(item: Object, rle: Rle) -> tuple[np.ndarray, int]:
    """An object's outline as one ring ``(N, 2)`` in pixels, and how many pixels that changes."""
    parts = item.shape.parts if isinstance(item.shape, Polygons) else []
    if len(parts) == 1:
        return _points(parts[0]), 0
    areas, _ = areas_and_boxes(geometry.rasterize([Polygons([part]) for part in parts], rle.height, rle.width))
    if parts and sum(areas) == rle_area(rle):  # they share no pixel
        ring = bridged([_points(part) for part in parts])
    else:
        rings = geometry.mask_to_rings(rle_to_mask(rle))
        ring = bridged([
            _inside(_points(edge), is_hole)
            for outer, holes in rings
            for is_hole, edge in [(False, outer), *((True, hole) for hole in holes)]
        ])  # fmt: skip
    drawn = geometry.polygons_to_rle([ring.ravel().tolist()], rle.height, rle.width)
    return ring, int((rle_to_mask(drawn) != rle_to_mask(rle)).sum())


def bridged(rings: Sequence[np.ndarray]) -> np.ndarray:
    """Rings ``(N, 2)`` as one: to the next ring where it is nearest to what is joined already, around it, and back."""
    import shapely

    joined, left = rings[0], list(rings[1:])
    while left:
        lines = shapely.shortest_line(shapely.linearrings(joined), [shapely.linearrings(ring) for ring in left])
        nearest = int(np.argmin(shapely.length(lines)))
        here, there = shapely.get_coordinates(lines[nearest])
        joined, leave = _with_corner(joined, here)
        ring, enter = _with_corner(left.pop(nearest), there)
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


def _inside(ring: np.ndarray, is_hole: bool) -> np.ndarray:
    """A ring along pixels' edges, moved a little towards the object."""
    following = np.roll(ring, -1, axis=0)
    steps = following - ring
    clockwise = (ring[:, 0] * following[:, 1] - following[:, 0] * ring[:, 1]).sum() > 0
    towards = np.stack([-steps[:, 1], steps[:, 0]], axis=1) * (1 if clockwise != is_hole else -1)
    return ring + INSIDE * np.sign(towards + np.roll(towards, 1, axis=0))


def _points(flat: Sequence[float]) -> np.ndarray:
    return np.asarray(flat, np.float64).reshape(-1, 2)
