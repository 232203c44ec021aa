"""A training step on fake CUDA tensors, which have shape, dtype and device but no values; run as a process of its own.

    python tests/knet/fake_cuda.py [LIBRARY]

LIBRARY is lent_cuda.cpp compiled, for a CPU build of PyTorch. Prints a JSON object per case.
"""

from __future__ import annotations

import ctypes
import json
import sys
import warnings
from collections.abc import Sequence
from typing import Any

if len(sys.argv) > 1:
    ctypes.CDLL(sys.argv[1], ctypes.RTLD_GLOBAL)  # before PyTorch, which looks for an accelerator once

import numpy as np
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode


def first_pairs(costs: Sequence[torch.Tensor]) -> list[tuple[np.ndarray, np.ndarray]]:
    """In place of matching, the one place where a step reads values: fake tensors have none."""
    assert {(cost.device.type, cost.dtype) for cost in costs} == {("cuda", torch.float32)}
    return [(np.arange(min(cost.shape)), np.arange(min(cost.shape))) for cost in costs]


def step(stuff: int, dtype: torch.dtype) -> dict[str, Any]:
    """Forward, losses and backward of a batch with and without objects."""
    from small import SIZE, model, sample, total

    from seg2knet.knet.detector import _reduced_truth

    semantic = np.repeat(np.array([3, 255, 4, 3], np.uint8), SIZE // 4)[:, None].repeat(SIZE, 1) if stuff else None
    samples = [sample([0, 2, 1], semantic=semantic), sample([], semantic=semantic)]
    for each in samples:
        each.knet_truth = _reduced_truth(each)
    with FakeTensorMode():
        with torch.device("cuda"):
            net, x = model(stuff=stuff).train(), torch.rand(2, 3, SIZE, SIZE)
        # torch.autocast would switch itself off where no GPU is found.
        torch.set_autocast_enabled("cuda", dtype != torch.float32)
        torch.set_autocast_dtype("cuda", torch.float16 if dtype == torch.float32 else dtype)
        logits = net._forward(x).stages[-1].mask_logits
        losses = net.loss(x, samples)
        torch.set_autocast_enabled("cuda", False)
        total(losses).backward()
        gradients = [parameter.grad for parameter in net.parameters()]
        return {
            "logits": str(logits.dtype),
            "losses": sorted({f"{loss.device.type} {loss.dtype}" for loss in losses.values()}),
            "gradients": sorted({"none" if g is None else f"{g.device.type} {g.dtype}" for g in gradients}),
        }


def mistakes_are_noticed() -> dict[str, Any]:
    """What the check relies on: mixed devices and reading a value fail."""
    noticed = []
    with FakeTensorMode():
        x = torch.rand(3, device="cuda")
        try:
            x + torch.rand(3)
        except RuntimeError as error:
            noticed.append("device" in str(error))
        try:
            x.sum().item()
        except DataDependentOutputException:
            noticed.append(True)
    return {"noticed": noticed}


def main() -> None:
    warnings.simplefilter("ignore")
    from seg2knet.trainer.openmmlab import operators

    operators.install()
    from seg2knet.knet import criterion

    criterion.assign = first_pairs
    print(json.dumps(mistakes_are_noticed()))
    for stuff in (0, 2):
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            print(json.dumps({"stuff": stuff, "dtype": str(dtype), **step(stuff, dtype)}))


if __name__ == "__main__":
    main()
