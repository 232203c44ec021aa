"""Instances and panoptic maps against loops that say the rule word by word."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from seg2knet.knet import results
from seg2knet.knet.results import ImageSize, ResultRules, boxes_of, full_masks, instances, panoptic

SIZE = ImageSize(content=(28, 30), original=(45, 51))


def plain_masks(masks: torch.Tensor) -> torch.Tensor:
    x = F.interpolate(masks[None], scale_factor=2, mode="bilinear", align_corners=False).sigmoid()
    x = F.interpolate(x, size=(32, 32), mode="bilinear", align_corners=False)[..., :28, :30]
    return F.interpolate(x, size=(45, 51), mode="bilinear", align_corners=False)[0]


@pytest.fixture(params=[1 << 25, 3000])
def _chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "CHUNK_PIXELS", request.param)


@pytest.mark.usefixtures("_chunks")
def test_masks_at_the_original_size() -> None:
    masks = torch.randn(5, 4, 4) * 3
    torch.testing.assert_close(torch.cat(list(full_masks(masks, SIZE))), plain_masks(masks))


@pytest.mark.usefixtures("_chunks")
def test_instances_are_the_best_pairs_of_kernel_and_class() -> None:
    classes, masks = torch.randn(6, 4), torch.randn(6, 4, 4) * 3
    found = instances(classes, masks, SIZE, ResultRules(max_per_img=9))
    pairs = sorted(((float(classes[n, c].sigmoid()), n, c) for n in range(6) for c in range(4)), reverse=True)[:9]
    whole = plain_masks(masks) > 0.5
    assert found.labels.tolist() == [c for _, _, c in pairs]
    assert found.scores.tolist() == pytest.approx([s for s, _, _ in pairs])
    for mask, box, (_, n, _) in zip(found.masks, found.boxes, pairs):
        assert torch.equal(mask, whole[n])
        ys, xs = np.nonzero(mask.numpy())
        assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


def test_scores_of_masks_reorder_instances() -> None:
    classes = torch.tensor([[2.0], [1.5], [1.0]])
    masks = torch.stack([torch.full((4, 4), logit) for logit in (0.1, 4.0, -4.0)])  # unsure, sure, empty
    found = instances(classes, masks, SIZE, ResultRules(mask_score=True))
    quality = torch.tensor([0.1, 4.0]).sigmoid()
    expected = [float(classes[1].sigmoid() * quality[1]), float(classes[0].sigmoid() * quality[0]), 0.0]
    assert found.scores.tolist() == pytest.approx(expected)
    assert found.masks.any(1).any(1).tolist() == [True, True, False]


@pytest.mark.usefixtures("_chunks")
def test_low_scores_are_dropped_before_masks_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    class_logits, mask_logits = torch.randn(6, 4), torch.randn(6, 4, 4) * 3
    everything = instances(class_logits, mask_logits, SIZE, ResultRules())
    threshold = everything.scores[3].item()
    enlarged: list[int] = []
    real = results.full_masks
    monkeypatch.setattr(results, "full_masks", lambda some, size: enlarged.append(len(some)) or real(some, size))
    few = instances(class_logits, mask_logits, SIZE, ResultRules(score_thr=threshold))
    assert len(few.scores) == 4
    assert enlarged[0] <= 4
    for ours, theirs in zip(few, everything):
        assert torch.equal(ours, theirs[:4])
    assert instances(class_logits, mask_logits, SIZE, ResultRules(score_thr=1.1)).masks.shape == (0, 45, 51)


def test_fewer_pairs_than_asked_for() -> None:
    found = instances(torch.randn(2, 1), torch.randn(2, 4, 4), SIZE, ResultRules(max_per_img=100))
    assert len(found.scores) == 2


def test_an_empty_mask_has_an_empty_box() -> None:
    assert boxes_of(torch.zeros(1, 4, 4, dtype=torch.bool)).tolist() == [[0, 0, 0, 0]]


def plain_panoptic(classes: torch.Tensor, masks: torch.Tensor, things: int, rules: ResultRules) -> np.ndarray:
    p = classes.sigmoid()
    stuff = classes.shape[1] - things
    kernels = len(classes) - stuff
    scored = [(float(p[n, :things].max()), int(p[n, :things].argmax())) for n in range(kernels)]
    scored += [(float(p[kernels + c, things + c]), things + c) for c in range(stuff)]
    whole = plain_masks(masks)
    winner = (whole * torch.tensor([s for s, _ in scored])[:, None, None]).argmax(0).numpy()
    out = np.full(SIZE.original, classes.shape[1])
    number = 0
    for n in sorted(range(len(scored)), key=lambda n: -scored[n][0]):
        score, label = scored[n]
        won, own = (winner == n).sum(), int((whole[n] >= 0.5).sum())
        if (label < things and score < rules.instance_score_thr) or not won or not own:
            continue
        if won / own < rules.overlap_thr:
            continue
        out[winner == n] = label + 1000 * number
        number += 1
    return out


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize("seed", range(6))
def test_panoptic_map(seed: int) -> None:
    torch.manual_seed(seed)
    classes, masks = torch.randn(8, 5) * 2, torch.randn(8, 4, 4) * 3
    rules = ResultRules(instance_score_thr=0.6, overlap_thr=0.3)
    found = panoptic(classes, masks, 3, SIZE, rules)
    expected = plain_panoptic(classes, masks, 3, rules)
    np.testing.assert_array_equal(found.ids.numpy(), expected)
    assert set(found.scores) == set(np.unique(expected)) - {5}
    assert list(found.scores.values()) == sorted(found.scores.values(), reverse=True)


def test_nothing_is_found_where_nothing_is() -> None:
    found = panoptic(torch.full((4, 3), -9.0), torch.full((4, 4, 4), -9.0), 2, SIZE, ResultRules())
    assert found.ids.unique().tolist() == [3]
    assert found.scores == {}
