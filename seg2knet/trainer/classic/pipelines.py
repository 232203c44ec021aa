"""The datasets of a config of mmdet 2 or mmseg 0: made ours, and their pipelines changed. Plain Python on dicts."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from seg2knet.dataset.folder import DataFolder, Split
from seg2knet.trainer.openmmlab.packages import dictionaries

DATASET_TYPES = {"instance": "Seg2KNetInstance", "panoptic": "Seg2KNetPanoptic", "semantic": "Seg2KNetSemantic"}
KEPT = ("pipeline", "samples_per_gpu", "filter_empty_gt", "test_mode", "ignore_index")


def inner(dataset: Any) -> Any:
    """The dataset that a wrapper (RepeatDataset ...) wraps, the first of several concatenated; else ``None``."""
    if isinstance(dataset, (list, tuple)):
        return dataset[0] if dataset else {}
    wrapped = dataset.get("dataset", dataset.get("datasets"))
    return wrapped if isinstance(wrapped, (Mapping, list, tuple)) else None


def innermost(dataset: Any) -> Mapping[str, Any]:
    """The dataset inside all its wrappers."""
    wrapped = inner(dataset)
    return dict(dataset) if wrapped is None else innermost(wrapped)


def our_dataset(theirs: Any, data: DataFolder, split: Split, *, repeat: bool = True) -> dict[str, Any]:
    """A dataset of a config made to read ``split``; its wrappers stay (RepeatDataset only with ``repeat``), several
    concatenated datasets become one."""
    wrapped = inner(theirs)
    if wrapped is not None:
        ours = our_dataset(wrapped, data, split, repeat=repeat)
        stays = isinstance(wrapped, Mapping) and isinstance(theirs, Mapping)
        return {**theirs, "dataset": ours} if stays and (repeat or theirs.get("type") != "RepeatDataset") else ours
    ours = {key: copy.deepcopy(value) for key, value in theirs.items() if key in KEPT}
    ours.update(type=DATASET_TYPES[data.task], classes=list(data.classes.names))
    images, annotations = str(split.images.resolve()), str(split.annotations.resolve())
    if data.task == "semantic":
        for step in steps(ours["pipeline"]):
            if step.get("type") == "LoadAnnotations":
                step["reduce_zero_label"] = True
        return {**ours, "img_dir": images, "ann_dir": annotations}
    ours.update(ann_file=annotations, img_prefix=f"{images}/")
    if data.task == "panoptic":
        ours["seg_prefix"] = f"{split.pngs.resolve()}/" if split.pngs else None
    return ours


def repeats(dataset: Any) -> int:
    """How often one epoch shows each image: the product of the RepeatDatasets' ``times``."""
    wrapped = inner(dataset)
    if wrapped is None:
        return 1
    times = dataset["times"] if isinstance(dataset, Mapping) and dataset.get("type") == "RepeatDataset" else 1
    return int(times) * repeats(wrapped)


def steps(node: Any) -> Iterator[dict[str, Any]]:
    """Every step of a pipeline, those nested in others (MultiScaleFlipAug, AutoAugment) too."""
    return (part for part in dictionaries(node) if "type" in part)


def read_from_disk(node: Any) -> set[str]:
    """Take the clients of file servers (memcached, Ceph) out of pipelines; returns their names."""
    servers = set()
    for step in steps(node):
        if (step.get("file_client_args") or {}).get("backend", "disk") != "disk":
            servers.add(step.pop("file_client_args")["backend"])
    return servers


def rescale(node: Any, scale: tuple[int, int], task: str) -> None:
    """Let pipelines resize to ``scale`` (longest, shortest side at most)."""
    longest, shortest = scale
    crop = (shortest, shortest)
    for step in steps(node):
        if "img_scale" in step:
            old = step["img_scale"]
            several = isinstance(old, list) or (isinstance(old, tuple) and isinstance(old[0], (tuple, list)))
            # mmseg resizes the shorter side and crops; mmdet fits the image into both sides.
            new = (4 * shortest, shortest) if task == "semantic" else (longest, shortest)
            step["img_scale"] = [new] if several else new
            if step.get("multiscale_mode") == "range":
                step["multiscale_mode"] = "value"
        if task == "semantic" and "crop_size" in step:
            step["crop_size"] = crop
        if task == "semantic" and step.get("type") == "Pad" and step.get("size") is not None:
            step["size"] = crop
