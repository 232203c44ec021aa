"""Errors say file, place, found, expected, to do; and travel between processes."""

from __future__ import annotations

import pickle

from seg2knet.errors import DataError, Seg2KNetError


def test_every_part_is_said() -> None:
    error = DataError("wrong", file="a.json", place="shape 3", found="x", expected="y", hint="do z")
    assert str(error).splitlines() == [
        "a.json: shape 3: wrong",
        "  found:    x",
        "  expected: y",
        "  to do:    do z",
    ]


def test_errors_survive_pickling() -> None:
    error = DataError("wrong", file="a.json", hint="do z")
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, Seg2KNetError)
    assert str(again) == str(error)
