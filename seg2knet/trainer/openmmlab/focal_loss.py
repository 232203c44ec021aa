"""Two of mmcv's compiled operators in PyTorch: the focal loss, which mmdet calls on a GPU and K-Net is trained with."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Focal loss of every sample and class (Lin et al., *Focal Loss for Dense Object Detection*, 2017), unreduced.

    From logits ``input`` (N, K), classes ``target`` (N,) int64, where K means background, and weights of classes (K,)
    or none, into ``output`` (N, K). ``gamma`` is the modulating factor's exponent, ``alpha`` the positives' weight.
    """
    output.copy_(_loss(input, target, weight, gamma, alpha))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """The derivative of :func:`sigmoid_focal_loss_forward` by ``input``, written into ``grad_input`` (N, K)."""
    with torch.enable_grad():
        logits = input.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(_loss(logits, target, weight, gamma, alpha).sum(), logits)
    grad_input.copy_(gradient)


def _loss(logits: Tensor, target: Tensor, weight: Tensor, gamma: float, alpha: float) -> Tensor:
    classes = logits.shape[1]
    positive = functional.one_hot(target, classes + 1)[:, :classes].to(logits.dtype)
    probability = logits.sigmoid()
    # the logarithms of p and 1 - p from the logits, so that neither becomes log(0)
    hit = -alpha * (1 - probability) ** gamma * functional.logsigmoid(logits)
    miss = -(1 - alpha) * probability**gamma * functional.logsigmoid(-logits)
    loss = positive * hit + (1 - positive) * miss
    if weight.numel():
        loss = loss * torch.cat((weight, weight.new_ones(1)))[target].unsqueeze(1)
    return loss
