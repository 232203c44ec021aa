"""The registry of training stacks: who is in it, and which is chosen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Optional

import pytest

from seg2knet import plugins
from seg2knet.errors import UsageError
from seg2knet.trainer import stacks


@pytest.mark.parametrize(
    ("asked", "knet", "installed", "expected"),
    [
        (None, None, True, True),
        (None, None, False, False),
        (None, Path("K-Net"), False, True),
        ("mmengine", None, True, False),
        ("classic", None, False, True),
    ],
)
def test_choose(
    monkeypatch: pytest.MonkeyPatch, asked: Optional[str], knet: Optional[Path], installed: bool, expected: bool
) -> None:
    classic = stacks.get("classic")
    monkeypatch.setattr(classic, "available", lambda: installed)
    assert stacks.choose(asked, knet) is (classic if expected else None)


def test_what_does_not_fit() -> None:
    with pytest.raises(UsageError, match="no such stack") as caught:
        stacks.choose("mmdet2")
    assert "mmengine | classic" in str(caught.value)
    with pytest.raises(UsageError, match="--knet is for the classic stack"):
        stacks.choose("mmengine", Path("K-Net"))


def test_a_source_tree_needs_no_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "entry_points", dict)
    assert list(stacks.known()) == ["classic"]


def test_stacks_of_other_packages_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "OURS", [])
    monkeypatch.setattr(plugins, "entry_points", lambda: {stacks.GROUP: [plugins.EntryPoint("own", "json", "")]})
    assert list(stacks.known()) == ["own"]


def test_importing_the_registry_costs_nothing() -> None:
    code = (
        'import sys; from seg2knet.trainer import stacks; stacks.known(); print({"torch", "mmcv"} & set(sys.modules))'
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
