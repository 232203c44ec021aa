"""Each model of the table takes a step forward and a step backward, at small size.

Those of mmsegmentation: test_semantic.py, by the same heads and backbones.
"""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("mmdet")

import numpy as np
import torch
from test_deformable import torchvision  # noqa: F401 - a fixture

from seg2knet.trainer.config.models import MODELS, ModelSpec

QUICK = {"knet-s3-r50-fpn-1x", "knet-s3-r50-fpn-1x-panoptic"}
SIDE = 64


def cases() -> list[Any]:
    return [
        pytest.param(spec, id=name, marks=[] if name in QUICK else [pytest.mark.slow])
        for name, spec in MODELS.items()
        if spec.task != "semantic"
    ]


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("spec", cases())
def test_a_step(spec: ModelSpec, mixed: bool, torchvision: None) -> None:  # noqa: F811
    torch.manual_seed(0)
    model, sample = detector(spec)
    model.train()
    data = model.data_preprocessor(sample, training=True)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
        losses = model(**data, mode="loss")
    total, _ = model.parse_losses(losses)
    total.backward()
    assert torch.isfinite(total)
    silent = [
        name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None
    ]
    assert not silent
    model.eval()
    with torch.no_grad():
        results = model.test_step(sample)
    assert len(results) == 2
    wanted = {"instance": "pred_instances", "panoptic": "pred_panoptic_seg"}[spec.task]
    assert all(wanted in result for result in results)


def detector(spec: ModelSpec) -> tuple[Any, dict[str, Any]]:
    """K-Net with the model's backbone, and two images with an object each."""
    from seg2knet.trainer.config.backbones import BACKBONES
    from seg2knet.trainer.openmmlab import operators as mmcv_ops

    mmcv_ops.install()
    import mmdet.models  # noqa: F401 - registers backbones
    from mmdet.registry import MODELS as REGISTRY
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.config import ConfigDict
    from mmengine.registry import DefaultScope
    from mmengine.structures import InstanceData, PixelData

    import seg2knet.knet.detector  # noqa: F401 - registers KNet

    panoptic = spec.task == "panoptic"
    feature = BACKBONES[spec.backbone]
    config = ConfigDict(
        {
            "type": "KNet",
            "data_preprocessor": {
                "type": "DetDataPreprocessor",
                "mean": [123.675, 116.28, 103.53],
                "std": [58.395, 57.12, 57.375],
                "bgr_to_rgb": True,
                "pad_size_divisor": 32,
                "pad_seg": panoptic,
            },
            "backbone": feature.config(None, scratch=True),
            "neck": {"type": "FPN", "in_channels": list(feature.channels), "out_channels": 256, "num_outs": 4},
            "num_things": 2,
            "num_stuff": 2 if panoptic else 0,
            "num_kernels": 5,
            "test_cfg": {"max_per_img": 5},
        }
    )
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = REGISTRY.build(config)
    samples = []
    for _ in range(2):
        mask = np.zeros((1, SIDE, SIDE), np.uint8)
        mask[:, 10:40, 20:50] = 1
        sample = DetDataSample(
            metainfo={"img_shape": (SIDE, SIDE), "ori_shape": (SIDE, SIDE), "scale_factor": (1.0, 1.0)}
        )
        truth = InstanceData(labels=torch.tensor([1]), masks=BitmapMasks(mask, SIDE, SIDE))
        truth.bboxes = torch.tensor([[20.0, 10.0, 50.0, 40.0]])
        sample.gt_instances = truth
        if panoptic:
            labels = torch.full((1, SIDE, SIDE), 2)
            labels[:, :, 32:] = 3
            labels[0][torch.from_numpy(mask[0]) > 0] = 1
            sample.gt_sem_seg = PixelData(sem_seg=labels)
        samples.append(sample)
    return model, {"inputs": pictures(), "data_samples": samples}


def pictures() -> list[torch.Tensor]:
    return [torch.randint(0, 255, (3, SIDE, SIDE), dtype=torch.uint8) for _ in range(2)]
