"""The two operators of mmcv that K-Net calls, in PyTorch."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from seg2knet.trainer.openmmlab.focal_loss import sigmoid_focal_loss_backward, sigmoid_focal_loss_forward  # noqa: E402


def plain(logits: torch.Tensor, target: torch.Tensor, gamma: float, alpha: float) -> torch.Tensor:
    """Lin et al.'s formula, sample by sample."""
    loss = torch.zeros_like(logits)
    for row in range(logits.shape[0]):
        for column in range(logits.shape[1]):
            p = torch.sigmoid(logits[row, column])
            if target[row] == column:
                loss[row, column] = -alpha * (1 - p) ** gamma * torch.log(p)
            else:
                loss[row, column] = -(1 - alpha) * p**gamma * torch.log(1 - p)
    return loss


@pytest.fixture
def problem() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(6, 4, dtype=torch.float64), torch.tensor([0, 3, 4, 1, 4, 2])


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 0.25), (1.5, 0.6)])
def test_forward(problem: tuple[torch.Tensor, torch.Tensor], gamma: float, alpha: float) -> None:
    logits, target = problem
    output = torch.zeros_like(logits)
    sigmoid_focal_loss_forward(logits, target, logits.new_empty(0), output, gamma=gamma, alpha=alpha)
    torch.testing.assert_close(output, plain(logits, target, gamma, alpha))


def test_backward(problem: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, target = problem
    gradient = torch.zeros_like(logits)
    with torch.no_grad():  # as inside autograd.Function.backward
        sigmoid_focal_loss_backward(logits, target, logits.new_empty(0), gradient, gamma=2.0, alpha=0.25)
    leaf = logits.clone().requires_grad_()
    plain(leaf, target, 2.0, 0.25).sum().backward()
    torch.testing.assert_close(gradient, leaf.grad)


def test_weights_go_by_the_sample(problem: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, target = problem
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    output = torch.zeros_like(logits)
    sigmoid_focal_loss_forward(logits, target, weight, output, gamma=2.0, alpha=0.25)
    of_sample = torch.tensor([1.0, 4.0, 1.0, 2.0, 1.0, 3.0], dtype=torch.float64)
    torch.testing.assert_close(output, plain(logits, target, 2.0, 0.25) * of_sample[:, None])


def test_certain_logits_are_finite() -> None:
    logits = torch.tensor([[-200.0, 200.0]])
    output = torch.zeros_like(logits)
    sigmoid_focal_loss_forward(logits, torch.tensor([0]), logits.new_empty(0), output, gamma=2.0, alpha=0.25)
    torch.testing.assert_close(output, torch.tensor([[50.0, 150.0]]))
