"""--json, --quiet and -v mean the same on every command; what is cheap is checked before PyTorch is loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from shapes_set import data, write

from seg2knet.cli import COMMANDS, cli
from seg2knet.cli.checks import check_checkpoint
from seg2knet.cli.terminal import loading, styled
from seg2knet.dataset.label_image import encode_png
from seg2knet.download.transfer import bar
from seg2knet.errors import QUIET, EnvironmentProblem, UsageError, extra


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    write(tmp_path / "set.json", data(1))
    return tmp_path / "set.json"


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "setup"])
def test_every_command_has_the_three(name: str) -> None:
    text = run(*(("convert", "coco") if name == "convert" else (name,)), "--help").output
    assert all(option in text for option in ("--json", "-q, --quiet", "-v, --verbose"))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "raw").mkdir()
    for number in range(4):
        encoded = encode_png(np.full((48, 64, 3), number, np.uint8))
        (tmp_path / "raw" / f"{number}.png").write_bytes(encoded)
        shape = {"label": "car", "points": [[5, 5], [40, 5], [40, 40 - number]], "shape_type": "polygon"}
        document = {"shapes": [shape], "imagePath": f"{number}.png", "imageWidth": 64, "imageHeight": 48}
        (tmp_path / "raw" / f"{number}.json").write_text(json.dumps(document))
    return tmp_path / "raw"


def test_json_is_all_of_stdout(coco: Path, raw: Path, tmp_path: Path) -> None:
    assert json.loads(run("stats", coco, "--json").stdout)
    found = run("validate", coco, "--json")
    assert list(json.loads(found.stdout)) == ["findings", "summary"]
    assert found.exit_code == run("validate", coco).exit_code
    assert json.loads(run("rule", "CI007", "--json").stdout)["code"] == "CI007"
    assert len(json.loads(run("rules", "--json").stdout)) > 100
    done = run("convert", "labelme", raw, "--to", "coco", "--out", tmp_path / "out", "--json")
    assert json.loads(done.stdout)["ledger"]["images"]
    assert "ledger" in done.stderr  # what a person reads


def test_quiet_leaves_out_what_no_one_asked(coco: Path, raw: Path, tmp_path: Path) -> None:
    done = run("convert", "labelme", raw, "--to", "coco", "--out", tmp_path / "out", "-q")
    assert done.exit_code == 0
    assert done.stdout == ""
    assert "classes" in run("stats", coco, "--quiet").stdout  # an answer stays
    assert QUIET not in os.environ


def test_verbose_says_how_long_and_where(coco: Path) -> None:
    assert " s\n" in run("stats", coco, "-v").stderr
    done = run("rule", "XX999", "-v")
    assert isinstance(done.exception, UsageError)
    assert "Traceback" in done.stderr


def test_quiet_is_known_below_the_commands(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for quiet in ("", "1"):
        monkeypatch.setenv(QUIET, quiet)
        with bar("x.zip") as progress:
            progress(1, 2)
        loading()
        assert bool(capsys.readouterr().err) != bool(quiet)


def test_packages_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch, coco: Path) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    for arguments in (["validate", coco, "--output-format", "html"], ["stats", coco, "--format", "html"]):
        error = run(*arguments).exception
        assert isinstance(error, EnvironmentProblem)
        assert error.hint == extra("report")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EnvironmentProblem, match="PyTorch is not installed"):
        loading()


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_colour_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert styled("x", fg="red") != "x"
    monkeypatch.setenv(name, value)
    assert styled("x", fg="red") == "x"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "photo.jpg", "best.pth"], "an image where the checkpoint should be"),
        (["predict", ".", "photo.jpg"], "did you mean best.pth?"),
        (["predict", "best.pth", "photo.jpg", "--format", "overlay,yol"], "found:    yol"),
        (["predict", "best.pth", "photo.jpg", "--out", "photo.jpg/out"], "a file in its way"),
        (["predict", "none.pth", "photo.jpg"], "no such checkpoint"),
        (["predict", "knet-s3-r50-fpn-1y", "photo.jpg"], "did you mean knet-s3-r50-fpn-1x?"),
        (["predict", "best.pth", "photo.jpg", "--format", "yolo", "--out", "old"], "the folder is there already"),
        (["test", "photo.jpg"], "an image where the checkpoint should be"),
        (["test", "best.pth", "--csv", "photo.jpg/x.csv"], "a file in its way"),
        (["export", "."], "a folder where the checkpoint should be"),
        (["train", ".", "--gpus", "0"], "no data set found"),
        (["train", ".", "--batch-size", "\u00b2"], "neither a number nor auto"),
    ],
)
def test_cheap_errors_come_before_pytorch(tmp_path: Path, arguments: list[str], message: str) -> None:
    for name in ("photo.jpg", "best.pth"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "old" / "yolo" / "labels").mkdir(parents=True)
    code = (
        f"import sys\nsys.argv[1:] = {arguments!r}\nfrom seg2knet.cli import main\ntry: main()\n"
        "finally: assert 'torch' not in sys.modules, 'torch was loaded'"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "torch was loaded" not in done.stderr


def test_models_go_by_the_name_of_their_release_too() -> None:
    check_checkpoint("knet_s3_r50_fpn_1x_coco")
