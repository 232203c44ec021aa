"""Predictions as data sets of label tools, with their scores, read again by the tools' readers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from drawn import picture

from seg2knet.converters.predictions import TARGETS, PredictedSet
from seg2knet.converters.registry import reader
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.rle import mask_to_rle
from seg2knet.errors import UsageError

MASK = np.zeros((30, 40), bool)
MASK[5:20, 5:25] = True
MASK[10:14, 10:14] = False


def predicted(path: Path) -> SimpleNamespace:
    return SimpleNamespace(
        path=picture(path), width=40, height=30, labels=np.array([1]), scores=np.array([0.9]), rles=[mask_to_rle(MASK)]
    )


@pytest.mark.parametrize("format", sorted(TARGETS))
def test_predictions_of_each_target(tmp_path: Path, format: str) -> None:
    made = PredictedSet(format, tmp_path / "out", ClassList.of(["car", "tree"]))
    made.write(predicted(tmp_path / "a.png"), Path("day/a.png"))
    made.write(predicted(tmp_path / "b.jpg"), Path("b.jpg"))
    made.close()
    assert not made.ledger.target_skips
    name = TARGETS[format]
    options = {"predictions": True} if name == "labelstudio" else {}
    opened = reader(name)(tmp_path / "out" / format, reader(name).Options(**options))
    samples = [opened.read(handle) for handle in opened.scan().handles]
    assert len(samples) == 2
    assert all(sample.image.path for sample in samples)
    assert [item.label for sample in samples for item in sample.objects] == ["tree", "tree"]
    if name in ("coco", "cvat"):
        assert {str(item.attributes["score"]) for s in samples for item in s.objects if item.attributes} == {"0.9"}


def test_what_somebody_may_have_corrected_stays(tmp_path: Path) -> None:
    made = PredictedSet("cvat", tmp_path, ClassList.of(["car", "tree"]))
    made.close()
    with pytest.raises(UsageError, match="there already"):
        PredictedSet("cvat", tmp_path, ClassList.of(["car", "tree"]))
