"""Defects of images, panoptic PNGs and masks, planted together: validation never raises, fixing ends."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Callable

import test_ade_rules
import test_image_rules
import test_panoptic_rules
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_sets import ade, coco

from seg2knet.validators.engine import validate
from seg2knet.validators.reports import FORMATS

EXAMPLES = 10
COCO = [plant for _, plant, _ in test_image_rules.PLANTS + test_panoptic_rules.PLANTS]
ADE = [plant for _, plant, _ in test_ade_rules.PLANTS] + [test_ade_rules.many_classes, test_ade_rules.absent]


def check(make: Callable[[Path], Path], plants: list[Callable[[Path], None]]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root = make(Path(scratch, "set"))
        for plant in plants:
            with contextlib.suppress(Exception):  # one plant may take away what the next would change
                plant(root)
        validate(root)
        validate(root, fix="safe")
        left = validate(root, fix="unsafe")
        content = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
        again = validate(root, fix="unsafe")
        assert [finding.as_json() for finding in again.findings] == [finding.as_json() for finding in left.findings]
        assert content == {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for name in FORMATS:
            assert isinstance(FORMATS[name](again), str)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(COCO), min_size=2, max_size=6))
def test_coco(plants: list[Callable[[Path], None]]) -> None:
    check(coco, plants)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(ADE), min_size=2, max_size=5))
def test_ade(plants: list[Callable[[Path], None]]) -> None:
    check(ade, plants)
