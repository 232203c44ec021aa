"""The authors' table: names, what they stand for, and that each model runs forward and backward."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest

from seg2knet.errors import EnvironmentProblem, UsageError
from seg2knet.trainer.config import models
from seg2knet.trainer.config.models import MODELS


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("knet-s3-r50-fpn-1x", "knet-s3-r50-fpn-1x"),
        ("knet_s3_r50_fpn_1x_coco", "knet-s3-r50-fpn-1x"),
        ("knet_s3_r50_fpn_ms-3x_coco-panoptic.py", "knet-s3-r50-fpn-ms-3x-panoptic"),
        ("KNet-S3-UPerNet-Swin-T-ADE20K", "knet-s3-upernet-swin-t-ade"),
    ],
)
def test_names(asked: str, name: str) -> None:
    assert models.get(asked).name == name


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(UsageError, match="knet-s3-r101-fpn-ms-3x"):
        models.get("knet-s3-r101-fpn-3x")


def test_the_table_has_every_task_and_backbone() -> None:
    by_task: dict[str, set[str]] = {}
    for spec in MODELS.values():
        by_task.setdefault(spec.task, set()).add(spec.backbone)
    assert by_task["instance"] == by_task["panoptic"] == {"r50", "r101", "r101-dcn", "swin-l"}
    assert by_task["semantic"] == {"r50", "swin-t", "swin-l"}
    assert {spec.head for spec in MODELS.values() if spec.task == "semantic"} == {
        "fcn",
        "pspnet",
        "deeplabv3",
        "upernet",
    }


@pytest.mark.parametrize(
    ("task", "backbone", "head", "model", "name"),
    [
        ("instance", "r50", None, None, "knet-s3-r50-fpn-1x"),
        ("instance", "r101", None, None, "knet-s3-r101-fpn-ms-3x-panoptic"),
        ("panoptic", "r50", None, None, "knet-s3-r50-fpn-ms-3x-panoptic"),
        ("panoptic", "r50", None, "knet-s3-r50-fpn-1x-panoptic", "knet-s3-r50-fpn-1x-panoptic"),
        ("instance", "r50", None, "knet-s3-r50-fpn-ms-3x", "knet-s3-r50-fpn-1x"),
        ("instance", "swin-l", None, None, "knet-s3-swin-l-fpn-ms-3x-panoptic"),
        ("semantic", "swin-t", None, None, "knet-s3-upernet-swin-t-ade"),
        ("semantic", "r50", "fcn", None, "knet-s3-fcn-r50-ade"),
        ("semantic", "r101", None, None, None),
        ("instance", "r18", None, None, None),
    ],
)
def test_what_a_run_starts_from(task: str, backbone: str, head: Any, model: Any, name: Any) -> None:
    spec = models.trained(task, backbone, head, model)
    assert (spec.name if spec else None) == name


def test_released_weights_are_where_the_authors_put_them() -> None:
    urls = [spec.as_dict()["checkpoint"] for spec in MODELS.values() if spec.checkpoint and spec.task != "semantic"]
    assert len(urls) == 7
    folder = "https://download.openmmlab.com/mim-example/knet/det/knet/"
    assert f"{folder}knet_s3_r50_fpn_1x_coco/knet_s3_r50_fpn_1x_coco_20211016_113017-8a8645d4.pth" in urls
    for url in urls:
        parent, _, file = url.removeprefix(folder).partition("/")
        assert re.fullmatch(re.escape(parent) + r"_\d{8}_\d{6}-[0-9a-f]{8}\.pth", file)


@pytest.mark.parametrize("spec", MODELS.values(), ids=lambda spec: spec.name)
def test_figures_are_of_the_task_and_have_a_source(spec: models.ModelSpec) -> None:
    metric = {"instance": "mask AP", "panoptic": "PQ", "semantic": "mIoU"}[spec.task]
    for figure in spec.figures:
        assert figure.metric == metric
        assert 0 < figure.value < 100
        assert figure.source


def test_listing_imports_nothing_heavy() -> None:
    code = "import seg2knet.trainer.config.models, sys; assert not {'torch', 'numpy', 'mmengine'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_mmsegmentation_agrees_on_figures_and_files() -> None:
    yaml = pytest.importorskip("yaml")
    mmseg = pytest.importorskip("mmseg")
    from pathlib import Path

    file = Path(mmseg.__file__).parent / ".mim" / "configs" / "knet" / "metafile.yaml"
    if not file.is_file():
        pytest.skip("this mmsegmentation has no metafile")
    theirs = {entry["Weights"].rpartition("/")[2]: entry["Results"]["Metrics"]["mIoU"]
              for entry in yaml.safe_load(file.read_text())["Models"]}  # fmt: skip
    ours = {
        spec.checkpoint.file: spec.figures[-1].value
        for spec in MODELS.values()
        if spec.checkpoint is not None and spec.task == "semantic"
    }
    assert ours == theirs


def test_without_an_operator_the_deformable_models_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mmengine")
    from seg2knet.trainer.openmmlab import deformable

    def absent() -> object:
        raise ImportError("not here")

    monkeypatch.setattr(deformable, "_of_mmcv", absent)
    monkeypatch.setattr(deformable, "_of_torchvision", absent)
    deformable.operator.cache_clear()
    with pytest.raises(EnvironmentProblem) as caught:
        models.get("knet-s3-r101-dcn-fpn-ms-3x").require()
    for word in ("mmcv", "torchvision", "pip install torchvision", "--model knet-s3-r101-fpn-ms-3x"):
        assert word in str(caught.value)
    models.get("knet-s3-r101-fpn-ms-3x").require()
