"""Groups of parameters: few, with the settings that mmengine gives each parameter."""

from __future__ import annotations

import copy
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("mmengine")

from mmengine.optim import DefaultOptimWrapperConstructor  # noqa: E402
from torch import nn  # noqa: E402

from seg2knet.trainer.openmmlab.optimizer import FewGroups  # noqa: E402

OPTIM = {"type": "OptimWrapper", "optimizer": {"type": "AdamW", "lr": 0.01, "weight_decay": 0.05}}
WAYS: list[dict[str, Any]] = [
    {},
    {"norm_decay_mult": 0.0, "bias_decay_mult": 0.0},
    {"custom_keys": {"backbone": {"lr_mult": 0.25}}},
]


def model() -> nn.Module:
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1))
    return nn.ModuleDict({"backbone": block, "head": copy.deepcopy(block)})


@pytest.mark.parametrize("ways", WAYS)
def test_same_settings_in_fewer_groups(ways: dict[str, Any]) -> None:
    found = []
    for kind in (DefaultOptimWrapperConstructor, FewGroups):
        net = model()
        names = {parameter: name for name, parameter in net.named_parameters()}
        groups = kind(copy.deepcopy(OPTIM), ways)(net).optimizer.param_groups
        found.append({names[p]: (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]})
    assert found[0] == found[1]
    assert len(groups) == (2 if ways else 1)


def test_fused_steps_are_the_same() -> None:
    weights = []
    for fused in (False, True):
        net = model()
        cfg = copy.deepcopy(OPTIM)
        cfg["optimizer"]["fused"] = fused
        wrapper = FewGroups(cfg, WAYS[1])(net)
        for step in range(3):
            for parameter in net.parameters():
                parameter.grad = torch.full_like(parameter, 0.1 * (step + 1))
            wrapper.step()
        weights.append(torch.cat([p.detach().flatten() for p in net.parameters()]))
    torch.testing.assert_close(weights[0], weights[1])
