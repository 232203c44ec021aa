"""Exported models compute what the model computes, for batches and sizes that were not traced."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mmdet")
pytest.importorskip("mmseg")

import torch
from click.testing import CliRunner
from torch import nn
from torch.nn import functional as F

from seg2knet.cli import cli
from seg2knet.errors import EnvironmentProblem, UsageError, extra
from seg2knet.trainer.export import export as exporting
from seg2knet.trainer.export.export import compare, deviation, write_onnx, write_torchscript
from seg2knet.trainer.export.graphs import AnySizePool, Graph, build, shifted_windows
from seg2knet.trainer.openmmlab import packages as openmmlab

TASKS = ("instance", "panoptic", "semantic")
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def small_knet(panoptic: bool, backbone: str = "r18") -> dict[str, Any]:
    """The config of a K-Net of 20 kernels."""
    from seg2knet.trainer.config.backbones import find_backbone

    levels = find_backbone(backbone)
    return dict(  # noqa: C408 - as in a config file
        type="KNet",
        data_preprocessor={
            "type": "DetDataPreprocessor",
            "mean": MEAN,
            "std": STD,
            "bgr_to_rgb": True,
            "pad_size_divisor": 32,
            "pad_seg": panoptic,
        },
        backbone=levels.config(None, scratch=True),
        neck={
            "type": "FPN",
            "in_channels": list(levels.channels),
            "out_channels": 32,
            "num_outs": 4,
        },
        num_things=3,
        num_stuff=2 if panoptic else 0,
        num_kernels=20,
        num_stages=2,
        channels=32,
        feedforward_channels=64,
        test_cfg={"max_per_img": 10, "overlap_thr": 0.01},
    )


def detector(panoptic: bool, backbone: str = "r18") -> Any:
    """A small K-Net that has something to say: scores on both sides of 0.3."""
    openmmlab.load()
    import mmdet.registry
    from mmengine.config import ConfigDict
    from mmengine.registry import DefaultScope

    import seg2knet.knet.detector

    if backbone.startswith("timm/"):
        import seg2knet.trainer.openmmlab.timm_backbone  # noqa: F401 - registers TimmFeatures

    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = mmdet.registry.MODELS.build(ConfigDict(small_knet(panoptic, backbone)))
    with torch.no_grad():
        for stage in model.network.stages:
            stage.class_out.bias.fill_(-1.0)
    return model.eval()


def segmentor(head: str = "fcn", backbone: str = "r18") -> Any:
    """mmseg's K-Net."""
    openmmlab.load(semantic=True)
    import mmseg.registry
    from mmengine.config import ConfigDict
    from mmengine.registry import DefaultScope

    from seg2knet.trainer.openmmlab.semantic import semantic_model

    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmseg"):
        config = semantic_model(num_classes=3, head=head, backbone=backbone, crop_size=(64, 64))
        return mmseg.registry.MODELS.build(ConfigDict(config)).eval()


def model_of(task: str, backbone: str = "r18") -> Any:
    if task == "semantic":
        return segmentor("upernet" if backbone == "swin-t" else "fcn", backbone)
    return detector(task == "panoptic", backbone)


def predicted(model: Any, images: torch.Tensor, task: str) -> list[Any]:
    """What the model itself predicts for images as they are read: BGR bytes."""
    if task == "semantic":
        from mmseg.structures import SegDataSample as Sample
    else:
        from mmdet.structures import DetDataSample as Sample
    size = tuple(images.shape[2:])
    meta = {"img_shape": size, "ori_shape": size, "scale_factor": (1.0, 1.0)}
    samples = [Sample(metainfo=meta) for _ in images]
    with torch.no_grad():
        return model.test_step({"inputs": list(images.flip(1).to(torch.uint8)), "data_samples": samples})


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randint(0, 256, (2, 3, 96, 128), generator=torch.Generator().manual_seed(1)).float()


def test_instances_are_the_models(images: torch.Tensor) -> None:
    model = detector(panoptic=False)
    scores, labels, masks = build(model, "instance")(images)
    whole = F.interpolate(masks, size=images.shape[2:], mode="bilinear", align_corners=False) > 0.5
    assert masks.shape == (2, 10, 24, 32)
    for place, sample in enumerate(predicted(model, images, "instance")):
        torch.testing.assert_close(scores[place], sample.pred_instances.scores)
        assert torch.equal(labels[place], sample.pred_instances.labels)
        assert torch.equal(whole[place], sample.pred_instances.masks)
    assert whole.any()


def test_panoptic_segments_are_the_models(images: torch.Tensor) -> None:
    model = detector(panoptic=True)
    segments, ids, scores = build(model, "panoptic")(images)
    assert segments.shape == (2, 96, 128)
    for place, sample in enumerate(predicted(model, images, "panoptic")):
        found = sample.pred_panoptic_seg
        assert torch.equal(segments[place], found.sem_seg[0].long())
        told = {int(number): float(score) for number, score in zip(ids[place], scores[place]) if int(number) != 5}
        assert told == pytest.approx(found.segment_scores)
    assert len(segments.unique()) > 2


@pytest.mark.parametrize(
    "head", ["fcn", *[pytest.param(head, marks=pytest.mark.slow) for head in ("pspnet", "deeplabv3", "upernet")]]
)
def test_semantic_classes_are_the_models(images: torch.Tensor, head: str) -> None:
    model = segmentor(head)
    with torch.no_grad():
        expected = model.decode_head(model.extract_feat(Graph(model).normalised(images)))
    maps = [sample.pred_sem_seg.data[0] for sample in predicted(model, images, "semantic")]
    classes, logits = build(model, "semantic")(images)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    assert (classes == torch.stack(maps)).float().mean() > 0.999


@pytest.mark.parametrize("task", TASKS)
def test_torchscript(task: str, tmp_path: Path) -> None:
    graph = build(model_of(task), task)
    with exporting._traceable():
        write_torchscript(graph, tmp_path / "model.pt", {"task": task})
    assert compare(graph, tmp_path / "model.pt", task) == pytest.approx(0, abs=1e-5)
    extra = {"seg2knet.json": ""}
    torch.jit.load(str(tmp_path / "model.pt"), _extra_files=extra)
    assert f'"{task}"' in str(extra["seg2knet.json"])


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["r18", "swin-t"])
@pytest.mark.parametrize("task", TASKS)
def test_onnx(task: str, backbone: str, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    graph = build(model_of(task, backbone), task)
    with exporting._traceable():
        write_onnx(graph, tmp_path / "model.onnx", task, {"task": task})
    apart = compare(graph, tmp_path / "model.onnx", task)
    assert apart is not None
    assert apart <= exporting.AGREE
    written = onnx.load(str(tmp_path / "model.onnx"))
    assert {prop.key: prop.value for prop in written.metadata_props}["seg2knet"] == f'{{"task": "{task}"}}'
    assert [each.name for each in written.graph.output] == list(exporting.OUTPUTS[task])
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize("package", ["mmdet", "mmseg"])
@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize("size", [(8, 8), (9, 14), (3, 5)])
def test_windows_are_those_of_the_package(package: str, shift: int, size: tuple[int, int]) -> None:
    openmmlab.load(semantic=True)
    kind = importlib.import_module(f"{package}.models.backbones.swin").ShiftWindowMSA
    torch.manual_seed(0)
    layer = kind(6, num_heads=2, window_size=4, shift_size=shift, dropout_layer={"type": "DropPath", "drop_prob": 0.0})
    nn.init.normal_(layer.w_msa.relative_position_bias_table)
    x = torch.rand(2, size[0] * size[1], 6)
    torch.testing.assert_close(shifted_windows(layer.eval(), x, size), layer(x, size))


@pytest.mark.slow
def test_swin(tmp_path: Path) -> None:
    graph = build(detector(panoptic=False, backbone="swin-t"), "instance")
    with exporting._traceable():
        write_torchscript(graph, tmp_path / "model.pt", {})
    apart = compare(graph, tmp_path / "model.pt", "instance")
    assert apart is not None
    assert apart <= exporting.AGREE


@pytest.mark.parametrize(("rows", "columns", "size"), [(1, 1, (5, 7)), (2, 3, (7, 8)), (6, 6, (4, 13)), (3, 3, (9, 9))])
def test_any_size_pool(rows: int, columns: int, size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *size)
    torch.testing.assert_close(AnySizePool((rows, columns))(x), nn.AdaptiveAvgPool2d((rows, columns))(x))


def test_a_file_that_computes_something_else_is_an_error(tmp_path: Path) -> None:
    model = detector(panoptic=False)
    graph = build(model, "instance")
    with exporting._traceable():
        write_torchscript(graph, tmp_path / "model.pt", {})
    with torch.no_grad():
        model.network.stages[-1].class_out.bias.add_(0.5)
    with pytest.raises(EnvironmentProblem, match="something else"):
        compare(graph, tmp_path / "model.pt", "instance")


def test_equal_scores_may_change_places() -> None:
    masks = torch.rand(1, 2, 4, 4)
    one = {"scores": torch.tensor([[0.5, 0.5]]), "labels": torch.tensor([[1, 1]]), "masks": masks}
    other = {**one, "masks": masks.flip(1)}
    assert deviation("instance", one, other) == 0
    assert deviation("instance", {**one, "labels": torch.tensor([[1, 2]])}, other) == float("inf")


def test_deformable_convolution_is_refused() -> None:
    class Seg2KNetDeformConv(nn.Module):
        pass

    with pytest.raises(UsageError, match="deformable"):
        build(nn.Sequential(Seg2KNetDeformConv()), "instance")


def checkpoint(path: Path, backbone: str = "r18") -> Path:
    """A checkpoint as training leaves it."""
    config = {
        "task": "instance",
        "classes": ["disc", "box", "star"],
        "palette": [(1, 2, 3)] * 3,
        "default_scope": "mmdet",
        "custom_imports": {"imports": ["seg2knet.knet.detector"]},
        "model": small_knet(panoptic=False, backbone=backbone),
    }
    text = "\n".join(f"{name} = {value!r}" for name, value in config.items())
    state = detector(panoptic=False, backbone=backbone).state_dict()
    torch.save({"state_dict": state, "meta": {"cfg": text, "seg2knet": {}}}, path)
    return path


def test_the_command_takes_a_checkpoint_alone(tmp_path: Path) -> None:
    checkpoint(tmp_path / "best.pth")
    result = CliRunner().invoke(cli, ["export", str(tmp_path / "best.pth"), "--format", "torchscript"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "best.pt").is_file()
    assert "outputs: scores, labels, masks" in result.output
    assert "agrees with PyTorch" in result.output


def test_without_the_extra_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentProblem, match=re.escape(extra("export"))):
        exporting.export("x.pth", "onnx")


@pytest.mark.parametrize("name", ["timm/test_efficientnet", "timm/test_convnext"])
def test_a_backbone_of_timm_becomes_onnx(name: str, tmp_path: Path) -> None:
    for needed in ("timm", "onnx", "onnxruntime"):
        pytest.importorskip(needed)
    graph = build(detector(panoptic=False, backbone=name), "instance")
    with exporting._traceable():
        write_onnx(graph, tmp_path / "model.onnx", "instance", {})
    apart = compare(graph, tmp_path / "model.onnx", "instance")
    assert apart is not None
    assert apart <= exporting.AGREE
