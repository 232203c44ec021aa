"""KN005 to KN008 and KN011: will training find what it needs in the data and on this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import metadata
from typing import Optional

import numpy as np

from seg2knet.validators.model import Hit, Severity, rule
from seg2knet.validators.rules.images import MIN_SIDE
from seg2knet.validators.subjects.album import album
from seg2knet.validators.subjects.data import DataSet
from seg2knet.validators.subjects.document import first_few
from seg2knet.validators.subjects.files import CocoFile, once

PROPOSALS = 100
"""K-Net's instance kernels, where no configuration says another number."""


def _training(dataset: DataSet) -> list[CocoFile]:
    parts = [part for part in dataset.parts if part.split == "train"] or dataset.parts[:1]
    return [part.instances for part in parts if part.instances is not None]


def dropped(file: CocoFile) -> dict[str, np.ndarray]:
    """Reason -> ``(N,)`` bool: why mmdet's ``CocoDataset.parse_data_info`` skips an object; the first that holds.

    Crowds are not among them: they are skipped because that is what a crowd is for.
    """
    table, boxes, rows = file.annotations, file.shapes.boxes, file.image_rows
    sizes = np.stack([np.append(file.images.widths, 0), np.append(file.images.heights, 0)], 1)
    size = sizes[rows]  # 0 without an image, whose row is -1
    with np.errstate(invalid="ignore"):
        inside = np.minimum(boxes[:, :2] + boxes[:, 2:], size) - np.maximum(boxes[:, :2], 0)
        reasons = {
            "no such image": rows < 0,
            "no such category": file.category_indices < 0,
            "no usable box": np.isnan(boxes[:, 0]),
            "an area not above 0": ~(table.areas > 0),
            "a box of less than one pixel": (boxes[:, 2:] < 1).any(1),
            "a box outside the image": (size > 0).all(1) & (inside <= 0).any(1),
        }
    left = table.usable & ~_crowds(file)
    for reason, mask in reasons.items():
        reasons[reason] = mask & left
        left = left & ~mask
    return reasons


def _crowds(file: CocoFile) -> np.ndarray:
    return file.annotations.has_crowd & (file.annotations.crowd != 0)


def _trainable(file: CocoFile) -> np.ndarray:
    return file.annotations.usable & ~_crowds(file) & ~np.logical_or.reduce(list(once(file, dropped).values()))


@rule("KN005", "no-trainable-instance", Severity.ERROR, on="dataset")
def no_trainable_instance(dataset: DataSet) -> Iterator[Hit]:
    """Nothing in the training split can be trained on.

    There are no annotations, or the loader skips all of them for several reasons and then stops with an uninformative
    `ValueError: need at least one array to concatenate`. A single reason is reported by its own rule.
    """
    for file in _training(dataset):
        if not all(file.has.values()) or once(file, _trainable).any() or not file.images.count:
            continue
        total, crowds = file.annotations.count, int(np.count_nonzero(_crowds(file)))
        counts = {reason: int(np.count_nonzero(mask)) for reason, mask in once(file, dropped).items()}
        if total and crowds + max(counts.values()) == total:
            continue  # one cause, which its own rule reports: CI009, CI010, CI024, CI032, CI033, CI038, CI040
        reasons = [f"{crowds:,} are crowds"] if crowds else []
        reasons += [f"{count:,} have {reason}" for reason, count in counts.items() if count]
        message, expected = "no object of this file can be trained on", "at least one object that a trainer keeps"
        found = f"{total:,} annotations" + (f", of which {', '.join(reasons)}" if reasons else "")
        yield Hit(message, file.path, "/annotations", expected=expected, found=found)


@rule("KN006", "objects-dropped-by-trainer", Severity.WARNING, on="dataset")
def objects_dropped(dataset: DataSet) -> Iterator[Hit]:
    """Objects that mmdet silently skips, counted by reason.

    A set can lose half its objects, and only the metrics are worse. The other findings say where they are and fix them.
    """
    for file in _training(dataset):
        if not all(file.has.values()) or not once(file, _trainable).any():
            continue
        for reason, mask in once(file, dropped).items():
            rows, table = np.flatnonzero(mask).tolist(), file.annotations
            if rows:
                message = f"{len(rows):,} of {table.count:,} objects are skipped in training: {reason}"
                found = f"annotations {first_few([file.shown_id(table.ids, table.has_id, row) for row in rows], 5)}"
                yield Hit(message, file.path, "/annotations", expected="every object trained on", found=found)


@rule("KN007", "images-dropped-by-trainer", Severity.WARNING, on="dataset")
def images_dropped(dataset: DataSet) -> Iterator[Hit]:
    """Images that mmdet silently skips.

    Those whose shorter side is below `filter_cfg.min_size` (32 pixels; with the images at hand IM011 reports these),
    and, where the configuration asks for it (`filter_empty_gt=True`), those without objects.
    """
    config = dataset.config_file
    limit = next((entry.value for entry in config.having("min_size") if type(entry.value) is int), MIN_SIDE)
    empty_too = any(entry.value is True for entry in config.having("filter_empty_gt"))
    for file in _training(dataset):
        images = file.images
        small = (images.widths > 0) & (images.heights > 0) & (np.minimum(images.widths, images.heights) < limit)
        if limit == MIN_SIDE and file.part is not None and album(file.part).folder:
            small[:] = False  # IM011
        empty = ~np.isin(np.arange(images.count), file.image_rows) & ~small & empty_too
        for reason, mask in ((f"a side of less than {limit} pixels", small), ("no objects (filter_empty_gt)", empty)):
            names = [repr(images.names[row]) for row in np.flatnonzero(mask).tolist()]
            if names:
                message = f"{len(names):,} of {images.count:,} images are skipped in training: {reason}"
                yield Hit(message, file.path, "/images", expected="every image trained on", found=first_few(names, 3))


@rule("KN011", "more-instances-than-proposals", Severity.WARNING, on="dataset")
def more_instances_than_proposals(dataset: DataSet) -> Iterator[Hit]:
    """An image has more objects than the model has kernels.

    Each of K-Net's kernels (100 by default) can be one object; the others of that image cannot be found, nor learned
    from. Raise the number (`--cfg-options model.num_kernels=200`), or cut large images into tiles.
    """
    stated = dataset.config_file.having("num_kernels", "num_proposals")
    limit = next((entry.value for entry in stated if type(entry.value) is int), 0) or PROPOSALS
    for file in _training(dataset):
        rows = file.image_rows[(file.image_rows >= 0) & once(file, _trainable)]
        counts = np.bincount(rows, minlength=file.images.count)
        for row in np.flatnonzero(counts > limit).tolist():
            message = f"{counts[row]:,} objects on an image, {limit} kernels to find them"
            yield file.image_hit(row, message, expected=f"at most {limit}", found=str(counts[row]))


MMCV_TOO_NEW = "mmdet 3 refuses mmcv from 2.2.0 on", "pip install 'mmcv-lite<2.2', or the maintained forks (onedl-)"
MMCV_FOR_MMDET_2 = ("mmdet 2 needs mmcv-full 1.3 to 1.7", "pip install mmcv-full==1.3.14")
RESUME = ("mmengine before 0.10.8 cannot resume with torch from 2.6 on", "pip install onedl-mmengine")
YAPF = ("mmcv before 1.7 cannot write configs with yapf from 0.40 on", "pip install 'yapf<0.40'")
PAIRS: tuple[tuple[str, str, tuple[str, str]], ...] = (
    ("mmdet>=3.0,<3.4", "mmcv>=2.2.0", MMCV_TOO_NEW),
    ("mmdet>=3.0,<3.4", "mmcv-lite>=2.2.0", MMCV_TOO_NEW),
    ("mmengine<0.10.8", "torch>=2.6", RESUME),
    ("mmdet>=2.0,<2.19", "mmcv-full>=1.8", MMCV_FOR_MMDET_2),
    ("mmdet>=2.0,<2.19", "mmcv>=1.8", MMCV_FOR_MMDET_2),
    ("mmdet>=3.0", "mmcv-full<2", ("mmdet 3 needs mmcv 2", "pip uninstall mmcv-full")),
    ("mmcv-full<2", "numpy>=1.24", ("mmcv-full 1 needs numpy before 1.24", "pip install 'numpy<1.24'")),
    ("mmcv-full<1.7", "yapf>=0.40", YAPF),
)
"""Pairs of distributions that do not work together, with why and what to do."""


@rule("KN008", "version-pair-unsupported", Severity.ERROR, on="dataset")
def version_pair_unsupported(dataset: DataSet) -> Iterator[Hit]:
    """Two installed packages do not work together.

    The stack's packages name the versions they need, and pip silently installs others when asked for them one by one;
    then the first import or the first resume fails. `seg2knet doctor` checks the whole machine.
    """
    for one, other, (why, remedy) in PAIRS:
        if (first := _installed(one)) and (second := _installed(other)):
            yield Hit(why, dataset.root, expected=remedy, found=f"{first} with {second}")


def _installed(wanted: str) -> Optional[str]:
    """``mmdet 3.3.0``, where a version of the distribution that is wanted is installed."""
    name = re.split("[<>=]", wanted)[0]
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
    from packaging.requirements import Requirement  # whose import takes longer than most rules

    return f"{name} {version}" if Requirement(wanted).specifier.contains(version, prereleases=True) else None
