"""``--config``: a config as it stands, with what ``--cfg-options`` change in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mmengine")

from mmengine.config import Config

from seg2knet.errors import UsageError
from seg2knet.trainer.options import TrainOptions
from seg2knet.trainer.reruns import given

TEXT = """
max_epochs = 12
train_cfg = dict(max_epochs=max_epochs)
task = 'instance'
classes = ['car']
train_dataloader = dict(batch_size=2)
train_pipeline = [dict(type='A'), dict(type='B', prob=0.5)]
model = dict(type='KNet', num_kernels=100)
"""


def options(tmp_path: Path, **changes: Any) -> TrainOptions:
    (tmp_path / "config.py").write_text(TEXT)
    return TrainOptions(config=tmp_path / "config.py", work_dir=tmp_path / "run", cfg_options=changes)


def test_options_change_what_they_name(tmp_path: Path) -> None:
    changes = {"model.num_kernels": 7, "train_pipeline.01.prob": 0, "train_pipeline.-2": {"type": "C"}, "new": "x"}
    file, _ = given(options(tmp_path, **changes))
    found = Config.fromfile(file)
    assert found.model.num_kernels == 7
    assert found.train_pipeline == [{"type": "C"}, {"type": "B", "prob": 0}]
    assert found.new == "x"
    assert found.work_dir == str(tmp_path / "run")


def test_what_is_made_of_a_changed_variable_follows(tmp_path: Path) -> None:
    file, _ = given(options(tmp_path, **{"max_epochs": 3, "model.drop": [0], "model.drop.0": float("inf")}))
    found = Config.fromfile(file)
    assert found.train_cfg.max_epochs == 3
    assert found.model.drop == [float("inf")]


@pytest.mark.parametrize(
    "path", ["modle.x", "model.type.x", "train_pipeline.9.prob", "train_pipeline.x", "a b", "º", "class", "text", ""]
)
def test_options_that_lead_nowhere_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(UsageError, match="--cfg-options"):
        given(options(tmp_path, **{path: 1}))
    assert not (tmp_path / "run").exists()
