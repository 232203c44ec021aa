"""Small models and made-up data for the tests of K-Net."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData, PixelData

from seg2knet.knet.detector import KNet

SIZE = 64


def model(things: int = 3, stuff: int = 0, **changes: Any) -> KNet:
    """A K-Net of 32 channels on a ResNet-18 an eighth as wide, fixed BatchNorm, seeded."""
    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "backbone": {
            "type": "ResNet",
            "depth": 18,
            "base_channels": 8,
            "stem_channels": 8,
            "out_indices": (0, 1, 2, 3),
            "norm_eval": True,
        },
        "neck": {"type": "FPN", "in_channels": [8, 16, 32, 64], "out_channels": 32, "num_outs": 4},
        "num_things": things,
        "num_stuff": stuff,
        "num_kernels": 6,
        "num_stages": 2,
        "channels": 32,
        "feedforward_channels": 64,
    }
    return KNet(**{**settings, **changes})


def sample(labels: list[int], size: int = SIZE, semantic: np.ndarray | None = None, seed: int = 0) -> DetDataSample:
    """An image's truth: one random box an object; `semantic` a label map."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((len(labels), size, size), np.uint8)
    for mask in masks:
        y, x = rng.integers(0, size // 2, 2)
        height, width = rng.integers(8, size // 2, 2)
        mask[y : y + height, x : x + width] = 1
    out = DetDataSample(metainfo={"img_shape": (size, size), "ori_shape": (size, size), "img_path": f"{seed}.jpg"})
    out.gt_instances = InstanceData(
        labels=torch.tensor(labels, dtype=torch.int64), masks=BitmapMasks(masks, size, size)
    )
    if semantic is not None:
        out.gt_sem_seg = PixelData(sem_seg=torch.from_numpy(semantic)[None])
    return out


def images(count: int, height: int = SIZE, width: int = SIZE) -> torch.Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))


def total(losses: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.stack([value for name, value in losses.items() if "loss" in name]).sum()
