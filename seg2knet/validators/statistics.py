"""What a data set holds: classes, objects, areas, sizes of images, split by split. From the columns, without images
where the annotation file says enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Optional

import numpy as np

from seg2knet.validators.subjects.data import DataSet, Part
from seg2knet.validators.subjects.files import CocoFile, PanopticFile
from seg2knet.validators.subjects.masks import IGNORE, ade_set

SMALL, LARGE = 32**2, 96**2
"""COCO's borders of small, medium and large areas, in pixels (https://cocodataset.org/#detection-eval)."""
AREA_EDGES = tuple(float(4 * 2**step) for step in range(10))
"""Square roots of areas at which the histogram's bins begin: 4, 8, ... 2048; below 4 and above are bins too."""
TOP_SIZES = 12


@dataclass
class ClassCount:
    """One class in one split.

    Attributes:
        name: the class. kind: ``thing``, ``stuff``, or empty where the data do not say.
        objects: objects, or segments; for masks, 0. crowds: crowd regions among them.
        images: images that have the class.
        small, medium, large: objects by area.
        median_area: pixels, ``None`` where no area is known.
        pixels: of masks; 0 for objects.
    """

    name: str
    kind: str = ""
    objects: int = 0
    crowds: int = 0
    images: int = 0
    small: int = 0
    medium: int = 0
    large: int = 0
    median_area: Optional[float] = None
    pixels: int = 0


@dataclass
class Split:
    """One annotation file, or one folder of masks.

    Attributes:
        split: ``train``, ``val``, ``test`` or empty. source: the file as shown. kind: instances, panoptic or semantic.
        images, empty_images: images, and those without an object.
        objects, crowds, without_area: objects, crowd regions among them, objects whose area is not known.
        per_image: objects an image -> images with so many.
        areas: objects in each bin of ``AREA_EDGES``, the first for smaller ones.
        sizes: width, height, count of the most frequent sizes of images; other_sizes: images of any other.
        classes: in the file's order.
    """

    split: str
    source: str
    kind: str
    images: int = 0
    empty_images: int = 0
    objects: int = 0
    crowds: int = 0
    without_area: int = 0
    per_image: dict[int, int] = field(default_factory=dict)
    areas: list[int] = field(default_factory=list)
    sizes: list[tuple[int, int, int]] = field(default_factory=list)
    other_sizes: int = 0
    classes: list[ClassCount] = field(default_factory=list)

    @property
    def mean_objects(self) -> float:
        """Objects an image."""
        return self.objects / self.images if self.images else 0.0

    @property
    def most_objects(self) -> int:
        """Objects of the image with most."""
        return max(self.per_image, default=0)

    @property
    def used_classes(self) -> int:
        """Classes that have an object or a pixel."""
        return sum(bool(each.objects or each.pixels) for each in self.classes)

    def by_size(self) -> tuple[int, int, int]:
        """Small, medium and large objects."""
        return tuple(sum(getattr(each, word) for each in self.classes) for word in ("small", "medium", "large"))


def statistics(dataset: DataSet) -> list[Split]:
    """Every split of a data set, instance files before panoptic ones."""
    if dataset.ade is not None:
        return [_masks(dataset, part) for part in dataset.parts if part.split != "test"]
    found = [_instances(dataset, part.instances, part) for part in dataset.parts if part.instances is not None]
    return found + [_panoptic(dataset, part.panoptic, part) for part in dataset.parts if part.panoptic is not None]


def as_json(splits: Sequence[Split]) -> dict[str, Any]:
    """The statistics as JSON can say them."""
    return {
        "splits": [
            {**asdict(split), "mean_objects": round(split.mean_objects, 4), "most_objects": split.most_objects}
            for split in splits
        ],
        "area_edges": [int(edge) for edge in AREA_EDGES],
    }


def _instances(dataset: DataSet, file: CocoFile, part: Part) -> Split:
    table = file.annotations
    split = Split(part.split, dataset.show(file.path), "instances", images=file.images.count)
    _count(split, file, file.image_rows, file.category_indices, table.areas, table.crowd)
    return split


def _panoptic(dataset: DataSet, file: PanopticFile, part: Part) -> Split:
    segments = file.segments
    split = Split(part.split, dataset.show(file.path), "panoptic", images=file.images.count)
    rows = file.image_rows[segments.entry] if segments.count else np.zeros(0, np.int64)
    indices = np.array([file.category_index(each) for each in segments.category_ids.tolist()], np.int64)
    _count(split, file, rows, indices, segments.areas, segments.crowd)
    return split


def _count(
    split: Split, file: Any, rows: np.ndarray, indices: np.ndarray, areas: np.ndarray, crowd: np.ndarray
) -> None:
    """Fill a split from columns: each object's image row, category index, area and ``iscrowd``."""
    split.objects, split.crowds = len(rows), int((crowd == 1).sum())
    known = np.isfinite(areas) & (areas > 0)
    split.without_area = int((~known).sum())
    per_image = np.bincount(rows[rows >= 0], minlength=split.images)
    split.empty_images = int((per_image == 0).sum())
    numbers, counts = np.unique(per_image, return_counts=True)
    split.per_image = dict(zip(numbers.tolist(), counts.tolist()))
    split.areas = _area_bins(areas[known])
    _sizes(split, file.images.widths, file.images.heights)
    order = np.argsort(indices, kind="stable")
    starts = np.searchsorted(indices[order], np.arange(len(file.categories) + 1))
    for place, category in enumerate(file.categories):
        own = order[starts[place] : starts[place + 1]]
        split.classes.append(_class(category, areas[own], rows[own], crowd[own]))


def _class(category: Any, areas: np.ndarray, rows: np.ndarray, crowd: np.ndarray) -> ClassCount:
    kind = "" if category.isthing is None else "thing" if category.isthing else "stuff"
    known = areas[np.isfinite(areas) & (areas > 0)]
    return ClassCount(
        category.name if category.name is not None else f"category {category.id}",
        kind,
        objects=len(areas),
        crowds=int((crowd == 1).sum()),
        images=len(np.unique(rows[rows >= 0])),
        small=int((known < SMALL).sum()),
        medium=int(((known >= SMALL) & (known < LARGE)).sum()),
        large=int((known >= LARGE).sum()),
        median_area=float(np.median(known)) if len(known) else None,
    )


def _area_bins(areas: np.ndarray) -> list[int]:
    places = np.searchsorted(np.array(AREA_EDGES), np.sqrt(areas), side="right")
    return np.bincount(places, minlength=len(AREA_EDGES) + 1).tolist()


def _sizes(split: Split, widths: np.ndarray, heights: np.ndarray) -> None:
    pairs, counts = np.unique(np.stack([widths, heights], axis=1), axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:TOP_SIZES]
    split.sizes = [(*pairs[each].tolist(), int(counts[each])) for each in order.tolist()]
    split.other_sizes = int(counts.sum() - counts[order].sum())


def _masks(dataset: DataSet, part: Part) -> Split:
    """A folder of masks: its classes by pixels and images."""
    assert dataset.ade is not None
    whole = ade_set(dataset.ade)
    folder = whole.folder(part.split)
    split = Split(part.split, dataset.show(folder.masks_dir), "semantic", images=len(folder.masks))
    pixels: dict[int, int] = {}
    for table in folder.regions.values():
        for number, count in table[:, :2].tolist():
            pixels[number] = pixels.get(number, 0) + count
    split.empty_images = sum(not set(table[:, 0].tolist()) - {0, IGNORE} for table in folder.regions.values())
    width, height = folder.gallery.stored()
    _sizes(split, width, height)
    named = whole.classes if whole.classes is not None else [(each, str(each)) for each in sorted(pixels) if each % 255]
    for number, name in named:
        count = ClassCount(name, images=folder.counts.get(number, 0), pixels=pixels.get(number, 0))
        split.classes.append(count)
    return split
