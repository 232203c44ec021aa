"""Whatever is wrong at once, validate does not raise and fixing ends."""

from __future__ import annotations

import copy
import json
import random
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shapes_set import data, write
from test_coco_rules import DEFECTS

from seg2knet.validators.engine import validate
from seg2knet.validators.statistics import as_json, statistics
from seg2knet.validators.subjects.data import find

SMALL = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
PLANTS = [defect for defect in DEFECTS if defect.plant is not None and defect.name not in ("imbalance",)]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=5), below, max_size=4),
    max_leaves=8,
)


def check(content: Any, raw: bytes = b"") -> None:
    """Validate, fix both ways, fix again: no exception, and the second time nothing is left to do."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "annotations.json"
        if raw:
            path.write_bytes(raw)
        else:
            write(path, content)
        validate(path).summary  # noqa: B018
        as_json(statistics(find(path)))
        for kind in ("safe", "unsafe"):
            validate(path, fix=kind)
            fixed = path.read_bytes()
            again = validate(path, fix=kind)
            assert path.read_bytes() == fixed
            assert not again.fixed
            assert not [finding for finding in again if finding.fix.value == "safe" and not callable(finding.hit.edits)]


@SMALL
@given(st.lists(st.sampled_from(PLANTS), min_size=2, max_size=6))
def test_several_defects_at_once(defects: list[Any]) -> None:
    content = data(2)
    for defect in defects:
        try:
            defect.plant(content)
        except (KeyError, IndexError, TypeError, AttributeError):
            continue  # what it changes is gone by an earlier one
    check(content)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) below a value."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    found = [(value, key) for key in keys]
    for key in keys:
        found += _places(value[key])
    return found


@SMALL
@given(st.lists(JSON, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_anything_anywhere(values: list[Any], chance: random.Random) -> None:
    content = copy.deepcopy(data(1))
    for value in values:
        places = _places(content)
        if places:
            container, key = chance.choice(places)
            container[key] = value
    check(content)


@pytest.mark.parametrize("far", [-900, -1000, 5000, 1e7, -1e12])
@pytest.mark.parametrize("place", [0, 1])
def test_point_far_out_of_the_image(far: float, place: int) -> None:
    content = data(1)
    for annotation in content["annotations"]:
        if isinstance(annotation["segmentation"], list):
            annotation["segmentation"][0][place] = far
    check(content)


@SMALL
@given(st.binary(max_size=20), st.floats(0, 1), st.floats(0, 1))
def test_bytes_that_are_broken(garbage: bytes, start: float, end: float) -> None:
    text = json.dumps(data(1)).encode()
    begin, stop = sorted((int(start * len(text)), int(end * len(text))))
    check(None, text[:begin] + garbage + text[min(stop, begin + 50) :] or b" ")


@SMALL
@given(JSON)
def test_any_json(value: Any) -> None:
    check(value)


@pytest.mark.parametrize(
    "text", [b"[" * 100_000, b'{"images": ' * 50_000, b'{"annotations": [{"segmentation": ' + b"[" * 9000]
)
def test_nested_without_end(text: bytes) -> None:
    check(None, text)


@pytest.mark.parametrize("key", ["id", "image_id", "width", "iscrowd", "area", "bbox", "segmentation"])
def test_number_of_more_digits_than_python_reads(key: str) -> None:
    text, digits = json.dumps(data(1)), "1" * 5000
    changed = re.sub(rf'("{key}": [\[]*)[\d.]+', rf"\g<1>{digits}", text, count=1)
    assert changed != text
    check(None, changed.encode())


def test_key_twice_with_a_number_of_many_digits() -> None:
    check(None, json.dumps(data(1)).replace('"area": ', f'"area": {"1" * 5000}, "area": ', 1).encode())
