"""The whole loss: batches of any size, images without objects, and what must not change it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import ranks
import torch
import torch.multiprocessing as mp
from small import SIZE, images, model, sample, total


def semantic(*labels: int) -> np.ndarray:
    """A label map of horizontal stripes."""
    return np.repeat(np.array(labels, np.uint8), SIZE // len(labels))[:, None].repeat(SIZE, 1)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_any_batch_size(count: int) -> None:
    net = model().train()
    losses = net.loss(images(count), [sample([0, 2][: i % 3], seed=i) for i in range(count)])
    total(losses).backward()
    assert all(torch.isfinite(v) for v in losses.values())
    assert all(p.grad is not None for p in net.parameters() if p.requires_grad)


@pytest.mark.parametrize("stuff", [0, 2])
def test_no_objects_at_all(stuff: int) -> None:
    net = model(stuff=stuff).train()
    nothing = semantic(255, 255) if stuff else None
    losses = net.loss(images(2), [sample([], semantic=nothing), sample([], semantic=nothing)])
    total(losses).backward()
    assert losses["s1_loss_mask"] == 0
    assert losses["s0_loss_cls"] > 0
    # Every process must have a gradient for every parameter, or sharing them hangs.
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters() if p.requires_grad)


def test_stuff_alone_trains() -> None:
    net = model(stuff=2).train()
    losses = net.loss(images(2), [sample([], semantic=semantic(3, 4)), sample([], semantic=semantic(3, 255))])
    total(losses).backward()
    assert losses["loss_rpn_mask"] == 0
    assert losses["s0_loss_mask"] > 0
    assert losses["s0_loss_rank"] > 0
    assert all(p.grad is not None for p in net.parameters() if p.requires_grad)


def test_losses_add_up_over_images() -> None:
    """A sum over positives divided by their number: a batch is its images, weighted by their positives."""
    net, x = model().eval(), images(2)
    samples = [sample([0, 1, 2], seed=1), sample([2], seed=2)]
    both = net.loss(x, samples)
    one, other = net.loss(x[:1], samples[:1]), net.loss(x[1:], samples[1:])
    for name in ("s0_loss_cls", "s1_loss_dice", "s1_loss_mask", "loss_rpn_dice"):
        torch.testing.assert_close(both[name], (3 * one[name] + other[name]) / 4, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stuff", [0, 2])
def test_the_order_of_objects_changes_nothing(stuff: int) -> None:
    net, x = model(stuff=stuff).eval(), images(1)
    straight = sample([0, 1, 2], semantic=semantic(3, 255, 4) if stuff else None, seed=3)
    turned = straight.clone()
    order = torch.tensor([2, 0, 1])
    turned.gt_instances.labels = straight.gt_instances.labels[order]
    turned.gt_instances.masks = straight.gt_instances.masks[order.numpy()]
    ours, theirs = net.loss(x, [straight]), net.loss(x, [turned])
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-5, atol=1e-6)


def test_a_perfect_prediction_costs_next_to_nothing_in_masks() -> None:
    from seg2knet.knet.losses import mask_losses

    target = (torch.rand(2, 16, 16) > 0.5).float()
    entropy, dice = mask_losses((target * 2 - 1) * 20, target)
    assert entropy.max() < 1e-6
    assert dice.max() < 1e-4


def test_two_processes_of_one_image_are_one_of_two(tmp_path: Path) -> None:
    mp.spawn(ranks.run, (2, ranks.free_port(), str(tmp_path)), nprocs=2)
    (means, first), (_, second) = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert means == [3, 2]
    both = ranks.losses(slice(0, 2))
    for name, value in both.items():
        if "loss" in name:
            assert (first[name] + second[name]) / 2 == pytest.approx(value, rel=1e-4), name
