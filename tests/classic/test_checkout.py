"""What the real checkout was seen to do, against the stand-in: every kind of its configs trains and is used."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from classic_drawn import CHECKOUT, SMALL, STUFF, THINGS

from seg2knet.dataset.classes import ClassList
from seg2knet.errors import DataError, UsageError
from seg2knet.trainer import classic
from seg2knet.trainer.classic import run as classic_run
from seg2knet.trainer.classic import stack as classic_stack
from seg2knet.trainer.options import TrainOptions

CONFIGS = {
    "knet_s3_r50_fpn_ms-3x_coco": SMALL,
    "knet_s3_r50_fpn_ms-3x_coco-panoptic": SMALL,
    "knet_s3_fcn_r50-d8_8x2_512x512_adamw_80k_ade20k": {},
    "knet_s3_upernet_r50-d8_8x2_512x512_adamw_80k_ade20k": {},
    "knet_s3_upernet_swin-l_16x2_640x640_adamw_80k_ade20k": {},
}


def asked(data: tuple[Path, Path], options: dict[str, Any], name: str, work_dir: Path) -> TrainOptions:
    folder = data["ade20k" in name]
    return TrainOptions(**{**options, "data": folder, "work_dir": work_dir, "cfg_options": CONFIGS[name]}, config=name)


@pytest.mark.parametrize("name", list(CONFIGS))
def test_every_kind_of_config_trains(
    data: tuple[Path, Path], options: dict[str, Any], tmp_path: Path, name: str
) -> None:
    lines: list[str] = []
    result = classic.train(asked(data, options, name, tmp_path), knet=CHECKOUT, say=lines.append)
    assert result.best is not None
    assert result.epochs == 1 or "ade20k" in name
    said = "\n".join(lines)
    assert ("file_client_args for memcached are left out" in said) == ("panoptic" in name)
    assert ("embed_dim -> embed_dims" in said) == ("swin" in name)
    assert ("is for 32 images a step" in said) == ("16x2" in name)
    if "ade20k" not in name:
        (log,) = tmp_path.glob("*.log")
        assert "learning rate 1.25e-05" in said
        assert "lr: 1.250e-05" in log.read_text(), "the rate that the header says, not the backbone's quarter of it"


def test_an_epoch_of_repeated_data(data: tuple[Path, Path], options: dict[str, Any], tmp_path: Path) -> None:
    name = "knet_s3_r50_fpn_ms-3x_coco"
    settings = {**options, "epochs": None, "data": data[0], "work_dir": tmp_path, "cfg_options": SMALL, "config": name}
    prepared = classic_run.prepare(TrainOptions(**settings), knet=CHECKOUT)
    assert "12 epochs of 3 passes over the images, 9 steps each" in prepared.notes


def released(path: Path, config: str, folder: Path) -> Path:
    """A checkpoint as the model zoo has it: random weights of a config of the checkout, fitted to the drawn data."""
    from mmcv import Config

    from seg2knet.trainer.classic.loop import build_model

    fitted = Config.fromfile(str(folder / "config.py"))
    model = build_model(fitted, fitted.seg2knet.task)
    torch.save({"state_dict": model.state_dict(), "meta": {"config": config} if config else {}}, path)
    return path


@pytest.mark.parametrize("with_config", [True, False], ids=["of mim train", "of the model zoo"])
@pytest.mark.parametrize("task", ["instance", "panoptic", "semantic"])
def test_checkpoints_without_our_record(
    data: tuple[Path, Path], options: dict[str, Any], tmp_path: Path, task: str, with_config: bool
) -> None:
    """Config by its own text, or by the name of the file; classes from a list; counts from the tensors."""
    name = {
        "instance": "knet_s3_r50_fpn_1x_coco",
        "panoptic": "knet_s3_r50_fpn_1x_coco-panoptic",
        "semantic": "knet_s3_fcn_r50-d8_8x2_512x512_adamw_80k_ade20k",
    }[task]
    folder = data[task == "semantic"]
    settings = {**options, "data": folder, "work_dir": tmp_path / "run", "cfg_options": {}, "dry_run": True}
    classic.train(TrainOptions(**settings, config=Path(name)), knet=CHECKOUT)
    text = (tmp_path / "run" / "config.py").read_text() if with_config else ""
    text = text[: text.index("seg2knet = dict(")] if text else ""
    file = "epoch_12.pth" if with_config else f"{name}_20211016_113017-8a8645d4.pth"
    checkpoint = released(tmp_path / file, text, tmp_path / "run")
    names = THINGS if task == "instance" else (*THINGS, *STUFF)
    classes = ClassList.of(list(names), STUFF if task == "panoptic" else ())
    found = classic.evaluate(checkpoint, folder, device="cpu", knet=CHECKOUT, classes=classes)
    assert found.images == 3
    assert found.task == task
    with pytest.raises(UsageError, match="does not name its classes"):
        classic.segmenter(checkpoint, "cpu", knet=CHECKOUT)


def test_weights_that_do_not_fit_their_config(data: tuple[Path, Path], options: dict[str, Any], tmp_path: Path) -> None:
    """A file named after one config with the weights of another: said, and no traceback."""
    settings = {**options, "data": data[0], "work_dir": tmp_path / "run", "cfg_options": SMALL, "dry_run": True}
    classic.train(TrainOptions(**settings, config=Path("knet_s3_r50_fpn_1x_coco")), knet=CHECKOUT)
    checkpoint = released(tmp_path / "knet_s3_r50_fpn_1x_coco.pth", "", tmp_path / "run")
    with pytest.raises(DataError, match="the weights do not fit the config"):
        classic.segmenter(checkpoint, "cpu", knet=CHECKOUT, classes=ClassList.of(list(THINGS)))


def test_a_checkout_that_has_moved(
    data: tuple[Path, Path], options: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, moved = tmp_path / "first" / "K-Net", tmp_path / "moved" / "K-Net"
    shutil.copytree(CHECKOUT, first)
    settings = {**options, "data": data[0], "work_dir": tmp_path / "run", "config": Path("knet_s3_r50_fpn_1x_coco")}
    result = classic.train(TrainOptions(**settings), knet=first)
    moved.parent.mkdir()
    first.rename(moved)
    again = TrainOptions(config=result.config, resume=True, gpus=0)
    with pytest.raises(UsageError, match="has it moved"):
        classic.train(again)
    assert result.best is not None
    with pytest.raises(UsageError, match="has it moved"):
        classic.segmenter(result.best, "cpu")
    assert classic.train(again, knet=moved).epochs == 1
    capsys.readouterr()
    classic.segmenter(result.best, "cpu", knet=moved)
    assert capsys.readouterr().out == "", "loading prints no network"


def test_load_from_is_absolute(
    data: tuple[Path, Path], options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"state_dict": {}}, tmp_path / "start.pth")
    monkeypatch.chdir(tmp_path)
    settings = {**options, "data": data[0], "work_dir": tmp_path / "run", "load_from": "start.pth"}
    prepared = classic_run.prepare(TrainOptions(**settings, config=Path("knet_s3_r50_fpn_1x_coco")), knet=CHECKOUT)
    assert classic_stack.load_config(prepared.config)["load_from"] == str(tmp_path / "start.pth")


def test_deformable_convolutions_without_operators(
    data: tuple[Path, Path], options: dict[str, Any], tmp_path: Path
) -> None:
    from seg2knet.errors import EnvironmentProblem
    from seg2knet.trainer.openmmlab import operators

    if operators.compiled():
        pytest.skip("mmcv has operators here")
    changes = {**SMALL, "model.backbone.dcn": {"type": "DCN", "deform_groups": 1}}
    settings = {**options, "data": data[0], "work_dir": tmp_path, "cfg_options": changes, "dry_run": True}
    with pytest.raises(EnvironmentProblem, match="deformable convolutions need"):
        classic.train(TrainOptions(**settings, config=Path("knet_s3_r50_fpn_1x_coco")), knet=CHECKOUT)
