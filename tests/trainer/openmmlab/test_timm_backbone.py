"""Backbones of timm: those that have the four strides, with weights from a file; others refused with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("mmdet")

from seg2knet.trainer.openmmlab import operators, packages  # noqa: E402

operators.declare_torchvision()
timm = pytest.importorskip("timm")
packages.load()

from mmengine.registry import MODELS  # noqa: E402

from seg2knet.errors import DataError, EnvironmentProblem, UsageError  # noqa: E402
from seg2knet.trainer.openmmlab.timm_backbone import describe  # noqa: E402

SMALL = "test_efficientnet"
"""timm's own model for tests."""


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("tf_efficientnet_lite0", (24, 40, 112, 320)),
        ("convnext_tiny", (96, 192, 384, 768)),
        ("swinv2_tiny_window8_256", (96, 192, 384, 768)),
        ("efficientvit_b0", (16, 32, 64, 128)),
        ("repvit_m0_9", (48, 96, 192, 384)),
        ("hieradet_small", (96, 192, 384, 768)),
        ("mobilenetv4_conv_small", (32, 64, 96, 960)),
        ("resnet18", (64, 128, 256, 512)),
    ],
)
def test_what_has_the_four_strides_serves(name: str, channels: tuple[int, ...]) -> None:
    assert describe(name).channels == channels


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("vit_base_patch16_224", "strides 16, 16, 16"),
        ("hiera_tiny_224", "any size"),
        ("efficientvit_m0", "strides 16, 32, 64"),
        ("convnext_tinny", "no model"),
    ],
)
def test_what_does_not_is_refused_with_a_reason(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        describe(name)


def test_mean_and_deviation_are_the_models() -> None:
    assert describe("tf_efficientnet_lite0").mean == (127.5,) * 3
    assert describe("convnext_tiny").std == pytest.approx((58.395, 57.12, 57.375))


def built(name: str, **options: Any) -> Any:
    return MODELS.build({"type": "TimmFeatures", "name": name, **options})


@pytest.mark.parametrize("name", [SMALL, "test_convnext", "edgenext_xx_small", "swin_tiny_patch4_window7_224"])
def test_features_have_the_four_strides(name: str) -> None:
    model = built(name).eval()
    levels = model(torch.rand(2, 3, 96, 160))
    shapes = [(2, channels, 96 // stride, 160 // stride) for channels, stride in zip(model.channels, (4, 8, 16, 32))]
    assert [tuple(level.shape) for level in levels] == shapes


def test_batchnorm_can_keep_its_statistics() -> None:
    model = built(SMALL, norm_eval=True).train()
    norms = [module for module in model.modules() if "BatchNorm" in type(module).__name__]
    assert norms
    assert not any(norm.training for norm in norms)
    assert model.training
    assert all(module.training for module in built(SMALL).train().modules())


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_come_from_a_file(suffix: str, tmp_path: Path) -> None:
    torch.manual_seed(5)
    whole, file = timm.create_model(SMALL), tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        pytest.importorskip("safetensors.torch").save_file(whole.state_dict(), str(file))
    else:
        torch.save({"state_dict": whole.state_dict()}, file)
    model = built(SMALL, init_cfg={"type": "Pretrained", "checkpoint": str(file)})
    model.init_weights()
    assert torch.equal(model.body.conv_stem.weight, whole.conv_stem.weight)
    key = "blocks.1.0.conv_exp.weight"
    assert torch.equal(model.body.state_dict()[key], whole.state_dict()[key])


@pytest.mark.parametrize("what", ["other", "text", "missing"])
def test_a_file_of_something_else_is_refused(what: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    if what == "other":
        torch.save(timm.create_model("test_resnet").state_dict(), file)
    elif what == "text":
        file.write_text("hello")
    model = built(SMALL, init_cfg={"type": "Pretrained", "checkpoint": str(file)})
    with pytest.raises(DataError, match=rf"weights of timm's {SMALL}"):
        model.init_weights()


def test_without_a_network_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from timm.models import _builder

    def no_network(*_args: object, **_options: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(_builder, "load_pretrained", no_network)
    with pytest.raises(EnvironmentProblem, match="--backbone-weights"):
        built(SMALL, init_cfg={"type": "Pretrained", "checkpoint": "hub"}).init_weights()
