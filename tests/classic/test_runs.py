"""Real models of mmdet 2.17 and mmseg 0.18, and the stand-in checkout, trained for an epoch on the CPU."""

from __future__ import annotations

import hashlib
import importlib.util
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from classic_drawn import CHECKOUT, SMALL

from seg2knet.dataset.images import is_image
from seg2knet.errors import Seg2KNetError, UsageError
from seg2knet.trainer import classic
from seg2knet.trainer.classic import run as classic_run
from seg2knet.trainer.classic import stack as classic_stack
from seg2knet.trainer.openmmlab import operators
from seg2knet.trainer.options import TrainOptions

OPERATORS = operators.compiled()
RUNS = {
    "solo": ("solo_r50_fpn_1x_coco", "instance", False),
    "mask-rcnn": ("mask_rcnn_r50_fpn_1x_coco", "instance", False),
    "panoptic-fpn": ("panoptic_fpn_r50_fpn_1x_coco", "panoptic", False),
    "knet": ("knet_s3_r50_fpn_1x_coco", "instance", True),
    "knet-panoptic": ("knet_s3_r50_fpn_1x_coco-panoptic", "panoptic", True),
    "fcn": ("fcn_r50-d8_512x512_80k_ade20k", "semantic", False),
}
NEED_OPERATORS = ("mask-rcnn", "panoptic-fpn")
CLASSES = {"instance": 2, "panoptic": 4, "semantic": 4}


def fingerprint(folder: Path) -> dict[str, str]:
    """Digest of every file below ``folder``, by name."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def packages() -> list[Path]:
    found = [importlib.util.find_spec(name) for name in ("mmcv", "mmdet", "mmseg")]
    return [Path(spec.origin).parent for spec in found if spec and spec.origin]


@pytest.fixture(scope="module", params=list(RUNS))
def run(
    request: pytest.FixtureRequest,
    data: tuple[Path, Path],
    options: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, Path]:
    """Task and work dir of a run that was trained to its end."""
    if request.param in NEED_OPERATORS and not OPERATORS:
        pytest.skip("mmcv has no operators here")
    name, task, ours = RUNS[request.param]
    work_dir = tmp_path_factory.mktemp("runs") / request.param
    changes = {"model.decode_head.channels": 32, "model.auxiliary_head.channels": 32} if task == "semantic" else SMALL
    before = [fingerprint(folder) for folder in (CHECKOUT, *packages())]
    classic.train(
        TrainOptions(
            **{
                **options,
                "data": data[task == "semantic"],
                "work_dir": work_dir,
                "cfg_options": changes,
                "config": name,
            }
        ),
        knet=CHECKOUT if ours else None,
    )
    after = [fingerprint(folder) for folder in (CHECKOUT, *packages())]
    assert before == after, "no file of the checkout or of an installed package changes"
    return task, work_dir


def checkpoint(work_dir: Path) -> Path:
    (best,) = work_dir.glob("best_*.pth")
    return best


def test_the_config_is_whole_and_says_the_classes(run: tuple[str, Path]) -> None:
    task, work_dir = run
    config = classic_stack.load_config(work_dir / "config.py")
    assert "_base_" not in (work_dir / "config.py").read_text(), "it is read without the file that it came from"
    assert config["seg2knet"]["task"] == task
    assert len(config["data"]["train"]["classes"]) == CLASSES[task]
    assert config["data"]["train"]["type"].startswith("Seg2KNet")


def test_the_checkpoint_has_the_classes(run: tuple[str, Path]) -> None:
    task, work_dir = run
    meta = torch.load(checkpoint(work_dir))["meta"]
    assert len(meta["CLASSES"]) == CLASSES[task]
    assert meta["CLASSES"][0] == "driver's disc"


def test_evaluation_agrees_with_training(run: tuple[str, Path], data: tuple[Path, Path]) -> None:
    """The checkpoint alone gives the figures that training wrote down; so do the same data named again."""
    task, work_dir = run
    deciding = {"instance": "AP", "panoptic": "PQ", "semantic": "mIoU"}[task]
    best = torch.load(checkpoint(work_dir))["meta"]["hook_msgs"]["best_score"]
    found = classic.evaluate(checkpoint(work_dir), device="cpu")
    assert found.figures[deciding] == pytest.approx(best, abs=1e-6)
    again = classic.evaluate(checkpoint(work_dir), data[task == "semantic"], "val", device="cpu")
    assert again.figures == found.figures
    assert found.images == 3


def test_prediction(run: tuple[str, Path], data: tuple[Path, Path]) -> None:
    task, work_dir = run
    model = classic.segmenter(checkpoint(work_dir), "cpu")
    folder = data[1] / "images" / "validation" if task == "semantic" else data[0] / "val2017"
    for picture in sorted(folder.iterdir()):
        found = model(picture)
        assert (found.height, found.width) == (96, 128)
        assert found.masks.shape == (len(found.labels), 96, 128)
        assert all(0 <= label < CLASSES[task] for label in found.labels)
        if task == "semantic":
            assert found.labelmap is not None
            assert np.array_equal(np.unique(found.labelmap), found.labels)
        if task == "panoptic":
            assert found.masks.sum(0).max() <= 1, "segments do not lie over one another"


def test_drawn_and_submitted(run: tuple[str, Path], data: tuple[Path, Path], tmp_path: Path) -> None:
    """``--show-dir`` leaves an image of truth and prediction for each, ``--format-only`` a zip."""
    task, work_dir = run
    folder = data[task == "semantic"]
    found = classic.evaluate(checkpoint(work_dir), folder, "val", device="cpu", show_dir=tmp_path / "shown")
    assert sum(map(is_image, (tmp_path / "shown").rglob("*"))) == 3
    assert found.figures
    classic.evaluate(checkpoint(work_dir), folder, "val", device="cpu", submission=tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        assert len([name for name in file.namelist() if name.endswith(".png")]) == 3 * (task != "instance")
        assert any("results" in name for name in file.namelist()) == (task != "semantic")


def test_a_written_config_runs_again(run: tuple[str, Path]) -> None:
    _, work_dir = run
    config = work_dir / "config.py"
    prepared = classic_run.prepare(TrainOptions(gpus=0, config=config))
    assert prepared.place.processes == 1
    assert prepared.config == work_dir.with_name(f"{work_dir.name}-2") / "config.py", (
        "another run's are not overwritten"
    )
    again, first = classic_stack.load_config(prepared.config), classic_stack.load_config(config)
    assert again == {**first, "work_dir": str(prepared.config.parent)}
    assert classic_run.prepare(TrainOptions(gpus=0, config=config, resume=True)).config == config
    with pytest.raises(UsageError, match="has its settings already"):
        classic_run.prepare(TrainOptions(gpus=0, epochs=3, config=config))


def test_every_config_of_mmdet_that_segments_can_be_fitted(
    data: tuple[Path, Path], options: dict[str, Any], tmp_path: Path
) -> None:
    """A written config reads back as it was meant, and no count of COCO's 80 classes is left in its model."""
    settings = {**options, "cfg_options": {}, "data": data[0]}
    folder = next(iter(classic_stack.config_folders(None)))
    wanted = (
        "mask_rcnn_r50_fpn_mstrain-poly_3x_coco", "mask_rcnn_r50_caffe_fpn_1x_coco", "ms_rcnn_r50_caffe_fpn_1x_coco",
        "cascade_mask_rcnn_r50_fpn_1x_coco", "htc_without_semantic_r50_fpn_1x_coco", "solo_r50_fpn_1x_coco",
        "decoupled_solo_r50_fpn_1x_coco", "point_rend_r50_caffe_fpn_mstrain_1x_coco", "yolact_r50_1x8_coco",
        "mask_rcnn_swin-t-p4-w7_fpn_1x_coco", "mask_rcnn_r50_fpn_sample1e-3_seesaw_loss_mstrain_2x_lvis_v1",
        "mask_rcnn_r50_fpn_1x_cityscapes", "panoptic_fpn_r50_fpn_mstrain_3x_coco",
    )  # fmt: skip
    for name in wanted:
        assert list(folder.rglob(f"{name}.py")), name
        prepared = classic_run.prepare(TrainOptions(**{**settings, "work_dir": tmp_path / name, "config": name}))
        config = classic_stack.load_config(prepared.config)
        assert not [value for value in counts(config["model"]) if value in (80, 53, 133, 1203, 8)], name


def counts(node: Any) -> list[int]:
    """Every class count in a model."""
    if isinstance(node, dict):
        own = [value for key, value in node.items() if key.startswith("num_") and key.endswith("classes")]
        return own + [each for value in node.values() for each in counts(value)]
    if isinstance(node, (list, tuple)):
        return [each for value in node for each in counts(value)]
    return []


def test_the_release_takes_two_images(data: tuple[Path, Path], options: dict[str, Any], tmp_path: Path) -> None:
    settings = {**options, "data": data[0], "work_dir": tmp_path, "batch_size": 3}
    with pytest.raises(UsageError, match="one or two images a GPU"):
        classic.train(TrainOptions(**settings, config=Path("knet_s3_r50_fpn_1x_coco")), knet=CHECKOUT)


def test_a_failure_of_the_model_is_no_traceback(
    data: tuple[Path, Path], options: dict[str, Any], tmp_path: Path
) -> None:
    changes = {**SMALL, "data.samples_per_gpu": 3}
    settings = {**options, "data": data[0], "work_dir": tmp_path, "cfg_options": changes}
    with pytest.raises(Seg2KNetError, match="training failed") as caught:
        classic.train(TrainOptions(**settings, config=Path("knet_s3_r50_fpn_1x_coco")), knet=CHECKOUT)
    assert "the release fails on three images" in str(caught.value)
    assert "Traceback" in (tmp_path / "error.log").read_text()


def test_the_wrong_task_is_said(data: tuple[Path, Path], options: dict[str, Any], tmp_path: Path) -> None:
    settings = {**options, "data": data[1], "work_dir": tmp_path}
    with pytest.raises(UsageError, match="cannot train instance segmentation"):
        classic.train(TrainOptions(**settings, config=Path("solo_r50_fpn_1x_coco")))
    with pytest.raises(UsageError, match="does not train segmentation"):
        classic.train(TrainOptions(**settings, config=Path("faster_rcnn_r50_fpn_1x_coco")))


def test_the_checkout_is_asked_for_where_it_is_gone(
    data: tuple[Path, Path], options: dict[str, Any], tmp_path: Path
) -> None:
    settings = {**options, "data": data[0], "work_dir": tmp_path, "dry_run": True}
    options = TrainOptions(**settings, config=Path("knet_s3_r50_fpn_1x_coco"))
    work_dir = classic.train(options, knet=CHECKOUT).work_dir
    config = classic_stack.load_config(work_dir / "config.py")
    assert config["seg2knet"]["knet"] == str(CHECKOUT)
    assert not list(work_dir.glob("*.pth")), "a dry run trains nothing"
