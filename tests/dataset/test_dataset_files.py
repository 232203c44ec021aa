"""Files of a source: whole, cut at a limit, and what is no file."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seg2knet.dataset import files, images, text
from seg2knet.errors import DataError


def test_json_over_the_limit_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_JSON", 10)
    (tmp_path / "a.json").write_text("[1, 2, 3]")
    assert files.load_json(tmp_path / "a.json") == [1, 2, 3]
    (tmp_path / "a.json").write_text("[1, 2, 3, 4]")
    with pytest.raises(DataError, match="too large"):
        files.load_json(tmp_path / "a.json")
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(DataError, match="cannot be read"):
            files.load_json(path)


@pytest.mark.parametrize("data", [b"", b"text", b"BM" + b"\0" * 16 + b"\xff\xff\xff\x7f" * 2 + b"\1\0\x18\0"])
def test_header_of_what_is_none_names_the_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "odd.jpg").write_bytes(data)
    with pytest.raises(DataError, match=r"odd\.jpg"):
        images.probe(tmp_path / "odd.jpg")


NAMES = [
    "", "2", "02", "10", "a", "A", "a-", "a1", "a01", "a1b", "a2", "a10", "a10.jpg", "ab", "car", "car 2", "car1",
    "img2.jpg", "img10.jpg", "img10a.jpg", "x" * 50 + "9" * 5000, "٣", "b/1", "b1/1", "b1/02",
]  # fmt: skip


def test_natural_order_takes_any_names() -> None:
    assert sorted(["car10", "car", "car2", "Car", "car02"], key=text.natural) == [
        "Car",
        "car",
        "car2",
        "car02",
        "car10",
    ]
    assert sorted(["img10.jpg", "img2.jpg"], key=text.natural) == ["img2.jpg", "img10.jpg"]
    order = sorted(NAMES, key=text.natural)
    assert sorted(set(NAMES), key=text.natural) == order
    assert len({text.natural(name) for name in NAMES}) == len(NAMES)


@given(st.lists(st.text("aB01.-/ ", max_size=8), max_size=8))
def test_natural_order_is_that_of_text_and_numbers_in_turn(names: list[str]) -> None:
    def slowly(name: str) -> list[tuple[int, str, int, int]]:
        parts = re.split(r"(\d+)", name.lower())
        said = [
            (1, part, 0, 0) if index % 2 == 0 else (1, "", int(part), len(part)) for index, part in enumerate(parts)
        ]
        return [*said, (0, name, 0, 0)]

    assert sorted(names, key=text.natural) == sorted(names, key=slowly)


@pytest.mark.parametrize("name", [b"\xff.json", b"\xfe/a.json"])
def test_a_path_that_is_not_unicode_is_listed(tmp_path: Path, name: bytes) -> None:
    path = os.path.join(os.fsencode(tmp_path), name)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb"):
            pass
    except OSError:
        pytest.skip("the file system wants Unicode")
    assert list(files.walk(tmp_path, (".txt",))) == []
    assert [os.fsencode(found) for found in files.walk(tmp_path, (".json",))] == [path]


@pytest.mark.parametrize("encoding", ["latin-1", "gbk"])
def test_json_in_another_encoding_is_said(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes('{"label": "×"}'.encode(encoding))
    with pytest.raises(DataError) as raised:
        files.load_json(path)
    assert (raised.value.found, raised.value.hint) == ("text in another encoding", "save it as UTF-8")
