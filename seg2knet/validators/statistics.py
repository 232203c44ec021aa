"""What a data set holds: classes, objects, areas, sizes of images, split by split. From the columns, without images
where the annotation file says enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Optional

import numpy as np

from seg2knet.dataset.geometry import MAX_COORDINATE
from seg2knet.validators.subjects.data import DataSet, Part
from seg2knet.validators.subjects.files import CocoFile, JsonFile, PanopticFile
from seg2knet.validators.subjects.masks import IGNORE, ade_set

SMALL, LARGE = 32**2, 96**2
"""COCO's borders of small, medium and large areas, in pixels (https://cocodataset.org/#detection-eval)."""
AREA_EDGES = tuple(float(4 * 2**step) for step in range(10))
"""Square roots of areas at which the histogram's bins begin: 4, 8, ... 2048; below 4 and above are bins too."""
TOP_SIZES = 12


@dataclass
class ClassCount:
    """One class in one split."""

    name: str
    kind: str = ""  # ``thing``, ``stuff``, or empty where the data do not say
    # objects, or segments; for masks, 0. crowds: crowd regions among them. images: that have the class.
    objects: int = 0
    crowds: int = 0
    images: int = 0
    # objects by area; median_area: ``None`` where no area is known
    small: int = 0
    medium: int = 0
    large: int = 0
    median_area: Optional[float] = None
    pixels: int = 0  # of masks; 0 for objects


@dataclass
class Split:
    """One annotation file, or one folder of masks."""

    # ``train``, ``val``, ``test`` or empty. source: the file as shown. kind: instances, panoptic or semantic.
    split: str
    source: str
    kind: str
    # images, and those without an object
    images: int = 0
    empty_images: int = 0
    # objects, crowd regions among them, objects whose area is not known
    objects: int = 0
    crowds: int = 0
    without_area: int = 0
    per_image: dict[int, int] = field(default_factory=dict)  # objects an image -> images with so many
    areas: list[int] = field(default_factory=list)  # objects in each bin of ``AREA_EDGES``, the first for smaller ones
    # width, height, count of the most frequent sizes of images; other_sizes: images of any other
    sizes: list[tuple[int, int, int]] = field(default_factory=list)
    other_sizes: int = 0
    classes: list[ClassCount] = field(default_factory=list)  # in the file's order

    @property
    def title(self) -> str:
        """``train``, or the file's name where no split is known."""
        return self.split or self.source

    @property
    def mean_objects(self) -> float:
        return self.objects / self.images if self.images else 0.0

    @property
    def most_objects(self) -> int:
        return max(self.per_image, default=0)


def statistics(dataset: DataSet) -> list[Split]:
    """Every split of a data set, instance files before panoptic ones."""
    if dataset.ade is not None:
        return [_masks(dataset, part) for part in dataset.parts if part.split != "test"]
    instances = [_objects(dataset, part, part.instances) for part in dataset.parts if part.instances is not None]
    return instances + [_objects(dataset, part, part.panoptic) for part in dataset.parts if part.panoptic is not None]


def as_json(splits: Sequence[Split]) -> dict[str, Any]:
    return {
        "splits": [
            {**asdict(split), "mean_objects": round(split.mean_objects, 4), "most_objects": split.most_objects}
            for split in splits
        ],
        "area_edges": [int(edge) for edge in AREA_EDGES],
    }


def _objects(dataset: DataSet, part: Part, file: JsonFile) -> Split:
    """The figures of an annotation file, from columns over its objects."""
    table, rows = file.objects, file.image_rows
    if isinstance(file, PanopticFile):
        rows = rows[table.entry]
    kind = "instances" if isinstance(file, CocoFile) else "panoptic"
    split = Split(part.split, dataset.show(file.path), kind, file.images.count, objects=table.count)
    split.crowds = int((table.crowd == 1).sum())
    known = (table.areas > 0) & (table.areas < MAX_COORDINATE**2)
    split.without_area = int((~known).sum())
    per_image = np.bincount(rows[rows >= 0], minlength=split.images)
    split.empty_images = int((per_image == 0).sum())
    split.per_image = dict(sorted(Counter(per_image.tolist()).items()))
    bins = np.searchsorted(np.array(AREA_EDGES), np.sqrt(table.areas[known]), side="right")
    split.areas = np.bincount(bins, minlength=len(AREA_EDGES) + 1).tolist()
    _sizes(split, file.images.widths, file.images.heights)
    indices = file.category_indices
    order = np.argsort(indices, kind="stable")
    starts = np.searchsorted(indices[order], np.arange(len(file.categories) + 1))
    for place, category in enumerate(file.categories):
        own = order[starts[place] : starts[place + 1]]
        areas, images = table.areas[own][known[own]], rows[own]
        small, large = int((areas < SMALL).sum()), int((areas >= LARGE).sum())
        count = ClassCount(
            category.name if category.name is not None else f"category {category.id}",
            "" if category.isthing is None else "thing" if category.isthing else "stuff",
            objects=len(own),
            crowds=int((table.crowd[own] == 1).sum()),
            images=len(np.unique(images[images >= 0])),
            small=small,
            medium=len(areas) - small - large,
            large=large,
            median_area=float(np.median(areas)) if len(areas) else None,
        )
        split.classes.append(count)
    return split


def _sizes(split: Split, widths: np.ndarray, heights: np.ndarray) -> None:
    counts = Counter(sorted(zip(widths.tolist(), heights.tolist())))
    split.sizes = [(*size, count) for size, count in counts.most_common(TOP_SIZES)]
    split.other_sizes = len(widths) - sum(count for *_, count in split.sizes)


def _masks(dataset: DataSet, part: Part) -> Split:
    """A folder of masks: its classes by pixels and images."""
    assert dataset.ade is not None
    whole = ade_set(dataset.ade)
    folder = whole.folder(part.split)
    split = Split(part.split, dataset.show(folder.masks_dir), "semantic", images=len(folder.masks))
    pixels: Counter[int] = Counter()
    for table in folder.regions.values():
        pixels.update(dict(table[:, :2].tolist()))
    split.empty_images = sum(not set(table[:, 0].tolist()) - {0, IGNORE} for table in folder.regions.values())
    _sizes(split, *folder.gallery.stored())
    named = whole.classes if whole.classes is not None else [(key, str(key)) for key in sorted(pixels) if key % 255]
    split.classes = [ClassCount(name, images=folder.counts[key], pixels=pixels[key]) for key, name in named]
    return split
