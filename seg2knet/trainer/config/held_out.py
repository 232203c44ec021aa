"""The split that the best epoch is chosen by: ``val``, a part of ``train`` set apart for it, or what is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import numpy as np
import orjson

from seg2knet.dataset.folder import DataFolder, Split
from seg2knet.dataset.images import is_image
from seg2knet.errors import UsageError
from seg2knet.trainer.options import TrainOptions

SHARE = 0.1
"""Of train, where the data have a test split and no val split: the test split must not choose the epoch."""
LEAST = 4
"""Images that are set apart at least, where train has twice as many."""


def with_truth(data: DataFolder, name: str) -> Optional[Split]:
    """A split that can be evaluated on; ``None`` where there is no such."""
    split = data.splits.get(name)
    return split if split is not None and split.has_truth and split.count else None


def choose(
    data: DataFolder, options: TrainOptions, work_dir: Path
) -> tuple[DataFolder, Optional[str], dict[Path, bytes]]:
    """The data, with ``train`` in two where a part is set apart as ``val``; the name of the split that the best epoch
    is chosen by, ``None``: nothing is evaluated; and the contents of the files to write below `work_dir`.

    Raises UsageError: ``--val`` is neither a split with annotations, a share of train, nor none.
    """
    asked, train = options.val, data.splits["train"]
    default = "val" if with_truth(data, "val") else str(SHARE) if with_truth(data, "test") else "none"
    name = asked or default
    if name == "none" or with_truth(data, name) is not None:
        return data, None if name == "none" else name, {}
    try:
        share = float(name)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        there = ", ".join(name for name in data.splits if with_truth(data, name))
        expected = f"{there}, none, or a share of train between 0 and 1"
        raise UsageError(f"--val {name} is nothing to evaluate on", file=data.root, expected=expected)
    if train.count < 2:
        return data, None, {}
    parts, files = _divide(data.task, train, share, options.seed, work_dir.resolve())
    return replace(data, splits={**data.splits, **parts}), "val", files


def _divide(
    task: str, train: Split, share: float, seed: int, folder: Path
) -> tuple[dict[str, Split], dict[Path, bytes]]:
    """Train and val as splits, by annotation files (semantic: lists of images) of their own."""
    content: dict[str, Any] = {}
    if task == "semantic":
        paths = sorted(path for path in train.images.rglob("*") if is_image(path))
        images: list[Any] = [path.relative_to(train.images).as_posix() for path in paths]
        labels: list[list[str]] = [[] for _ in images]
    else:  # ids may be numbers in quotes
        content = orjson.loads(train.annotations.read_bytes())
        images, entries = content["images"], content["annotations"]
        by_image: dict[str, list[str]] = {str(image["id"]): [] for image in images}
        for entry in entries:
            segments = entry.get("segments_info", [entry])
            by_image.setdefault(str(entry["image_id"]), []).extend(str(one["category_id"]) for one in segments)
        labels = [by_image[str(image["id"])] for image in images]
    chosen = chosen_places(labels, share, seed)
    splits, files = {}, {}
    for part in ("train", "val"):
        places = [place for place in range(len(images)) if (place in chosen) == (part == "val")]
        mine = [images[place] for place in places]
        if task == "semantic":
            file = folder / f"{part}.txt"
            files[file] = "\n".join(mine).encode()
            splits[part] = replace(train, name=part, names=file, count=len(mine))
            continue
        ids = {str(image["id"]) for image in mine}
        own = [entry for entry in entries if str(entry["image_id"]) in ids]
        file = folder / train.annotations.name.replace("train", part)
        files[file] = orjson.dumps({**content, "images": mine, "annotations": own})
        objects = sum(len(labels[place]) for place in places)
        splits[part] = replace(train, name=part, annotations=file, count=len(mine), objects=objects)
    return splits, files


def chosen_places(labels: Sequence[Collection[Any]], share: float, seed: int) -> set[int]:
    """The images to set apart: evenly from a seeded order that goes by each image's rarest class, so that a class has
    about its share there."""
    images = Counter(label for on_image in labels for label in set(on_image))
    order = np.random.default_rng(seed).permutation(len(labels)).tolist()
    order.sort(key=lambda place: min(((images[label], label) for label in labels[place]), default=(0, "")))
    count = min(max(round(share * len(labels)), min(LEAST, len(labels) // 2), 1), len(labels) - 1)
    return {order[int((place + 0.5) * len(labels) / count)] for place in range(count)}
