"""The datasets of a config of the classic stack, made ours: paths, classes, class of the dataset, sizes of the images.

Plain Python on dicts, like :mod:`seg2knet.trainer.classic.config`, which calls it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from seg2knet.dataset.folder import DataFolder, Split
from seg2knet.errors import UsageError

DATASET_TYPES = {"instance": "Seg2KNetInstance", "panoptic": "Seg2KNetPanoptic", "semantic": "Seg2KNetSemantic"}
WRAPPERS = ("dataset", "datasets")


def our_dataset(before: Any, data: DataFolder, split: Split) -> dict[str, Any]:
    """One of ``data``'s parts, made ours; what wraps it (RepeatDataset ...) stays, several concatenated become one."""
    if isinstance(before, (list, tuple)):
        return our_dataset(before[0], data, split)
    for key in WRAPPERS:
        inner = before.get(key)
        if isinstance(inner, Mapping):
            return {**before, key: our_dataset(inner, data, split)}
        if isinstance(inner, (list, tuple)) and inner:
            return our_dataset(inner[0], data, split)
    kept = {
        key: copy.deepcopy(value)
        for key, value in before.items()
        if key in ("pipeline", "samples_per_gpu", "filter_empty_gt", "test_mode", "ignore_index")
    }
    made: dict[str, Any] = {**kept, "type": DATASET_TYPES[data.task], "classes": list(data.classes.names)}
    if data.task == "semantic":
        made.update(img_dir=str(split.images.resolve()), ann_dir=str(split.annotations.resolve()))
        for step in steps(made["pipeline"]):
            if step.get("type") == "LoadAnnotations":
                step["reduce_zero_label"] = True
        return made
    made.update(ann_file=str(split.annotations.resolve()), img_prefix=f"{split.images.resolve()}/")
    if data.task == "panoptic":
        made["seg_prefix"] = f"{split.pngs.resolve()}/" if split.pngs else None
    return made


def use_split(before: Any, data: DataFolder, split: str, classes: list[str]) -> dict[str, Any]:
    """A config's ``data.test`` turned to a split of another data set.

    Raises:
        UsageError: there is no such split, or it has other classes than the model.
    """
    if sorted(data.classes.names) != sorted(classes):
        raise UsageError(
            "the data have other classes than the model",
            file=data.root,
            found=", ".join(data.classes.names),
            expected=", ".join(classes),
        )
    return {**our_dataset(before, data, data.split(split)), "classes": list(classes)}


def innermost(dataset: Any) -> Mapping[str, Any]:
    """The dataset inside its wrappers; of several, the first."""
    if isinstance(dataset, (list, tuple)):
        return innermost(dataset[0]) if dataset else {}
    for key in WRAPPERS:
        if isinstance(dataset.get(key), (Mapping, list, tuple)):
            return innermost(dataset[key])
    return dict(dataset)


def steps(node: Any) -> Iterator[dict[str, Any]]:
    """Every step of a pipeline, those nested in others (MultiScaleFlipAug, AutoAugment) too, as they stand in it."""
    if isinstance(node, dict):
        if "type" in node:
            yield node
        for value in node.values():
            yield from steps(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from steps(value)


def rescale(dataset: Any, scale: tuple[int, int], task: str) -> None:
    """Let a dataset's pipelines resize to ``scale`` (longest, shortest side at most)."""
    longest, shortest = scale
    crop = (shortest, shortest)
    for step in steps(dataset):
        if "img_scale" in step:
            old = step["img_scale"]
            many = isinstance(old, list) or (isinstance(old, tuple) and old and isinstance(old[0], (tuple, list)))
            # mmseg resizes the shorter side and crops; mmdet fits the picture into both sides.
            new = (4 * shortest, shortest) if task == "semantic" else (longest, shortest)
            step["img_scale"] = [new] if many else new
            if step.get("multiscale_mode") == "range":
                step["multiscale_mode"] = "value"
        if task == "semantic" and "crop_size" in step:
            step["crop_size"] = crop
        if task == "semantic" and step.get("type") == "Pad" and step.get("size") is not None:
            step["size"] = crop
