"""Losses against formulas written out, values and gradients."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from seg2knet.knet.losses import focal_loss, mask_losses, rank_loss, upsample


def plain_focal(x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    p = x.sigmoid()
    positive = -0.25 * (1 - p) ** 2 * F.logsigmoid(x)
    negative = -0.75 * p**2 * F.logsigmoid(-x)
    return (target * positive + (1 - target) * negative).sum()


def test_focal_loss_and_its_gradient() -> None:
    x = (torch.randn(2, 5, 3, 4, dtype=torch.float64) * 4).requires_grad_()
    labels = torch.randint(-1, 6, (2, 3, 4))  # -1 and 5 are no class
    target = F.one_hot(labels.clamp(0, 5), 6)[..., :5].permute(0, 3, 1, 2) * (labels >= 0)[:, None]
    expected = plain_focal(x, target)
    (slope,) = torch.autograd.grad(expected, x)
    y = x.detach().float().requires_grad_()
    ours = focal_loss(y, labels)
    (3 * ours).backward()
    torch.testing.assert_close(ours, expected.float(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(y.grad, 3 * slope.float(), rtol=1e-4, atol=1e-6)


def test_focal_loss_is_finite_far_out() -> None:
    x = torch.tensor([[1e4, -1e4], [-1e4, 1e4]], requires_grad=True)
    loss = focal_loss(x, torch.tensor([0, 0]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(x.grad).all()


def test_focal_loss_of_half_precision_has_a_gradient_of_its_own_type() -> None:
    x = torch.randn(3, 4, dtype=torch.bfloat16, requires_grad=True)
    focal_loss(x, torch.tensor([0, 1, -1])).backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.bfloat16


def test_mask_losses() -> None:
    x, t = torch.randn(3, 4, 5), torch.rand(3, 4, 5)
    entropy, dice = mask_losses(x, t)
    p = x.sigmoid()
    for i in range(3):
        by_hand = -(t[i] * p[i].log() + (1 - t[i]) * (1 - p[i]).log()).mean()
        torch.testing.assert_close(entropy[i], by_hand, rtol=1e-4, atol=1e-5)
        squares = (p[i] ** 2).sum() + 1e-3 + (t[i] ** 2).sum() + 1e-3
        torch.testing.assert_close(dice[i], 1 - 2 * (p[i] * t[i]).sum() / squares)


def test_rank_loss_counts_owned_pixels_over_all() -> None:
    masks = torch.randn(2, 3, 2, 2)
    owners = torch.tensor([[[0, -1], [2, -1]], [[-1, -1], [-1, 1]]])
    logs = masks.log_softmax(1)
    expected = -(logs[0, 0, 0, 0] + logs[0, 2, 1, 0] + logs[1, 1, 1, 1]) / 8
    torch.testing.assert_close(rank_loss(masks, owners), expected)
    assert rank_loss(masks, torch.full((2, 2, 2), -1)) == 0


def test_upsampling_keeps_constants_and_doubles_sizes() -> None:
    out = upsample(torch.full((2, 5, 3, 4), 0.7, dtype=torch.float16))
    assert out.shape == (2, 5, 6, 8)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, torch.full_like(out, 0.7), rtol=1e-3, atol=0)
