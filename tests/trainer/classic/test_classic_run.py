"""Choosing the classic stack, and what it says where it is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from seg2knet.errors import EnvironmentProblem, UsageError
from seg2knet.trainer import classic
from seg2knet.trainer.classic import stack as classic_stack
from seg2knet.trainer.options import TrainOptions


@pytest.mark.skipif(classic.available(), reason="mmdet 2 is installed here")
def test_not_installed() -> None:
    with pytest.raises(EnvironmentProblem, match="not installed in this environment") as caught:
        classic.train(TrainOptions(config=Path("solo_r50_fpn_1x_coco")))
    assert "seg2knet setup classic" in str(caught.value)


def test_options_that_it_cannot_carry_out() -> None:
    with pytest.raises(UsageError, match="does not know --ema, --multi-scale"):
        classic.train(TrainOptions(ema=True, multi_scale=True))
    with pytest.raises(UsageError, match="on one machine"):
        classic.train(TrainOptions(nodes=2, rdzv="a:1"))


def test_configs_are_found_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "configs" / "det" / "knet"
    (folder.parent / "_base_").mkdir(parents=True)
    folder.mkdir()
    for name in ("knet_a.py", "knet_b.py", "../_base_/knet_a.py"):
        (folder / name).touch()
    assert classic_stack.find_config("knet_a", tmp_path) == folder / "knet_a.py"
    assert classic_stack.find_config("knet_b.py", tmp_path) == folder / "knet_b.py"
    assert classic_stack.find_config(str(folder / "knet_a.py")) == folder / "knet_a.py"
    with pytest.raises(UsageError, match="no config is called knet_c") as caught:
        classic_stack.find_config("knet_c", tmp_path)
    assert "did you mean knet_" in str(caught.value)
    (folder.parent / "other").mkdir()
    (folder.parent / "other" / "knet_a.py").touch()
    with pytest.raises(UsageError, match="several configs"):
        classic_stack.find_config("knet_a", tmp_path)


def test_no_checkout(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no checkout of K-Net"):
        classic_stack.add_checkout(tmp_path)
    with pytest.raises(UsageError, match="which instance model to train"):
        classic_stack.default_config("instance", None)
