"""One of several processes that share a batch. No mmdet here: a process starts in seconds."""

from __future__ import annotations

import socket

import torch

from seg2knet.knet.criterion import Criterion, mean_over_ranks
from seg2knet.knet.network import KNetwork, Shape
from seg2knet.knet.targets import ImageTruth, collate


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def losses(images: slice) -> dict[str, float]:
    """The losses of some of two images: one has three things and a stuff class, the other one thing."""
    torch.manual_seed(0)
    shape = Shape(num_things=3, num_stuff=2, num_kernels=6, num_stages=2, channels=32, feedforward_channels=64)
    network = KNetwork(shape)
    pyramid = [torch.randn(2, 32, 64 // s, 64 // s) for s in (4, 8, 16, 32)]
    masks = ((torch.rand(5, 16, 16) > 0.7).to(torch.uint8) * 4).numpy()
    truths = [ImageTruth(masks[:3], [0, 1, 2], masks[3:4], [3]), ImageTruth(masks[4:], [2])]
    truth = collate(truths[images], (16, 16), 3, 2, torch.device("cpu"))
    with torch.no_grad():
        values = Criterion(shape)(network([level[images] for level in pyramid]), truth)
    return {name: value.item() for name, value in values.items()}


def run(rank: int, world: int, port: int, out: str) -> None:
    """Process `rank`'s share, written to a file of its own."""
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    means = mean_over_ranks(1 + 4 * rank, torch.tensor(2.0), device=torch.device("cpu"))
    torch.save(([m.item() for m in means], losses(slice(rank, rank + 1))), f"{out}/{rank}.pt")
    torch.distributed.destroy_process_group()
