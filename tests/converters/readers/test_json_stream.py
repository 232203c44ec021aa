"""The stream of a big file's elements, held against the standard library's parser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seg2knet.converters.readers.common.json_stream import Value, stream
from seg2knet.errors import DataError

texts = st.text(alphabet=st.sampled_from('ab"\\{}[],:é日\n'), max_size=6)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(texts, values, max_size=3)
keys = st.sampled_from(["images", "annotations", "categories", "x y"])
documents = st.dictionaries(keys, st.lists(objects, max_size=5) | objects | st.integers() | texts, max_size=4)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=documents, block=st.integers(1, 60), indent=st.sampled_from([None, 2]), ascii=st.booleans())
def test_stream_gives_what_the_parser_gives(
    tmp_path: Path, document: dict[str, Any], block: int, indent: int, ascii: bool
) -> None:
    path = tmp_path / "file.json"
    text = json.dumps(document, indent=indent, ensure_ascii=ascii).encode()
    path.write_bytes(text)
    found: dict[str, Any] = {}
    for item in stream(path, block):
        if isinstance(item, Value):
            found[item.key] = [] if item.data is None else json.loads(item.data)
            continue
        elements = json.loads(item.data)
        found[item.key] += elements
        places = zip(item.starts.tolist(), item.ends.tolist())
        assert [json.loads(text[start:end]) for start, end in places] == elements
    assert found == {key: value for key, value in document.items() if isinstance(value, (list, dict))}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a JSON object"),
        ("[1, 2]", "not a JSON object"),
        ('{"images": [{"id": 1}', "not JSON"),
        ('{"images": [{"id": 1}]} }', "not JSON"),
        ('{"images": [1, 2]}', "not JSON"),
        ('{"images": [{"id": "1}]}', "not JSON"),
    ],
)
def test_what_is_no_json_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        list(stream(path))


def test_byte_order_mark_is_no_matter(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(b'\xef\xbb\xbf{"images": [{"id": 1}]}')
    elements = [item for item in stream(path) if not isinstance(item, Value)]
    assert path.read_bytes()[int(elements[0].starts[0]) : int(elements[0].ends[0])] == b'{"id": 1}'


def test_deep_nesting_ends_in_an_error_or_passes(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text('{"images": [{"a": ' + "[" * 100_000 + "]" * 100_000 + "}]}")
    assert sum(not isinstance(item, Value) for item in stream(path)) == 1
