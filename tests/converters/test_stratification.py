"""Divisions: sizes as asked, rare classes in each part, groups together."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seg2knet.converters.splitting.division import stratify
from seg2knet.converters.splitting.splits import part_sizes

images = st.lists(st.lists(st.sampled_from("abcdefg"), max_size=4), min_size=1, max_size=60)
divisions = st.sampled_from([{"train": 0.8, "val": 0.2}, {"train": 0.7, "val": 0.2, "test": 0.1}, {"a": 0.5, "b": 0.5}])


@given(images, divisions, st.integers(0, 5))
def test_sizes_are_as_asked(labels: list[list[str]], shares: dict[str, float], seed: int) -> None:
    chosen = stratify(labels, range(len(labels)), shares, seed)
    sizes = part_sizes(len(labels), shares)
    assert Counter(chosen) == Counter({name: size for name, size in sizes.items() if size})
    assert all(abs(sizes[name] - len(labels) * share) <= 1.0 or len(labels) < 20 for name, share in shares.items())
    assert stratify(labels, range(len(labels)), shares, seed) == chosen


@given(st.integers(2, 40), st.integers(2, 5), st.integers(0, 3))
def test_a_class_with_as_many_images_as_parts_is_in_each(count: int, rare: int, seed: int) -> None:
    labels = [["common", "rare"] if index < rare else ["common"] for index in range(count + rare)]
    chosen = stratify(labels, range(len(labels)), {"train": 0.8, "val": 0.2}, seed)
    if len(set(chosen)) == 2:
        assert {part for part, some in zip(chosen, labels) if "rare" in some} == {"train", "val"}


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 6), st.sampled_from("abc")), min_size=1, max_size=60), divisions)
def test_groups_stay_together(images: list[tuple[int, str]], shares: dict[str, float]) -> None:
    chosen = stratify([[label] for _, label in images], [group for group, _ in images], shares, 0)
    sides = {group: {part for part, (other, _) in zip(chosen, images) if other == group} for group, _ in images}
    assert all(len(parts) == 1 for parts in sides.values())


def deviation(matrix: np.ndarray, in_val: np.ndarray, share: float) -> float:
    """How far the classes' shares in val are from ``share``, on average over classes."""
    return float(np.abs(matrix[in_val].sum(axis=0) / matrix.sum(axis=0) - share).mean())


@pytest.mark.parametrize("seed", [0, 1])
def test_as_even_as_the_package_that_people_use(seed: int) -> None:
    iterstrat = pytest.importorskip("iterstrat.ml_stratifiers")
    rng = np.random.default_rng(seed)
    frequency = np.geomspace(0.6, 0.01, 15)
    matrix = (rng.random((600, 15)) < frequency).astype(int)
    matrix = matrix[:, matrix.sum(axis=0) >= 2]
    labels = [[f"c{index:02d}" for index in np.flatnonzero(row)] for row in matrix]
    ours = np.array(stratify(labels, range(600), {"train": 0.8, "val": 0.2}, seed)) == "val"
    splitter = iterstrat.MultilabelStratifiedShuffleSplit(n_splits=1, test_size=0.2, random_state=seed)
    _, theirs = next(splitter.split(matrix, matrix))
    in_val = np.zeros(600, bool)
    in_val[theirs] = True
    assert ours.sum() == 120
    assert matrix[ours].sum(axis=0).min() >= 1
    assert deviation(matrix, ours, 0.2) <= deviation(matrix, in_val, 0.2) + 0.01
