"""Configurations, baselines and settings that nobody would write on purpose are refused or passed over in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from seg2knet.cli.validate import Settings, settings
from seg2knet.errors import UsageError
from seg2knet.validators.report import Report
from seg2knet.validators.subjects.config_file import ConfigFile


@pytest.mark.parametrize("text", ["x = " + "+".join(["1"] * 2000), "x = " + "-" * 2000 + "1", "x = " + "-" * 20_000])
def test_configuration_nested_without_end(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.py").write_text(text)
    with pytest.raises(UsageError, match="not a Python file"):
        ConfigFile(tmp_path / "config.py")


def test_baseline_nested_without_end(tmp_path: Path) -> None:
    (tmp_path / "known.json").write_text("[" * 100_000)
    with pytest.raises(UsageError, match="no baseline"):
        Report().mark_known(tmp_path / "known.json")


def test_tool_that_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("tool = 5")
    assert settings(tmp_path) == Settings()


def test_settings_nested_without_end(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("a = " + "[" * 5000)
    with pytest.raises(UsageError, match="cannot be read"):
        settings(tmp_path)
