"""``--config``: a config as it stands, with what ``--cfg-options`` change in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trees

pytest.importorskip("mmengine")

from mmengine.config import Config

from seg2knet.errors import UsageError
from seg2knet.trainer.options import TrainOptions
from seg2knet.trainer.run.records import FILES
from seg2knet.trainer.run.reruns import choose_work_dir, given, resumed, start_over

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
    "later",
    ["if True:\n    max_epochs = 24", "max_epochs += 1", "max_epochs, other = 5, 6", "max_epochs: int = 9"],
)
def test_nothing_later_in_the_file_takes_an_option_back(tmp_path: Path, later: str) -> None:
    asked = options(tmp_path, max_epochs=3)
    (tmp_path / "config.py").write_text(f"{TEXT}{later}\nrounds = dict(number=max_epochs)\n")
    with pytest.raises(UsageError, match="--trust-config"):
        given(asked)
    found = Config.fromfile(given(replace(asked, trust_config=True))[0])
    assert (found.max_epochs, found.rounds.number) == (3, 3)


def test_a_method_called_later_does_not_take_an_option_back(tmp_path: Path) -> None:
    asked = options(tmp_path, **{"model.num_kernels": 7})
    (tmp_path / "config.py").write_text(f"{TEXT}model.update(num_kernels=50)\n")
    assert Config.fromfile(given(replace(asked, trust_config=True))[0]).model.num_kernels == 7


def test_a_config_that_is_no_python_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("task: instance\nclasses: [car]\ntrain_dataloader: {}\nmodel: {}\n")
    with pytest.raises(UsageError, match="Python"):
        given(TrainOptions(config=tmp_path / "config.yaml", work_dir=tmp_path / "run"))


@pytest.mark.parametrize(
    "path", ["modle.x", "model.type.x", "train_pipeline.9.prob", "train_pipeline.x", "a b", "º", "class", "text", ""]
)
def test_options_that_lead_nowhere_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(UsageError, match="--cfg-options"):
        given(options(tmp_path, **{path: 1}))
    assert not (tmp_path / "run").exists()


def left_by_a_run(work_dir: Path) -> set[str]:
    """Files of a run and of its user; the names of the user's."""
    theirs = {"notes.txt", "old.pth", "shown/000.jpg", "eval/eval.log", "config.py"}
    log = "20260101_120000/20260101_120000.log"
    for name in (*FILES, ".last.pth.part", log, "20260101_120000/vis_data/scalars.json", *theirs):
        (work_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (work_dir / name).write_text(TEXT)
    return theirs


@pytest.mark.parametrize("elsewhere", [True, False])
def test_overwriting_removes_what_a_run_left_and_nothing_else(tmp_path: Path, elsewhere: bool) -> None:
    theirs = left_by_a_run(tmp_path / "run")
    asked = options(tmp_path) if elsewhere else TrainOptions(config=tmp_path / "run" / "config.py")
    asked = replace(asked, work_dir=tmp_path / "run")
    with pytest.raises(UsageError, match="--overwrite"):
        given(asked)
    assert trees.names(tmp_path / "run") > theirs
    file, work_dir = given(replace(asked, overwrite=True))
    assert (file, work_dir) == (tmp_path / "run" / "config.py", tmp_path / "run")
    assert trees.names(tmp_path / "run") == theirs
    assert Config.fromfile(file).max_epochs == 12


def test_overwriting_takes_the_name_without_a_number(tmp_path: Path) -> None:
    left_by_a_run(tmp_path / "coco-r50")
    assert choose_work_dir(TrainOptions(), tmp_path / "coco-r50").name == "coco-r50-2"
    assert choose_work_dir(TrainOptions(overwrite=True), tmp_path / "coco-r50").name == "coco-r50"


def test_overwriting_keeps_what_the_run_starts_from(tmp_path: Path) -> None:
    left_by_a_run(tmp_path / "run")
    before = trees.names(tmp_path / "run")
    start = str(tmp_path / "run" / ".." / "run" / "best.pth")
    with pytest.raises(UsageError, match="starts from"):
        start_over(tmp_path / "run", TrainOptions(overwrite=True, load_from=start))
    start_over(tmp_path / "run", TrainOptions())
    assert trees.names(tmp_path / "run") == before


def test_overwriting_removes_nothing_where_no_run_was(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("car")  # as a data set has it
    start_over(tmp_path, TrainOptions(overwrite=True))
    assert (tmp_path / "labels.txt").read_text() == "car"


def test_overwriting_is_neither_resuming_nor_a_rehearsal() -> None:
    for other in ("resume", "dry_run"):
        with pytest.raises(UsageError, match="contradict"):
            TrainOptions(overwrite=True, **{other: True}).check()


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """The work dir of a run that was stopped."""
    (tmp_path / "config.py").write_text(TEXT.replace("max_epochs = 12", "max_epochs = 12\nseed = max_epochs"))
    (tmp_path / "last.pth").touch()
    return tmp_path


def test_more_epochs_extend_a_run(stopped: Path) -> None:
    file, work_dir, unread = resumed(TrainOptions(work_dir=stopped, resume=True, epochs=20))
    assert (file, work_dir, unread) == (stopped / "config.py", stopped, [])
    found = Config.fromfile(file)
    assert (found.max_epochs, found.train_cfg.max_epochs) == (20, 20)
    resumed(TrainOptions(work_dir=stopped, resume=True, epochs=20))
    with pytest.raises(UsageError, match="--epochs 19 is not what the run was started with"):
        resumed(TrainOptions(work_dir=stopped, resume=True, epochs=19))


def test_what_the_config_does_not_have_is_not_compared(stopped: Path) -> None:
    assert resumed(TrainOptions(work_dir=stopped, resume=True, backbone="r18", task="instance"))[2] == ["--backbone"]
