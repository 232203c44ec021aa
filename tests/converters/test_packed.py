"""Packed records come back as they were, one by one, by slices and by blocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seg2knet.converters.base import Handle
from seg2knet.converters.splitting.packed import BLOCK, Packed, cut, pack, unpack

handles = st.builds(
    Handle, st.text(), st.none() | st.text() | st.lists(st.integers(0, 9)), st.sampled_from([None, "val"])
)


@given(st.lists(handles, max_size=20), st.integers(1, 7), st.slices(20))
def test_as_a_list(records: list[Handle], size: int, some: slice) -> None:
    packed = Packed(Handle)
    for block in cut(records, size):
        packed.add(block)
    assert list(packed) == records
    assert len(packed) == len(records)
    assert packed[some] == records[some]
    assert [packed[place] for place in range(-len(records), len(records))] == records * 2
    assert [(count, unpack(block, Handle)) for count, block in packed.blocks] == [
        (len(block), block) for block in cut(records, size)
    ]


def test_blocks_of_a_size() -> None:
    records = [Handle(f"{number}.jpg", number) for number in range(2 * BLOCK + 3)]
    packed = Packed(Handle, iter(records))
    assert [count for count, _ in packed.blocks] == [BLOCK, BLOCK, 3]
    assert packed.block(2) == records[-3:]
    assert sum(len(block) for _, block in packed.blocks) < 12 * len(records)


@pytest.mark.parametrize("place", [3, -4])
def test_nothing_there(place: int) -> None:
    with pytest.raises(IndexError):
        Packed(Handle, [Handle("a", 0)] * 3)[place]


def test_a_tuple_comes_back_as_a_list() -> None:
    assert unpack(pack([Handle("a.jpg", ("a.json", 3))]), Handle) == [Handle("a.jpg", ["a.json", 3])]
