"""Whole runs of a small model: what they leave, stopping, going on, several processes."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import drawn_sets
import pytest
from drawn_sets import SMALL

torch = pytest.importorskip("torch")
pytest.importorskip("mmdet")

import seg2knet  # noqa: E402
from seg2knet.errors import DataError, EnvironmentProblem, Seg2KNetError, UsageError  # noqa: E402
from seg2knet.trainer.options import LOGGERS, TrainOptions  # noqa: E402
from seg2knet.trainer.run import interrupt, launch  # noqa: E402

Train = Callable[..., Any]


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]


def assert_same_weights(first: Path, second: Path) -> None:
    one, two = weights(first), weights(second)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def command(data: Path, work_dir: Path, *more: str, **changed: Any) -> list[str]:
    options = {
        "work-dir": work_dir, "epochs": 2, "batch-size": 2, "img-size": 64, "backbone": "r18", "gpus": 0, "workers": 0,
        **changed,
    }  # fmt: skip
    given = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    for key, value in SMALL.items():
        given += ["--cfg-options", f"{key}={value}"]
    program = [sys.executable, "-m", "seg2knet", "train", str(data), "--no-pretrained", "--no-amp"]
    return [*program, *given, *more]


def start(arguments: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True
    )


def read_until(process: subprocess.Popen[str], start_of_line: str) -> None:
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if line.startswith(start_of_line):
            return
    raise AssertionError("".join(seen))


def test_a_run_leaves_what_it_promises(trained: Any, coco_root: Path) -> None:
    folder = trained.work_dir
    names = "config.py best.pth last.pth results.csv curves.png samples.jpg summary.json train.log labels.txt best.html"
    for name in names.split():
        assert (folder / name).stat().st_size > 0, name
    rows = list(csv.DictReader((folder / "results.csv").open()))
    assert [int(row["epoch"]) for row in rows] == [1, 2]
    assert all(float(row["loss"]) > 0 and 0 <= float(row["AP"]) <= 1 for row in rows)
    parts = [name for name in rows[0] if "loss" in name and name != "loss"]
    assert {"loss_rpn_mask", "loss_rpn_dice", "loss_rpn_seg", "s0_loss_cls", "s1_loss_mask", "s1_loss_dice"} <= set(
        parts
    )
    for row in rows:
        assert sum(float(row[name]) for name in parts) == pytest.approx(float(row["loss"]), rel=1e-4)
    batches = cv2.imread(str(folder / "batches.jpg"))
    assert batches.shape[1] > 4 * 300, "four images in a row"
    assert max((folder / name).stat().st_size for name in ("batches.jpg", "samples.jpg")) < 1_000_000
    assert "disc" in (folder / "labels.txt").read_text()
    assert "AP50" in trained.page.read_text()
    assert [row["name"] for row in trained.classes] == ["disc", "box"]
    assert sum(row["objects"] for row in trained.classes) == 6
    assert trained.epochs == 2
    assert not trained.interrupted
    log = (folder / "train.log").read_text()
    assert "instance segmentation, 2 classes" in log
    assert "epoch 2/2" in log
    assert list(folder.glob("*/*.log")), "mmengine's whole log stands in the work dir"


def test_a_checkpoint_says_what_it_is(trained: Any) -> None:
    meta = torch.load(trained.best, weights_only=True)["meta"]
    assert meta["seg2knet"]["task"] == "instance"
    assert meta["seg2knet"]["classes"] == ["disc", "box"]
    assert "num_things=2" in meta["cfg"]


def test_what_is_said_is_about_the_run_alone(coco_root: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        command(coco_root, tmp_path / "run", epochs=1), capture_output=True, text=True, check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.stderr == "loading PyTorch\n"
    for noise in ("mmengine", "OneDL", "Warning", "deprecat"):
        assert noise not in done.stdout
    assert re.search(r"^epoch 1/1  loss \d", done.stdout, re.M)
    assert "learning rate" in done.stdout
    assert re.search(r"^about \d.* for 4 steps, evaluations not counted", done.stdout, re.M)
    assert f"best checkpoint: {tmp_path / 'run' / 'best.pth'}" in done.stdout


def test_site_packages_are_left_as_they_were(coco_root: Path, train_small: Train, tmp_path: Path) -> None:
    before = dict(_installed())
    train_small(coco_root, tmp_path / "run", epochs=1)
    assert before, "nothing was looked at"
    assert dict(_installed()) == before


def _installed() -> Iterator[tuple[str, tuple[int, int, str]]]:
    for package in ("mmdet", "mmengine", "mmcv", "mmseg"):
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            continue
        for path in sorted(Path(spec.origin).parent.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                state = path.stat()
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                yield str(path), (state.st_size, state.st_mtime_ns, digest)


def test_the_config_runs_again_and_gives_the_same(trained: Any, tmp_path: Path) -> None:
    again = seg2knet.train(config=trained.config, work_dir=tmp_path / "again", gpus=0, say=lambda line: None)
    assert again.config == tmp_path / "again" / "config.py"
    assert_same_weights(trained.last, again.last)


def test_a_config_next_to_its_run_gets_a_folder_of_its_own(trained: Any, tmp_path: Path) -> None:
    again = seg2knet.train(config=trained.config, gpus=0, dry_run=True, say=lambda line: None)
    assert again.work_dir == trained.work_dir.with_name(trained.work_dir.name + "-2")
    shutil.rmtree(again.work_dir)


@pytest.mark.parametrize("stops", [(2,), (7, 6)], ids=["in an epoch", "in evaluations"])
def test_an_interrupted_run_goes_on_bit_for_bit(
    trained: Any, coco_root: Path, train_small: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stops: tuple
) -> None:
    real = interrupt.StopRequest.agreed
    for place, stop in enumerate(stops):
        asked = iter([False] * (stop - 1) + [True])
        monkeypatch.setattr(interrupt.StopRequest, "agreed", lambda self, asked=asked: next(asked))
        result, _ = train_small(coco_root, tmp_path / "run", resume=place > 0)
        assert result.interrupted
    monkeypatch.setattr(interrupt.StopRequest, "agreed", real)
    result, _ = train_small(coco_root, tmp_path / "run", resume=True)
    assert not result.interrupted
    assert_same_weights(trained.last, result.last)
    assert_same_weights(trained.best, result.best)
    assert _figures(trained.work_dir) == _figures(result.work_dir)


def _figures(folder: Path) -> list[tuple[str, ...]]:
    rows = csv.DictReader((folder / "results.csv").open())
    return [(row["epoch"], row["iteration"], row["loss"], row["lr"], row["AP"]) for row in rows]


def test_a_killed_run_resumes_where_it_was(trained: Any, coco_root: Path, train_small: Train, tmp_path: Path) -> None:
    process = start(command(coco_root, tmp_path / "run"))
    read_until(process, "epoch 1/2")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    result, _ = train_small(coco_root, tmp_path / "run", resume=True)
    assert_same_weights(trained.last, result.last)


def test_ctrl_c_saves_and_says_how_to_go_on(coco_root: Path, tmp_path: Path) -> None:
    process = start(command(coco_root, tmp_path / "run", epochs=500))
    read_until(process, "epoch   1/500")
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert f"resume with: seg2knet train --resume --work-dir {tmp_path / 'run'} --gpus 0" in output
    assert "Traceback" not in output
    assert torch.load(tmp_path / "run" / "last.pth", weights_only=True)["optimizer"]


@pytest.mark.slow
def test_ctrl_c_reaches_all_processes(coco_root: Path, tmp_path: Path) -> None:
    process = start(command(coco_root, tmp_path / "run", "--device", "cpu", epochs=500, gpus=2))
    read_until(process, "epoch   1/500")
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert "resume with: seg2knet train --resume" in output
    assert "Traceback" not in output
    process = start(command(coco_root, tmp_path / "run", "--resume", "--device", "cpu", epochs=500, gpus=2))
    assert process.stdout is not None
    time.sleep(20)
    for _ in range(2):
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.5)
    process.communicate(timeout=120)
    assert process.returncode == 130
    listed = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert not [line for line in listed.splitlines() if "run.worker" in line and str(tmp_path) in line]


def test_two_processes_see_what_one_sees(train_small: Train, tmp_path: Path) -> None:
    data = drawn_sets.coco(tmp_path / "data", train=6, val=2, objects=2)
    fixed = {**SMALL, "model.backbone.norm_eval": True}  # BatchNorm's statistics are those of a process's own images
    train_small(data, tmp_path / "one", epochs=1, cfg_options=fixed)
    train_small(data, tmp_path / "two", epochs=1, cfg_options=fixed, gpus=2, device="cpu")
    first, second = (
        next(csv.DictReader((tmp_path / name / "results.csv").open())) for name in ("one", "two")
    )  # fmt: skip
    assert float(first["loss"]) == pytest.approx(float(second["loss"]), rel=1e-4)
    one, two = weights(tmp_path / "one" / "last.pth"), weights(tmp_path / "two" / "last.pth")
    assert max(float((one[name].double() - two[name].double()).abs().max()) for name in one) < 1e-4


def test_a_process_that_dies_ends_the_run_with_its_error(train_small: Train, tmp_path: Path) -> None:
    data = drawn_sets.coco(tmp_path / "data", train=4, val=2)
    (data / "train2017" / "000.jpg").write_bytes(b"no picture")
    began = time.monotonic()
    with pytest.raises(Seg2KNetError, match=r"process \d of 2 stopped"):
        train_small(data, tmp_path / "run", gpus=2, device="cpu", validate=False)
    assert time.monotonic() - began < 300, "it must not wait for a timeout"


def test_more_gpus_than_there_are_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "count_gpus", lambda: 1)
    with pytest.raises(EnvironmentProblem) as error:
        launch.find_place(TrainOptions(gpus=2))
    assert "1 GPU" in str(error.value)
    assert "--gpus 1" in str(error.value)
    monkeypatch.setattr(launch, "count_gpus", lambda: 0)
    with pytest.raises(EnvironmentProblem, match="--gpus 0"):
        launch.find_place(TrainOptions(gpus=2))
    place = launch.find_place(TrainOptions())
    assert place.device == "cpu"
    assert "no GPU here" in str(place.note)
    monkeypatch.setattr(launch, "count_gpus", lambda: 4)
    assert launch.find_place(TrainOptions()).processes == 4
    assert launch.find_place(TrainOptions(gpus=0)).device == "cpu"


def test_another_number_of_classes_starts_the_class_layers_anew(
    trained: Any, train_small: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = drawn_sets.coco(tmp_path / "data", train=2, val=1, panoptic=True)
    train_small(data, tmp_path / "run", epochs=1, task="panoptic", load_from=str(trained.best))
    said = capsys.readouterr().out
    assert "classes that it knows: disc, box" in said
    assert "new classes: sky, ground" in said


def test_bad_data_stop_a_run_before_its_first_step(train_small: Train, tmp_path: Path) -> None:
    data = drawn_sets.coco(tmp_path / "data", train=2, val=1)
    (data / "train2017" / "000.jpg").unlink()
    with pytest.raises(DataError, match=r"000\.jpg"):
        train_small(data, tmp_path / "run")
    assert not (tmp_path / "run" / "last.pth").exists()


def test_another_runs_checkpoints_are_not_written_over(trained: Any, coco_root: Path, train_small: Train) -> None:
    with pytest.raises(UsageError, match="--resume"):
        train_small(coco_root, trained.work_dir)


def test_resuming_with_other_options_is_refused(trained: Any, coco_root: Path, train_small: Train) -> None:
    with pytest.raises(UsageError, match="--epochs 1"):
        train_small(coco_root, trained.work_dir, epochs=1, resume=True)
    with pytest.raises(UsageError, match="--amp is not what"):
        train_small(coco_root, trained.work_dir, amp=True, resume=True)
    with pytest.raises(UsageError, match="--ema is not what"):
        train_small(coco_root, trained.work_dir, ema=True, resume=True)


def test_a_finished_run_is_extended(trained: Any, coco_root: Path, train_small: Train, tmp_path: Path) -> None:
    shutil.copytree(trained.work_dir, tmp_path / "run")
    config = tmp_path / "run" / "config.py"
    config.write_text(config.read_text().replace(str(trained.work_dir), str(tmp_path / "run")))
    result, _ = train_small(coco_root, tmp_path / "run", epochs=3, resume=True)
    assert result.epochs == 3
    assert [row[0] for row in _figures(result.work_dir)] == ["1", "2", "3"]
    assert _figures(result.work_dir)[:2] == _figures(trained.work_dir)


def test_resuming_says_which_options_it_does_not_compare(trained: Any, coco_root: Path, train_small: Train) -> None:
    _, said = train_small(coco_root, trained.work_dir, resume=True, dry_run=True)
    words = "not compared with that config: --backbone, --no-pretrained, --img-size"
    assert any(line.startswith(words) for line in said), said


def test_options_do_what_they_say(
    coco_root: Path, train_small: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result, said = train_small(
        coco_root, tmp_path / "run", epochs=3, ema=True, early_stop=1, accumulate=2, balance=0.9, multi_scale=True,
        amp=True, channels_last=True,
    )  # fmt: skip
    checkpoint = torch.load(result.last, weights_only=True)
    assert "ema_state_dict" in checkpoint
    assert "no better AP for 1 epochs: stopping early" in capsys.readouterr().out
    assert result.epochs >= 2
    text = result.config.read_text()
    assert "accumulative_counts=2" in text
    assert "RandomChoiceResize" in text
    assert any("0.0016 x 4/16" in line for line in said), "the learning rate goes by the images that make a step"


def test_compiling_takes_the_network_alone(
    coco_root: Path, train_small: Train, trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(torch, "compile", lambda part: compiled.append(part.__qualname__) or part)
    result, _ = train_small(coco_root, tmp_path / "run", compile=True)
    assert compiled == ["KNet._forward"]
    assert_same_weights(trained.last, result.last)


@pytest.mark.slow
def test_a_compiled_run_learns_the_same(coco_root: Path, train_small: Train, trained: Any, tmp_path: Path) -> None:
    result, _ = train_small(coco_root, tmp_path / "run", compile=True, ema=True)
    losses = [[float(row[2]) for row in _figures(folder)] for folder in (trained.work_dir, result.work_dir)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)


@pytest.mark.slow
def test_without_a_compiler_compiling_is_refused_with_the_reason(coco_root: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "CXX": "/nowhere/g++", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        command(coco_root, tmp_path / "run", "--compile"), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "train without --compile" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_image_is_an_error_not_a_trace(train_small: Train, tmp_path: Path, workers: int) -> None:
    data = drawn_sets.coco(tmp_path / "data", train=2, val=1)
    (data / "train2017" / "000.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError) as error:
        train_small(data, tmp_path / "run", epochs=1, validate=False, workers=workers)
    assert "000.jpg" in str(error.value)
    assert "Traceback" not in str(error.value)


def test_a_logger_that_is_not_there_is_said(
    coco_root: Path, train_small: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name in LOGGERS else real(name, *more))
    with pytest.raises(EnvironmentProblem, match="pip install wandb"):
        train_small(coco_root, tmp_path / "run", logger="wandb", dry_run=True)
    result, said = train_small(coco_root, tmp_path / "run", dry_run=True)
    assert any("TensorBoard is not installed" in line for line in said)
    assert "Tensorboard" not in result.config.read_text()


def test_the_best_checkpoint_is_judged_on_the_test_split(train_small: Train, tmp_path: Path) -> None:
    data = drawn_sets.coco(tmp_path / "data", train=8, val=3, objects=2)
    annotations = data / "annotations"
    shutil.copy(annotations / "instances_val2017.json", annotations / "instances_test2017.json")
    shutil.copytree(data / "val2017", data / "test2017")
    result, _ = train_small(data, tmp_path / "run", ema=True, validate=False)
    assert result.test == pytest.approx(result.figures, abs=1e-5), "the test split is the val split here"


def test_without_a_val_split_the_last_checkpoint_is_what_there_is(train_small: Train, tmp_path: Path) -> None:
    data = drawn_sets.coco(tmp_path / "data", train=2, val=1)
    (data / "annotations" / "instances_val2017.json").unlink()
    result, said = train_small(data, tmp_path / "run", epochs=1)
    assert result.best is None
    assert result.last.is_file()
    assert any("no val split" in line for line in said)
    assert seg2knet.predict(result.last, data / "train2017" / "000.jpg")[0].width == 64


def test_a_part_of_train_chooses_the_epoch_and_the_test_split_judges_it(train_small: Train, tmp_path: Path) -> None:
    data = drawn_sets.coco(tmp_path / "data", train=8, val=3, objects=2)
    (data / "annotations" / "instances_val2017.json").rename(data / "annotations" / "instances_test2017.json")
    (data / "val2017").rename(data / "test2017")
    result, said = train_small(data, tmp_path / "run", epochs=1)
    assert any("4 of 8 training images are set apart" in line for line in said)
    assert sum(row["objects"] for row in result.classes) == 8
    assert set(result.test) == set(result.figures)
    assert result.page.is_file()
    again = seg2knet.train(config=result.config, work_dir=tmp_path / "again", gpus=0, say=lambda line: None)
    assert_same_weights(result.last, again.last)


@pytest.mark.slow
def test_a_process_that_is_killed_is_started_again_and_goes_on(tmp_path: Path) -> None:
    data = drawn_sets.coco(tmp_path / "data", train=8, val=2, objects=2)
    process = start(command(data, tmp_path / "run", "--device", "cpu", "--max-restarts", "2", epochs=6, gpus=2))
    read_until(process, "epoch 2/6")
    listed = subprocess.run(["ps", "-ww", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    ours = [line for line in listed.splitlines() if "run.worker" in line and str(tmp_path) in line]
    workers = [int(line.split()[0]) for line in ours if "torch.distributed.run" not in line]
    assert len(workers) >= 2
    os.kill(workers[-1], signal.SIGKILL)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert "epoch 6/6" in output


def test_more_objects_than_kernels_are_reported_once(
    train_small: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = drawn_sets.coco(tmp_path / "data", train=4, val=1, objects=4)
    train_small(data, tmp_path / "run", epochs=1, cfg_options={**SMALL, "model.num_kernels": 3})
    assert capsys.readouterr().out.count("has 4 objects, but the model has 3 kernels") == 1


def test_a_config_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("model = dict(type='MaskRCNN')\n")
    with pytest.raises(UsageError, match="no task"):
        seg2knet.train(config=tmp_path / "other.py", gpus=0, say=lambda line: None)
    (tmp_path / "broken.py").write_text("model = dict(\n")
    with pytest.raises(UsageError, match="not a Python file"):
        seg2knet.train(config=tmp_path / "broken.py", gpus=0, say=lambda line: None)
