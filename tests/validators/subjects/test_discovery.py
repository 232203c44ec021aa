"""What counts as a data set, and what does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from shapes_set import single_set

from seg2knet.errors import UsageError
from seg2knet.validators.engine import validate

LEDGER = {"version": 1, "images": {"read": 3, "written": 3}, "annotations": {"read": 9}, "categories": ["car"]}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_conversion_s_ledger_is_no_annotation_file(tmp_path: Path) -> None:
    root = single_set(tmp_path / "set").parent
    (root / "seg2knet-ledger.json").write_text(json.dumps(LEDGER))
    report = validate(root)
    assert report.checked["files"] == 1
    assert not report.findings


def test_a_folder_with_a_ledger_alone_is_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "seg2knet-ledger.json").write_text(json.dumps(LEDGER))
    with pytest.raises(UsageError):
        validate(tmp_path)


def test_macos_companion_files_are_no_images(tmp_path: Path) -> None:
    root = single_set(tmp_path / "set").parent
    (root / "._train0.jpg").write_bytes(b"\0\5\26\7 Mac OS X")
    assert not validate(root).findings
