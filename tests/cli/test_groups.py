"""A mistyped name gets the right one."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from seg2knet.cli import cli


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["trian"], "Did you mean: seg2knet train"),
        (["Validate"], "Did you mean: seg2knet validate"),
        (["convert", "labelm", "x"], "Did you mean: seg2knet convert labelme"),
        (["convert", "YOLO", "x"], "Did you mean: seg2knet convert yolo"),
        (["frobnicate"], "Expected one of: convert, validate, train"),
    ],
)
def test_the_nearest_name_is_offered(typed: list[str], meant: str) -> None:
    done = CliRunner().invoke(cli, typed, prog_name="seg2knet")
    assert done.exit_code == 2
    assert meant in done.output
    assert "Traceback" not in done.output


def test_a_folder_for_a_format_offers_auto(tmp_path: Path) -> None:
    folder = tmp_path / "my labels"
    folder.mkdir()
    done = CliRunner().invoke(cli, ["convert", str(folder), "--to", "coco"], prog_name="seg2knet")
    assert done.exit_code == 2
    assert f"seg2knet convert auto '{folder}' --to coco" in done.output
