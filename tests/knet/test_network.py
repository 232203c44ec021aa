"""The parts of the network against the same thing said plainly."""

from __future__ import annotations

import math

import pytest
import torch

from seg2knet.errors import UsageError
from seg2knet.knet.kernel_head import KernelHead, group_features
from seg2knet.knet.kernel_update import UpdateStage
from seg2knet.knet.localization_fpn import LocalizationFPN, sine_encoding
from seg2knet.knet.network import KNetwork, Shape


def test_sine_encoding_entry_by_entry() -> None:
    code = sine_encoding(torch.zeros(1, 8, 3, 5))[0]
    for feature, y, x in ((0, 0, 0), (1, 2, 4), (2, 1, 3), (3, 2, 0), (4, 0, 4), (5, 1, 1), (7, 2, 2)):
        position, length = (y, 3) if feature < 4 else (x, 5)
        angle = (position + 1) / (length + 1e-6) * 2 * math.pi / 10000 ** (2 * (feature % 4 // 2) / 4)
        assert code[feature, y, x] == pytest.approx((math.sin, math.cos)[feature % 2](angle), abs=1e-5)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 160), (100, 36)])
def test_localization_fpn_ends_at_stride_8(height: int, width: int) -> None:
    pyramid = [torch.randn(2, 32, math.ceil(height / s), math.ceil(width / s)) for s in (4, 8, 16, 32)]
    for feature in LocalizationFPN(32)(pyramid):
        assert feature.shape == (2, 32, math.ceil(height / 8), math.ceil(width / 8))


def test_features_under_masks_are_summed() -> None:
    masks, features = torch.randn(2, 3, 4, 5), torch.randn(2, 6, 4, 5)
    sums, pixels = group_features(masks, features)
    inside = masks.sigmoid() > 0.5
    for b in range(2):
        for n in range(3):
            torch.testing.assert_close(sums[b, n], features[b][:, inside[b, n]].sum(1), rtol=1e-4, atol=1e-5)
            assert pixels[b, n] == inside[b, n].sum()


def test_sums_do_not_overflow_half_precision() -> None:
    with torch.autocast("cpu", dtype=torch.float16):
        sums, _ = group_features(torch.ones(1, 1, 300, 300), torch.full((1, 32, 300, 300), 3.0).half())
    assert sums.min() == 270_000


def test_stage_equals_convolving_the_image() -> None:
    """The stage's convolution applied to sums and kernels gives what it gives applied to the features."""
    stage = UpdateStage(32, 4, 8, 64)
    torch.nn.init.normal_(stage.feature_conv.bias)
    features, kernels, masks = torch.randn(2, 32, 6, 7), torch.randn(2, 5, 32), torch.randn(2, 5, 6, 7)
    ours = stage(features, kernels, masks)

    x = stage.feature_conv(features)
    new = stage.update(torch.einsum("bnhw,bchw->bnc", (masks.sigmoid() > 0.5).float(), x), kernels)
    new = stage.attention_norm(new + stage.attention(new, new, new)[0])
    new = stage.ffn_norm(new + stage.ffn(new))
    torch.testing.assert_close(ours.kernels, new, rtol=1e-4, atol=1e-4)
    logits = torch.einsum("bnc,bchw->bnhw", stage.mask_out(stage.mask_branch(new)), x)
    torch.testing.assert_close(ours.mask_logits, logits, rtol=1e-3, atol=1e-3)


def test_stage_does_not_care_for_the_order_of_kernels() -> None:
    stage = UpdateStage(32, 4, 8, 64)
    features, kernels, masks = torch.randn(2, 32, 6, 7), torch.randn(2, 5, 32), torch.randn(2, 5, 6, 7)
    order = torch.randperm(5)
    straight, turned = stage(features, kernels, masks), stage(features, kernels[:, order], masks[:, order])
    for a, b in zip(straight, turned):
        torch.testing.assert_close(a[:, order], b, rtol=1e-4, atol=1e-4)


def test_stuff_kernels_are_the_semantic_weights() -> None:
    head = KernelHead(32, 4, num_classes=5, num_stuff=2)
    proposals = head(torch.randn(2, 32, 4, 4), torch.randn(2, 32, 4, 4))
    assert proposals.mask_logits.shape == (2, 6, 4, 4)
    torch.testing.assert_close(proposals.mask_logits[:, 4:], proposals.semantic_logits[:, 3:])
    torch.testing.assert_close(proposals.kernels[1, 4:], head.semantic_out.weight[3:, :, 0, 0])


def test_initial_values() -> None:
    network = KNetwork(Shape(num_things=80))
    assert network.kernel_head.kernels.weight.std().item() == pytest.approx(1, abs=0.05)
    assert network.kernel_head.semantic_out.bias[0].item() == pytest.approx(-math.log(99))
    assert network.stages[2].class_out.bias[0].item() == pytest.approx(-math.log(99))
    for conv in (network.localization_fpn.levels[0][0].conv, network.kernel_head.semantic.conv):
        assert conv.weight.std().item() == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize(
    "wrong",
    [{"num_things": 0}, {"num_stuff": -1}, {"channels": 48}, {"num_heads": 3}, {"num_kernels": 0}, {"num_stuff": 998}],
)
def test_impossible_sizes_are_refused(wrong: dict) -> None:
    with pytest.raises(UsageError):
        KNetwork(Shape(**{"num_things": 2, **wrong}))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_mask_over_the_whole_image_stays_finite_in_half_precision(dtype: torch.dtype) -> None:
    """Sums over 30,000 pixels make the gates' product overflow float16: 9.8e8 at the start of training."""
    torch.manual_seed(0)
    stage = UpdateStage(64, 4, 8, 64)
    features = torch.rand(1, 64, 160, 192, requires_grad=True)
    kernels, mask_logits = 1e4 * torch.randn(1, 5, 64), torch.ones(1, 5, 160, 192)
    with torch.autocast("cpu", dtype=dtype):
        output = stage(features, kernels, mask_logits)
    exact = stage(features, kernels, mask_logits)
    for ours, reference in zip(output, exact):
        assert torch.isfinite(ours).all()
        torch.testing.assert_close(ours.float(), reference, rtol=0.1, atol=0.1 * reference.abs().max().item())
