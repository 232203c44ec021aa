"""mmseg's K-Net, fitted to the data."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from seg2knet.errors import UsageError
from seg2knet.knet.recipe import learning_rate

torch = pytest.importorskip("torch")
pytest.importorskip("mmengine")

from seg2knet.trainer.config.backbones import BACKBONES  # noqa: E402
from seg2knet.trainer.config.semantic import optimizer  # noqa: E402
from seg2knet.trainer.openmmlab import operators as mmcv_ops  # noqa: E402
from seg2knet.trainer.openmmlab.semantic import least_batch, semantic_model  # noqa: E402
from seg2knet.trainer.options import HEADS  # noqa: E402

mmcv_ops.install()


def values(node: Any, key: str) -> list[Any]:
    """All values of ``key`` below ``node``."""
    if isinstance(node, dict):
        own = [node[key]] if key in node else []
        return own + [found for child in node.values() for found in values(child, key)]
    if isinstance(node, (list, tuple)):
        return [found for child in node for found in values(child, key)]
    return []


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("backbone", ["r18", "r50", "r101"])
def test_every_class_count_is_the_datas(head: str, backbone: str) -> None:
    model = semantic_model(num_classes=7, head=head, backbone=backbone)
    counts = values(model, "num_classes")
    assert len(counts) == 5
    assert set(counts) == {7}
    assert "SyncBN" not in values(model, "type")
    assert "pretrained" not in model


def test_several_processes_share_their_statistics() -> None:
    assert "SyncBN" in values(semantic_model(num_classes=7, processes=2), "type")


@pytest.mark.parametrize("width", [256, 512])
def test_upernet_is_as_wide_as_asked(width: int) -> None:
    head = semantic_model(num_classes=3, head="upernet", width=width)["decode_head"]
    assert head["kernel_generate_head"]["channels"] == width
    assert {update["in_channels"] for update in head["kernel_update_head"]} == {width}


@pytest.mark.parametrize("backbone", ["swin-t", "swin-l"])
def test_swin_has_upernet_alone(backbone: str) -> None:
    assert set(values(semantic_model(num_classes=3, backbone=backbone), "num_classes")) == {3}
    with pytest.raises(UsageError, match="upernet"):
        semantic_model(num_classes=3, backbone=backbone, head="fcn")
    plan: Any = SimpleNamespace(backbone=BACKBONES[backbone], lr=learning_rate(semantic_swin=True).base)
    made = optimizer(plan)
    assert made["optimizer"]["lr"] == 6e-5
    assert {"norm", "relative_position_bias_table"} < set(made["paramwise_cfg"]["custom_keys"])


@pytest.mark.parametrize(
    ("options", "words"),
    [({"num_classes": 1}, "void-class"), ({"head": "unet"}, "unet"), ({"backbone": "r34"}, "r34")],
)
def test_what_does_not_exist_is_refused(options: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        semantic_model(**{"num_classes": 3, **options})


def build(**options: Any) -> Any:
    import mmseg.models  # noqa: F401  registers the models
    from mmengine.config import ConfigDict
    from mmengine.registry import DefaultScope
    from mmseg.registry import MODELS

    with DefaultScope.overwrite_default_scope("mmseg"):
        return MODELS.build(ConfigDict(semantic_model(**options)))


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize(
    ("head", "backbone"),
    [
        ("fcn", "r18"),
        ("upernet", "r18"),
        *[pytest.param(head, "r18", marks=pytest.mark.slow) for head in ("pspnet", "deeplabv3")],
        *[pytest.param(head, "r50", marks=pytest.mark.slow) for head in HEADS],
        pytest.param("upernet", "swin-t", marks=pytest.mark.slow),
        pytest.param("upernet", "swin-l", marks=pytest.mark.slow),
    ],
)
def test_forward_and_backward(head: str, backbone: str, mixed: bool) -> None:
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    torch.manual_seed(0)
    model = build(num_classes=3, head=head, backbone=backbone, crop_size=(64, 64)).train()
    samples = []
    for _ in range(least_batch(head)):
        sample = SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 3, (1, 64, 64))))
        sample.set_metainfo({"img_shape": (64, 64), "ori_shape": (64, 64), "pad_shape": (64, 64)})
        samples.append(sample)
    batch = {
        "inputs": [torch.randint(0, 255, (3, 64, 64), dtype=torch.uint8) for _ in samples],
        "data_samples": samples,
    }
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
        losses = model.forward(**model.data_preprocessor(batch, training=True), mode="loss")
    total = sum(value for name, value in losses.items() if "loss" in name)
    total.backward()
    assert torch.isfinite(total)
    without = [name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None]
    assert not [name for name in without if "decode_head" in name], without

    model.eval()
    with torch.no_grad():
        results = model.forward(**model.data_preprocessor(batch), mode="predict")
    assert results[0].pred_sem_seg.data.shape == (1, 64, 64)
    assert results[0].pred_sem_seg.data.max() < 3
