"""Look-alikes are those that comparing every image with every other finds."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from seg2knet.validators.subjects import looks
from seg2knet.validators.subjects.looks import Looks, look_alikes, neighbours, same_layouts


@pytest.mark.parametrize("block", [4, 1000])
def test_look_alikes_are_those_of_comparing_all(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    random = np.random.default_rng(0)
    small = random.integers(0, 255, (120, 4, 4)).astype(np.float32)
    thumbs = np.stack([cv2.resize(one, (16, 16), interpolation=cv2.INTER_CUBIC) for one in small])
    copies = thumbs[:80] + random.normal(0, 1, (80, 16, 16)).astype(np.float32) * random.uniform(0, 15, (80, 1, 1))
    copies[::3] = copies[::3, :, ::-1]
    thumbs = np.concatenate([thumbs, copies])[random.permutation(200)]
    of = np.sort(random.integers(0, 3, 200))
    monkeypatch.setattr(looks, "_BLOCK", block)
    found = look_alikes(Looks(thumbs, np.full(200, 255)), of)
    assert len(found) > 20

    expected = set()
    both, order = np.concatenate([thumbs, thumbs[:, :, ::-1]]), np.arange(200)
    likeness = np.corrcoef(both.reshape(400, -1))
    for one in order.tolist():
        for allowed in ((of == of[one]) & (order < one), of > of[one]):
            other = int(np.where(np.tile(allowed, 2), likeness[one], -1).argmax())
            signs = (np.diff(both[one], axis=1) > 0) != (np.diff(both[other], axis=1) > 0)
            if allowed[other % 200] and likeness[one, other] >= 0.985 and signs.mean() <= 0.12:
                expected.add((one, other % 200, other >= 200))
    assert {flipped for *_, flipped in expected} == {False, True}
    assert {tuple(pair) for pair in found} == expected


def test_neighbours_leave_out_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "_BLOCK", 8)
    points, others = np.random.default_rng(1).random((2, 300, 3))
    near = np.zeros((300, 300), bool)
    for rows, some in neighbours(points, others, 0.1):
        near[np.ix_(rows, some)] = True
    assert near[(np.abs(points[:, None] - others) <= 0.1).all(2)].all()
    assert near.mean() < 0.35
    assert list(neighbours(points[:0], others, 0.1)) == []


def test_layouts_without_objects() -> None:
    assert same_layouts(np.zeros((0, 7)), np.zeros(0, np.int64)) == []
