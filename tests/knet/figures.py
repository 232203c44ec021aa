"""Figures of a small model with weights made by a formula: what tests/fixtures/knet/*.json hold.

They were recorded when this model reproduced the golden files of the authors' release, so that a checkout without those
files notices a change of the numbers as well. Record anew, after a change that is meant: python tests/knet/figures.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "knet"
STUFF = {"instance": 0, "panoptic": 2}


def wave(count: int, phase: float) -> torch.Tensor:
    """Numbers between -1 and 1 that no version of a random generator can change."""
    return torch.sin(torch.arange(count, dtype=torch.float64) * 12.9898 + phase).mul(43758.5453).frac().float()


def figures(task: str) -> dict[str, float]:
    """Losses, gradient norms and sums of logits of one batch of two."""
    from small import images, model, sample, total

    net = model(stuff=STUFF[task])
    with torch.no_grad():
        for i, p in enumerate(net.parameters()):
            scale = (3 / p[0].numel()) ** 0.5 if p.dim() > 1 else 0.1
            p.copy_(wave(p.numel(), i).reshape(p.shape) * scale + (1 if p.dim() == 1 and i % 2 == 0 else 0))
    x = wave(images(2).numel(), 0.5).reshape(images(2).shape)
    semantic = np.repeat(np.array([3, 255, 4, 3], np.uint8), 16)[:, None].repeat(64, 1) if STUFF[task] else None
    truth = [sample([0, 1, 2], seed=4, semantic=semantic), sample([2], seed=5, semantic=semantic)]
    net.train()
    predictions = net._forward(x)
    out = {f"masks{i}": s.mask_logits.abs().mean().item() for i, s in enumerate(predictions.stages)}
    out |= {f"classes{i}": s.class_logits.abs().mean().item() for i, s in enumerate(predictions.stages)}
    losses = net.loss(x, truth)
    total(losses).backward()
    out |= {name: value.item() for name, value in losses.items()}
    for part in ("backbone", "neck", "network.localization_fpn", "network.kernel_head", "network.stages"):
        grads = [p.grad.norm() for name, p in net.named_parameters() if name.startswith(part)]
        out[f"gradient of {part}"] = torch.stack(grads).norm().item()
    return out


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    from seg2knet.trainer.openmmlab import operators as mmcv_ops

    mmcv_ops.install()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for task in STUFF:
        (FOLDER / f"{task}.json").write_text(json.dumps(figures(task), indent=1) + "\n")


if __name__ == "__main__":
    main()
