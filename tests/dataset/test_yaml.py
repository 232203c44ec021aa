"""YAML of plain data is read; one that its aliases make large is refused before it grows."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from seg2knet.dataset.files import load_yaml
from seg2knet.errors import DataError


def laughs(levels: int) -> str:
    """Each level is ten times the one before."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        laughs(9),
        "names: &n\n  0: cat\n  1: *n",
        "a: &a {b: &b [1, 2]}\n" + "\n".join(f"c{k}: [*a, *b]" for k in range(5000)),
        "[" * 60 + "]" * 60,
    ],
)
def test_what_grows_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "data.yaml"
    path.write_text(text)
    started = time.perf_counter()
    with pytest.raises(DataError, match="beyond reason"):
        load_yaml(path)
    assert time.perf_counter() - started < 20


def test_a_few_aliases_are_read(tmp_path: Path) -> None:
    path = tmp_path / "data.yaml"
    path.write_text("base: &b {path: images, names: [cat, dog]}\ntrain: *b\nval: *b\nnames: {0: cat, 1: dog}\n")
    data = load_yaml(path)
    assert data["train"] == data["val"] == {"path": "images", "names": ["cat", "dog"]}


@pytest.mark.parametrize("text", ["a: !!python/object:os.system x", "a: [", "? {a: b}\n: [c]\n- d"])
def test_what_is_no_plain_data(tmp_path: Path, text: str) -> None:
    path = tmp_path / "data.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match="not a YAML file"):
        load_yaml(path)
