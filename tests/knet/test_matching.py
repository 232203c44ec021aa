"""Matching against brute force, its cost against the formula written out."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seg2knet.knet import matching
from seg2knet.knet.matching import assign, batch_costs, matching_cost, positives
from seg2knet.knet.targets import BatchTruth, ImageTruth, collate


def truth_of(*counts: int, size: int = 8, seed: int = 0, stuff: tuple[int, ...] = ()) -> BatchTruth:
    generator = torch.Generator().manual_seed(seed)
    images = []
    for count in counts:
        masks = torch.randint(0, 5, (count + len(stuff), size, size), generator=generator, dtype=torch.uint8).numpy()
        labels = torch.randint(0, 3, (count,), generator=generator).tolist()
        images.append(ImageTruth(masks[:count], labels, masks[count:], list(stuff)))
    return collate(images, (size, size), 3, 3, torch.device("cpu"))


def plain_cost(p: np.ndarray, t: np.ndarray, logits: np.ndarray | None, label: int) -> float:
    """One kernel against one object, as knet.md and the paper say it."""
    cost = -float((p * t).sum() + ((1 - p) * (1 - t)).sum()) / p.size
    cost -= 4 * 2 * float((p * t).sum()) / (float((p * p).sum()) + 1e-3 + float((t * t).sum()) + 1e-3)
    if logits is not None:
        q = 1 / (1 + np.exp(-logits[label]))
        cost += 2 * float(-0.25 * (1 - q) ** 2 * np.log(q + 1e-12) + 0.75 * q**2 * np.log(1 - q + 1e-12))
    return cost


@given(st.integers(1, 4), st.integers(1, 4), st.booleans(), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_cost_is_the_formula(kernels: int, objects: int, classes: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    p = torch.rand(kernels, 6, 6, generator=generator)
    t = torch.rand(objects, 6, 6, generator=generator)
    logits = torch.randn(kernels, 3, generator=generator) * 3 if classes else None
    labels = torch.randint(0, 3, (objects,), generator=generator)
    ours = matching_cost(p, t, logits, labels)
    for n in range(kernels):
        for g in range(objects):
            row = None if logits is None else logits[n].double().numpy()
            expected = plain_cost(p[n].double().numpy(), t[g].double().numpy(), row, int(labels[g]))
            assert abs(float(ours[n, g]) - expected) < 1e-3


@given(st.integers(1, 5), st.lists(st.integers(0, 4), min_size=1, max_size=3), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_matching_is_the_cheapest_of_all(kernels: int, counts: list[int], seed: int) -> None:
    truth = truth_of(*counts, seed=seed)
    masks = torch.randn(len(counts), kernels, 4, 4, generator=torch.Generator().manual_seed(seed))
    classes = torch.randn(len(counts), kernels, 3, generator=torch.Generator().manual_seed(seed + 1))
    for i, (rows, columns) in enumerate(assign(batch_costs(masks, truth, classes))):
        large = torch.nn.functional.interpolate(masks[i : i + 1], scale_factor=2, mode="bilinear")[0].sigmoid()
        begin, end = truth.things[i]
        cost = matching_cost(large, truth.thing_masks(i), classes[i], truth.labels[begin:end]).numpy()
        assert len(rows) == len(columns) == min(cost.shape)
        assert (np.diff(rows) > 0).all()
        wide = cost if cost.shape[0] <= cost.shape[1] else cost.T
        best = min(
            sum(wide[r, c] for r, c in enumerate(order)) for order in permutations(range(wide.shape[1]), wide.shape[0])
        )
        assert abs(cost[rows, columns].sum() - best) < 1e-4


@pytest.mark.parametrize("counts", [[3], [2, 0, 5], [0, 0], [1, 6]])
def test_the_gpu_solver_finds_what_scipy_finds(counts: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """torch-hungarian's batched solver, on the CPU here; with more objects than kernels SciPy solves."""
    package = pytest.importorskip("torch_linear_assignment")
    calls: list[torch.Size] = []

    def solve(costs: torch.Tensor) -> torch.Tensor:
        calls.append(costs.shape)
        return package.batch_linear_assignment(costs)

    costs = [torch.randn(5, count, generator=torch.Generator().manual_seed(count)) - 3 for count in counts]
    expected = matching.assign(costs)
    monkeypatch.setattr(matching, "_gpu_solver", lambda device: solve)
    for ours, theirs in zip(matching.assign(costs), expected):
        np.testing.assert_array_equal(ours, theirs)
    assert calls == ([] if max(counts) in (0, 6) else [(len(counts), 5, max(counts))])


def test_there_is_no_gpu_solver_for_the_cpu() -> None:
    assert matching._gpu_solver(torch.device("cpu")) is None


def test_a_diverged_model_is_still_matched() -> None:
    masks = torch.full((1, 3, 4, 4), float("nan"))
    ((rows, columns),) = assign(batch_costs(masks, truth_of(2)))
    assert sorted(columns) == [0, 1]
    assert len(set(rows)) == 2


def test_stuff_kernels_answer_for_their_own_class() -> None:
    truth = truth_of(1, 0, stuff=(3, 5))
    pairs = [(np.array([1]), np.array([0])), (np.array([], int), np.array([], int))]
    found = positives(pairs, truth, num_kernels=4, num_things=3)
    assert found.image.tolist() == [0, 0, 0, 1, 1]
    assert found.kernel.tolist() == [1, 4, 6, 4, 6]
    assert found.truth.tolist() == [0, 1, 2, 3, 4]
    assert found.label[1:].tolist() == [3, 5, 3, 5]
    assert len(positives(pairs, truth).image) == 1
