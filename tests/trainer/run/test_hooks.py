"""What is kept of a run beside its steps, by a hook."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("torch")
pytest.importorskip("mmengine")

import torch

from seg2knet.errors import Seg2KNetError
from seg2knet.trainer.run import hooks
from seg2knet.trainer.run.hooks import CHECK_STEPS, Keeper


def step(keeper: Keeper, number: int, loss: float) -> None:
    keeper.after_train_iter(SimpleNamespace(epoch=0), number, None, {"loss": torch.tensor(loss)})


def test_a_loss_that_is_no_number_is_found_within_the_interval(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path, "instance", None, 2, 0, {})
    step(keeper, 0, float("nan"))
    for number in range(1, CHECK_STEPS - 1):
        step(keeper, number, 1.0)
    with pytest.raises(Seg2KNetError, match=f"within {CHECK_STEPS} steps before step {CHECK_STEPS}"):
        step(keeper, CHECK_STEPS - 1, 1.0)


def test_the_loss_is_not_looked_at_in_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = Keeper(tmp_path, "instance", None, 2, 0, {})
    looks: list[int] = []
    real = torch.Tensor.__float__
    monkeypatch.setattr(torch.Tensor, "__float__", lambda tensor: looks.append(1) or real(tensor))
    for number in range(2 * CHECK_STEPS + 5):
        step(keeper, number, 1.0)
    assert len(looks) == 2


def test_what_is_no_number_is_never_saved(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path, "instance", None, 2, 0, {})
    step(keeper, 0, float("inf"))
    with pytest.raises(Seg2KNetError, match="loss not finite"):
        keeper._save_last(SimpleNamespace(epoch=0))
    assert not list(tmp_path.iterdir())


def test_memory_without_the_module_that_windows_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hooks.memory() > 1
    monkeypatch.setitem(sys.modules, "resource", None)
    assert hooks.memory() == 0
