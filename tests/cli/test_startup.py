"""The command line starts without the heavy packages."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

import seg2knet
from seg2knet.cli import COMMANDS, cli

HEAVY = ("torch", "cv2", "numpy", "mmdet", "mmcv", "shapely", "lxml", "pycocotools", "PIL")


@pytest.mark.parametrize(
    "code", ["import seg2knet", "from seg2knet.cli import cli; cli(['--help'], standalone_mode=False)"]
)
def test_nothing_heavy_is_imported(code: str) -> None:
    check = f"{code}\nimport sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage" in result.output


@pytest.mark.parametrize("name", ["convert", "validate", "stats", "rules"])
def test_data_commands_never_import_torch(name: str) -> None:
    check = (
        f"from seg2knet.cli import cli\ntry: cli([{name!r}, '--help'])\nexcept SystemExit: pass\n"
        "import sys; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", check], capture_output=True, check=True)


def test_the_api_lists_what_it_has_and_names_what_was_meant() -> None:
    assert set(seg2knet.__all__) <= set(dir(seg2knet))
    assert all(callable(getattr(seg2knet, name)) for name in seg2knet.__all__ if name != "__version__")
    with pytest.raises(AttributeError, match="did you mean 'convert'"):
        _ = seg2knet.covnert


def test_an_output_that_cannot_be_written_is_an_error_without_a_traceback(tmp_path) -> None:
    code = "import sys, seg2knet.cli as c; c.cli = lambda: open(sys.argv[1], 'w'); c.main()"
    place = tmp_path / "none" / "x.html"
    done = subprocess.run([sys.executable, "-c", code, str(place)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert str(place) in done.stderr
    assert "Traceback" not in done.stderr
