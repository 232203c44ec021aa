"""Semantic segmentation on a backbone of timm: under UPerNet; other heads are refused before anything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import drawn_sets
import pytest

pytest.importorskip("torch")
pytest.importorskip("mmseg")

from seg2knet.errors import UsageError
from seg2knet.trainer.openmmlab import operators

operators.declare_torchvision()
pytest.importorskip("timm")


def test_upernet_stands_on_a_backbone_of_timm(train_small: Any, tmp_path: Path) -> None:
    data = drawn_sets.ade(tmp_path / "data", train=2, val=1)
    result, _ = train_small(data, tmp_path / "run", epochs=1, backbone="timm/resnet18", cfg_options={})
    assert "mIoU" in result.figures
    assert result.page.is_file()
    assert "TimmFeatures" in result.config.read_text()


def test_other_heads_are_refused_with_the_reason(train_small: Any, tmp_path: Path) -> None:
    data = drawn_sets.ade(tmp_path / "data", train=2, val=1)
    with pytest.raises(UsageError, match="no K-Net of fcn on timm/resnet18"):
        train_small(data, tmp_path / "run", backbone="timm/resnet18", head="fcn", cfg_options={})
    assert not (tmp_path / "run").exists()
