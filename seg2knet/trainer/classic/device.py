"""Where a classic run computes: one process or several, GPU or CPU.

mmcv 1.3's own wrappers train on GPUs alone. These two take batches apart themselves, so that one piece of code serves
one GPU, several, the CPU, and several processes on it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from mmcv.parallel import DataContainer, MMDistributedDataParallel
from mmcv.parallel.registry import MODULE_WRAPPERS
from torch import nn


@dataclass(frozen=True)
class Place:
    """This process's place in the run.

    Attributes:
        device: where the model stands.
        rank: this process's number.
        world: how many processes there are.
    """

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0


def join(device: str) -> Place:
    """Find out which process of how many this is (torch.distributed.launch tells by the environment), and meet them."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    on_gpu = device != "cpu"
    if on_gpu:
        torch.cuda.set_device(local)
    place = torch.device("cuda", local) if on_gpu else torch.device("cpu")
    if world > 1:
        dist.init_process_group("nccl" if on_gpu else "gloo")
    return Place(place, dist.get_rank() if world > 1 else 0, world)


def leave(place: Place) -> None:
    """Part from the other processes."""
    if place.world > 1:
        dist.destroy_process_group()


def unpack(batch: Any, device: torch.device) -> Any:
    """A batch as mmcv's ``collate`` makes it, without its containers, tensors moved to ``device``."""
    if isinstance(batch, DataContainer):
        return batch.data[0] if batch.cpu_only else unpack(batch.data[0], device)
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {key: unpack(value, device) for key, value in batch.items()}
    if isinstance(batch, (list, tuple)):
        return type(batch)(unpack(value, device) for value in batch)
    return batch


@MODULE_WRAPPERS.register_module()
class OneProcess(nn.Module):
    """A model on one device. ``module`` is the model itself, as with mmcv's wrappers."""

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        super().__init__()
        self.module = module.to(device)
        self.device = device

    def forward(self, **batch: Any) -> Any:
        return self.module(**unpack(batch, self.device))

    def train_step(self, batch: Any, optimizer: Any, **_options: Any) -> dict[str, Any]:
        step: Any = self.module.train_step
        return step(unpack(batch, self.device), optimizer)


@MODULE_WRAPPERS.register_module()
class ManyProcesses(MMDistributedDataParallel):
    """A model of which each process has a copy; gradients are averaged."""

    def __init__(self, module: nn.Module, device: torch.device, find_unused_parameters: bool = False) -> None:
        super().__init__(module.to(device), broadcast_buffers=False, find_unused_parameters=find_unused_parameters)
        self.place = device

    def train_step(self, batch: Any, optimizer: Any, **_options: Any) -> dict[str, Any]:
        return super().train_step(unpack(batch, self.place), optimizer)


def wrap(model: nn.Module, place: Place, find_unused_parameters: bool = False) -> nn.Module:
    """The model, ready to be trained at ``place``."""
    if place.world > 1:
        return ManyProcesses(model, place.device, find_unused_parameters)
    return OneProcess(model, place.device)


def gather(part: list, place: Place) -> list[list]:
    """The lists of all processes, in the order of their ranks."""
    if place.world == 1:
        return [part]
    parts: list[Any] = [None] * place.world
    dist.all_gather_object(parts, part)
    return parts


def same_statistics(model: nn.Module, place: Place) -> None:
    """Give every process the first one's batch statistics, which training does not keep in step."""
    if place.world == 1:
        return
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for statistic in (module.running_var, module.running_mean):
                if statistic is not None:
                    dist.broadcast(statistic, 0)
