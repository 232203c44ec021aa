"""Each planted defect is found, named, mended, mended once and for all, and nothing new comes of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from page import page
from planting import Case, state
from sets import CASES, clean_set

from seg2knet.validators.engine import validate

ALL = [(layout, case) for layout, cases in CASES.items() for case in cases]


def differences(one: Any, other: Any, at: str = "") -> list[str]:
    """Where two states differ, and how."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [
            line
            for key in sorted({**one, **other})
            for line in differences(one.get(key, "nothing"), other.get(key, "nothing"), f"{at}/{key}")
        ]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [line for place in range(len(one)) for line in differences(one[place], other[place], f"{at}/{place}")]
    return [] if one == other else [f"{at}: {str(one)[:300]} and not {str(other)[:300]}"]


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Layout -> a clean set, never changed."""
    folder = tmp_path_factory.mktemp("clean")
    return {layout: clean_set(layout, folder / layout) for layout in CASES}


@pytest.mark.parametrize("layout", CASES)
def test_the_clean_set_is_clean(clean: dict[str, Path], layout: str) -> None:
    assert [(finding.code, finding.message) for finding in validate(clean[layout], jobs=1)] == []


@pytest.mark.parametrize(("layout", "case"), ALL, ids=[f"{layout}-{case.code}-{case.name}" for layout, case in ALL])
def test_planted(clean: dict[str, Path], tmp_path: Path, layout: str, case: Case) -> None:
    root = Path(shutil.copytree(clean[layout], tmp_path / "set"))
    case.plant(root)
    broken = state(root)

    found = validate(root, jobs=1).findings

    own = [finding for finding in found if finding.code == case.code]
    told = [f"{finding.code} {finding.fix.value}: {finding.message}" for finding in found]
    assert own, told
    assert {finding.code for finding in found} == {case.code, *case.also.split()}, told
    assert not case.count or len(own) == case.count, told
    assert case.words in " ".join(finding.message for finding in own), told
    assert max((finding.fix.value for finding in own), key=["none", "unsafe", "safe"].index) == (case.fix or "none"), (
        told
    )

    if case.fix != "safe" and not case.also:
        assert not validate(root, jobs=1, fix="safe").fixed
        assert state(root) == broken
    if not case.fix:
        after = validate(root, jobs=1, fix="unsafe", select=[case.code])
        assert case.code in {finding.code for finding in after}
        assert state(root) == broken
        return

    report = validate(root, jobs=1, fix=case.fix)

    left = {finding.code for finding in report}
    assert left == set(case.left.split()), [f"{finding.code}: {finding.message}" for finding in report]
    assert report.fixed
    wanted = Path(shutil.copytree(clean[layout], tmp_path / "wanted"))
    if case.mended is not None:
        case.mended(wanted)
    after_fix = state(root)
    assert differences(after_fix, state(wanted)) == []
    assert not validate(root, jobs=1, fix=case.fix).fixed
    assert state(root) == after_fix


def test_the_page_of_planted_defects_is_current() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "planted.md").read_text(encoding="utf-8")
    assert text == page(), "make it again: python tests/validators/planted/page.py > docs/planted.md"


def test_names_are_told_apart() -> None:
    for cases in CASES.values():
        assert len({(case.code, case.name) for case in cases}) == len(cases)
