"""From every format that is written to every target, and read again: the same masks, or the ledger says what not."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from test_ways_out import HEIGHT, WIDTH, coco, drawn, masks, outlines, pixels

import seg2knet
from seg2knet.dataset.rle import rle_to_mask
from seg2knet.dataset.sample import Rle

Masks = Counter[tuple[str, bytes]]
OUTLINES = ("coco", "cvat", "labelme", "labelstudio", "yolo")
"""Targets that hold each object on its own."""
PAINTED = ("panoptic", "ade", "voc", "masks")
SOURCES = (*OUTLINES, "ade", "voc", "masks")


def convert(format: str, source: Path, target: str) -> Any:
    out = source.parent / f"{format}-{target}"
    options = {"out": out, "split": "train", "jobs": 1, "allow_skips": True, "images": "symlink", "validate": False}
    return seg2knet.convert(format, source, to=target, sheet=False, **options)


def read(folder: Path, target: str) -> Masks:
    if target == "panoptic":
        return masks(folder, "coco", annotations="panoptic")
    return masks(folder, target)


def union(found: Masks, label: str) -> np.ndarray:
    """``(H, W)`` bool: all objects of a label."""
    of_label = [rle_to_mask(Rle(counts, HEIGHT, WIDTH)) for own, counts in found if own == label]
    return np.logical_or.reduce([np.zeros((HEIGHT, WIDTH), bool), *of_label])


@pytest.mark.parametrize(("source", "target"), itertools.product(SOURCES, (*OUTLINES, *PAINTED)))
@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(items=outlines)
def test_there_and_back(tmp_path_factory: pytest.TempPathFactory, source: str, target: str, items: list[Any]) -> None:
    first = coco(tmp_path_factory.mktemp("set") / "coco", *map(drawn, items))
    folder = first if source == "coco" else convert("coco", first, source).folders[source]
    before = read(folder, source)
    result = convert(source, folder, target)
    after, ledger = read(result.folders[target], target), result.ledger
    assert ledger.imbalance() is None
    before = Counter({key: count for key, count in before.items() if pixels(key[1])})
    if target in OUTLINES:
        assert sum(before.values()) == sum(after.values()) == ledger.written[target]
        if "pixels-changed-by-bridges" not in ledger.notes:
            assert before == after
        return
    labels = {label for label, _ in before}
    assert {label for label, _ in after} <= labels
    seen = {label: union(after, label) for label in labels}
    assert not any((seen[one] & seen[two]).any() for one, two in itertools.combinations(labels, 2))
    for label in labels:
        assert not (seen[label] & ~union(before, label)).any()
    assert np.array_equal(
        np.logical_or.reduce(list(seen.values()) or [np.zeros((HEIGHT, WIDTH), bool)]),
        np.logical_or.reduce([union(before, label) for label in labels] or [np.zeros((HEIGHT, WIDTH), bool)]),
    )
