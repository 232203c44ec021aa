"""What images look like, as thumbnails, and where their objects are: copies not byte for byte the same are found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seg2knet.dataset.images import parse, probe
from seg2knet.dataset.label_image import AREA, ID, X
from seg2knet.dataset.rle import size_allowed
from seg2knet.errors import DataError
from seg2knet.validators.subjects.album import album
from seg2knet.validators.subjects.data import Part
from seg2knet.validators.subjects.files import PanopticFile
from seg2knet.validators.subjects.masks import IGNORE, ade_set
from seg2knet.validators.subjects.measure import corners_of
from seg2knet.validators.subjects.memory import remembered

SIDE = 16
_HEAD = 4096
_LEAST_SPREAD = 4.0
"""Standard deviation of grey levels from which a thumbnail shows something that can be compared."""
_SIMILARITY = 0.985
"""Correlation of two thumbnails from which they may be of one image."""
_OTHER_BITS = 0.12
"""Share of the signs of neighbouring differences (dHash) that may differ between images that look the same."""
_BLOCK, _AXES = 256, 16
_OFF = 0.002
"""Share of the box of all objects by which a copy's may be off (RMS). Of two cars in Car Parts they are by 0.0058."""
_FEWEST, _SIDES, _HULL, _MOST_COMPARED = 3, 6, 32, 1000
"""Objects, sides of boxes within the box of all, and its pixels, below which images may be the same by chance."""


class Looks(NamedTuple):
    """Of each image a thumbnail, ``(N, 16, 16)`` float32 grey levels, and its ``ranges``: largest minus smallest grey
    level, -1 where it cannot be decoded."""

    thumbs: np.ndarray
    ranges: np.ndarray


class LookAlike(NamedTuple):
    """An image that looks like another, or has its layout: their indices, and whether one is the mirror image."""

    one: int
    other: int
    flipped: bool


def looks_of(paths: Sequence[str], jobs: int = 2) -> Looks:
    looks = remembered("looks", paths, _look, bytes, jobs)
    thumbs = np.frombuffer(b"".join(look[1:] or bytes(SIDE * SIDE) for look in looks), np.uint8)
    ranges = np.array([look[0] if look else -1 for look in looks], np.int64)
    return Looks(thumbs.reshape(len(looks), SIDE, SIDE).astype(np.float32), ranges)


def _look(path: str) -> bytes:
    """The range of grey levels and the thumbnail, 257 bytes; empty for what cannot be decoded."""
    import cv2

    try:
        data = Path(path).read_bytes()
        header = parse(data[:_HEAD]) or probe(path)
        if not size_allowed(header.height, header.width):
            return b""
        factor = next((each for each in (8, 4, 2) if min(header.width, header.height) >= 4 * SIDE * each), 1)
        flag = cv2.IMREAD_GRAYSCALE if factor == 1 else getattr(cv2, f"IMREAD_REDUCED_GRAYSCALE_{factor}")
        grey = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except (OSError, DataError, cv2.error):
        return b""
    if grey is None:
        return b""
    thumb = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return bytes([int(grey.max()) - int(grey.min())]) + thumb.tobytes()


def neighbours(points: np.ndarray, others: np.ndarray, reach: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of ``points``, some at a time, and those of ``others`` that may be within ``reach`` of one on every axis."""
    axis = np.ptp(points, 0).argmax() if len(points) else 0
    order, places = (np.argsort(each[:, axis], kind="stable") for each in (points, others))
    ends = others[places, axis]
    for rows in np.array_split(order, len(order) // _BLOCK + 1) if len(order) else ():
        low, high = points[rows[[0, -1]], axis] + (-reach, reach)
        yield rows, np.sort(places[np.searchsorted(ends, low) : np.searchsorted(ends, high, "right")])


def look_alikes(looks: Looks, splits: np.ndarray) -> list[LookAlike]:
    """For each image the one most like it that comes earlier in its split, and the one in a later split, if they look
    the same. ``splits``: ``(N,)`` int, the order of each image's split."""
    usable = np.flatnonzero(looks.thumbs.std(axis=(1, 2)) >= _LEAST_SPREAD)
    owners, count = splits[usable], len(usable)
    thumbs = np.concatenate([looks.thumbs[usable], looks.thumbs[usable, :, ::-1]])
    signs, vectors = np.diff(thumbs, axis=2) > 0, thumbs.reshape(2 * count, SIDE * SIDE)
    vectors = vectors - vectors.mean(1, keepdims=True)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    # Along a few axes, on which the images differ most, and in what is left of their length, alike ones are near too.
    short = vectors @ np.linalg.eigh(vectors.T @ vectors)[1][:, -_AXES:]
    short = np.column_stack([short, np.sqrt(np.maximum(1 - (short**2).sum(1), 0))])
    pairs: list[LookAlike] = []
    for rows, near in neighbours(short[:count], short, float(np.sqrt(2 - 2 * _SIMILARITY)) + 1e-3):
        near = near[(short[rows] @ short[near].T >= _SIMILARITY - 1e-3).any(0)]
        similar, others = vectors[rows] @ vectors[near].T, near % count
        earlier = (owners[others] == owners[rows, None]) & (others < rows[:, None])
        for allowed in (earlier, owners[others] > owners[rows, None]):
            best = np.where(allowed & (similar >= _SIMILARITY), similar, -1)
            for place in np.flatnonzero(best.max(1, initial=-1) > 0).tolist():
                row, other = rows[place], near[best[place].argmax()]
                if (signs[row] != signs[other]).mean() <= _OTHER_BITS:
                    pairs.append(LookAlike(int(usable[row]), int(usable[other % count]), bool(other >= count)))
    return sorted(pairs)


def objects_on(part: Part, places: Mapping[str, int], numbers: dict[str, int]) -> Iterator[np.ndarray]:
    """Rows of a split's objects: ``places`` of the image, class (``numbers`` by its name), x0, y0, x1, y1, area."""
    book = album(part)
    own = np.array([*(places.get(path, -1) for path in book.paths), -1])
    for file in part.json_files:
        rows = own[np.append(book.places(file), -1)][file.image_rows]
        if isinstance(file, PanopticFile):
            rows, corners, areas = rows[file.segments.entry], corners_of(file.segments.boxes), file.segments.areas
        else:
            corners, areas = file.shapes.extents, file.shapes.areas
        names = [numbers.setdefault(str(category.name), len(numbers)) for category in file.categories]
        yield np.column_stack([rows, np.array([*names, -1])[file.category_indices], corners, areas])
    if part.dataset.ade is not None:
        folder = ade_set(part.dataset.ade).folder(part.split)
        for image, mask in folder.pairs:
            table = folder.regions.get(mask, np.zeros((0, 6), np.int64))
            table = table[~np.isin(table[:, ID], (0, IGNORE))]
            rows = np.full(len(table), places.get(folder.images[image], -1))
            yield np.column_stack([rows, table[:, ID], corners_of(table[:, X:]), table[:, AREA]])


def same_layouts(objects: np.ndarray, splits: np.ndarray) -> list[LookAlike]:
    """For each image one in a later split with the same ``objects`` (``objects_on``) at the same places in the box of
    all of them: resized, padded, or cropped beside its objects a copy stays one."""
    objects = objects[(objects[:, 0] >= 0) & np.isfinite(objects).all(1)]
    objects = objects[np.lexsort((objects[:, 1], objects[:, 0]))]
    alike: dict[bytes, list[tuple[int, np.ndarray]]] = {}  # by the classes of an image's objects
    starts = np.flatnonzero(np.diff(objects[:, 0], prepend=-1))
    counts = np.diff(starts, append=len(objects))
    low = np.minimum.reduceat(objects[:, 2:4], starts)
    hull = np.maximum(np.maximum.reduceat(objects[:, 4:6], starts) - low, 1)
    sides = (objects[:, 2:6] - np.tile(low, 2).repeat(counts, 0)) / np.tile(hull, 2).repeat(counts, 0)
    layouts = np.column_stack([sides, objects[:, 6] / hull.prod(1).repeat(counts)])
    inner = np.add.reduceat(((sides > _OFF) & (sides < 1 - _OFF)).sum(1), starts)
    for image in np.flatnonzero((counts >= _FEWEST) & (hull.min(1) >= _HULL) & (inner >= _SIDES)):
        part = slice(starts[image], starts[image] + counts[image])
        alike.setdefault(objects[part, 1].tobytes(), []).append((int(objects[part.start, 0]), layouts[part]))
    pairs: list[LookAlike] = []
    for classes, group in alike.items():
        places, own = np.array([place for place, _ in group]), np.stack([layout for _, layout in group])
        of, changes = splits[places], np.flatnonzero(np.diff(np.frombuffer(classes))) + 1
        both = np.concatenate([own, own[..., [2, 1, 0, 3, 4]] * [-1, 1, -1, 1, 1] + [1, 0, 1, 0, 0]])
        # Sorted class by class, number by number: objects may come in any order.
        table = np.hstack([np.sort(kind, 1) for kind in np.split(both, changes, 1)]).reshape(len(both), -1)
        for rows, near in neighbours(table[: len(of)], table, _OFF * table.shape[1] ** 0.5):
            for row in rows.tolist():
                later = near[of[near % len(of)] > of[row]][:_MOST_COMPARED]
                for other in later[((table[later] - table[row]) ** 2).mean(1) <= _OFF**2][:1]:
                    pairs.append(LookAlike(int(places[row]), int(places[other % len(of)]), bool(other >= len(of))))
    return sorted(pairs)
