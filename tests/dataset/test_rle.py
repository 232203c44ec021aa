"""Run-length strings as numbers: those that pycocotools wrote, and nothing but an error of ours for any bytes."""

from __future__ import annotations

from itertools import islice

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from seg2knet.dataset.rle import mask_to_rle, rle_ones, rle_runs, rle_to_mask
from seg2knet.dataset.sample import Rle
from seg2knet.errors import DataError

masks = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24))


@given(st.lists(masks, max_size=6), st.booleans())
def test_runs_of_ones_of_many_masks_at_once(many: list[np.ndarray], empty: bool) -> None:
    rles = [mask_to_rle(mask) for mask in many]
    rles[1:1] = [Rle(b"", 3, 3)] * empty
    starts, ends, counts = rle_ones(rles)
    assert len(counts) == len(rles)
    assert len(starts) == len(ends) == sum(counts)
    pairs = iter(zip(starts.tolist(), ends.tolist()))
    for rle, count in zip(rles, counts):
        columns = np.zeros(rle.height * rle.width, bool)
        for start, end in islice(pairs, count):
            columns[start:end] = True
        expected = rle_to_mask(rle) if rle.counts else np.zeros((rle.height, rle.width), bool)
        assert (expected == columns.reshape(rle.width, rle.height).T).all()


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=40))
def test_runs_are_those_that_pycocotools_wrote(runs: list[int]) -> None:
    height = sum(runs)
    if not height:
        return
    encoded = coco_mask.frPyObjects({"size": [height, 1], "counts": runs}, height, 1)
    assert rle_runs(encoded["counts"]).tolist() == runs


@given(st.binary(max_size=40))
def test_any_bytes_are_runs_or_a_data_error(counts: bytes) -> None:
    try:
        runs = rle_runs(counts)
    except DataError:
        return
    assert (runs >= 0).all()
