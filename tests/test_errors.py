"""Errors say file, place, found, expected, to do; and travel between processes."""

from __future__ import annotations

import importlib.metadata
import json
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from seg2knet.errors import DataError, Seg2KNetError, extra


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


@pytest.mark.parametrize("editable", [False, True])
def test_an_extra_comes_from_the_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, editable: bool) -> None:
    checkout = tmp_path / "my clone"
    checkout.mkdir()
    (checkout / "constraints.txt").touch()
    origin = {"url": checkout.as_uri(), "dir_info": {"editable": True} if editable else {}}
    monkeypatch.setattr(importlib.metadata, "distribution", installed(json.dumps(origin)))
    option = "-e " if editable else ""
    assert extra("train") == f"pip install {option}'{checkout}[train]' -c '{checkout / 'constraints.txt'}'"


@pytest.mark.parametrize("origin", [None, {"url": "file:///gone", "dir_info": {}}, {"url": "https://x/y.whl"}])
def test_an_extra_comes_from_pypi(monkeypatch: pytest.MonkeyPatch, origin: Any) -> None:
    monkeypatch.setattr(importlib.metadata, "distribution", installed(json.dumps(origin) if origin else None))
    assert extra("train") == "pip install 'seg2knet[train]'"


def installed(origin: Any) -> Any:
    """A stand-in for the look-up of a distribution that pip installed from `origin`."""
    return lambda name: SimpleNamespace(read_text=lambda file: origin)
