"""Which images a process sees in an epoch, in which order, and where a resumed run starts in it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.dist import get_dist_info
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import Sampler


@DATA_SAMPLERS.register_module()
class EpochSampler(Sampler):
    """Every image once an epoch, in an order given by seed and epoch, distributed over the processes.

    Yields ``epoch * len(dataset) + index`` (see ``datasets.Reproducible``). With ``n`` processes, process ``r`` sees
    places ``r, r + n, ...`` of the order that one process would see: with the same total batch size a step sees the
    same images however many processes there are.

    Images of classes that are on a smaller share of the images than ``balance`` are repeated,
    ``max(1, sqrt(balance / share))`` times for the rarest class on it (Gupta et al., *LVIS*, CVPR 2019).
    """

    def __init__(self, dataset: Any, seed: int = 0, balance: float = 0.0) -> None:
        self.rank, self.world_size = get_dist_info()
        self.dataset = dataset
        self.seed = seed or 0
        self.epoch = 0
        self.start = 0
        """Images of this process to skip at the start of the next epoch: those seen before an interruption."""
        self.indices = _repeated(dataset, balance) if balance else list(range(len(dataset)))
        self.num_samples = math.ceil(len(self.indices) / self.world_size)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(len(self.indices), generator=generator).tolist()
        total = self.num_samples * self.world_size
        order = (order * math.ceil(total / len(order)))[:total]
        mine = order[self.rank :: self.world_size][self.start :]
        self.start = 0
        first = self.epoch * len(self.dataset)
        return iter([first + self.indices[place] for place in mine])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Called by mmengine at the start of each epoch."""
        self.epoch = epoch


def _repeated(dataset: Any, balance: float) -> list[int]:
    labels = [set(dataset.get_cat_ids(index)) for index in range(len(dataset))]
    images = Counter(label for on_image in labels for label in on_image)
    factor = {label: max(1.0, math.sqrt(balance * len(dataset) / count)) for label, count in images.items()}
    times = [round(max((factor[label] for label in on_image), default=1.0)) for on_image in labels]
    return [index for index, count in enumerate(times) for _ in range(count)]
