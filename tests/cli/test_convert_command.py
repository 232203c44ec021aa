"""``seg2knet convert`` as it is typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from seg2knet.cli import cli


def labelme(root: Path, count: int = 10) -> Path:
    root.mkdir(parents=True)
    for index in range(count):
        pixels = np.random.default_rng(index).integers(0, 255, (48, 64, 3), np.uint8)
        cv2.imwrite(str(root / f"{index}.jpg"), pixels)
        square = [[5, 5], [40, 5], [40, 40 - index], [5, 40]]
        shapes = [{"label": "car" if index % 2 else "tree", "points": square, "shape_type": "polygon"}]
        document = {"shapes": shapes, "imagePath": f"{index}.jpg", "imageWidth": 64, "imageHeight": 48}
        (root / f"{index}.json").write_text(json.dumps(document))
    return root


def run(*args: object) -> Result:
    return CliRunner().invoke(cli, ["convert", *map(str, args)])


def test_the_readmes_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labelme(tmp_path / "raw")
    monkeypatch.chdir(tmp_path)
    done = run("labelme", "./raw", "--to", "coco")
    assert done.exit_code == 0, done.output
    assert "data/coco" in done.output
    assert "clean" in done.output
    assert "split-by-default" in done.output
    files = {path.name for path in (tmp_path / "data/coco/annotations").iterdir()}
    assert files == {"instances_train2017.json", "instances_val2017.json"}


def test_the_conversion_that_is_replaced_is_named(tmp_path: Path) -> None:
    out = tmp_path / "coco"
    for name, said in (
        ("first", ""),
        ("second", f"{out}: replaces the conversion of first\n"),
        ("third", "of second\n"),
    ):
        done = run("labelme", labelme(tmp_path / name), "--out", out, "--dry-run")
        assert "replaces" not in done.output
        done = run("labelme", tmp_path / name, "--out", out)
        assert done.exit_code == 0
        assert said in done.output
        assert ("replaces" in done.output) == bool(said)
    assert "replaces" not in run("labelme", tmp_path / "first", "--out", out, "--overwrite").output


def test_skips_exit_1_unless_allowed(tmp_path: Path) -> None:
    root = labelme(tmp_path / "raw")
    document = json.loads((root / "0.json").read_text())
    document["shapes"].append({"label": "p", "points": [[1, 1]], "shape_type": "point"})
    (root / "0.json").write_text(json.dumps(document))
    done = run("labelme", root, "--out", tmp_path / "out", "--no-validate")
    assert done.exit_code == 1
    assert "point-has-no-area: 1" in done.output
    assert (tmp_path / "out" / "annotations").is_dir()
    assert run("labelme", root, "--out", tmp_path / "out", "--no-validate", "--allow-skips").exit_code == 0


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["labelme", "nowhere"], "no such source"),
        (["labelme", ".", "--split", "0.5/0.1"], "not a split"),
        (["labelme", ".", "--map", "x"], "not a renaming"),
        (["labelme", ".", "--to", "pictures"], "no target is called 'pictures'"),
        (["labelme", ".", "--classes", "nowhere.txt"], "cannot be read"),
    ],
)
def test_errors_exit_2_without_a_traceback(tmp_path: Path, args: list[str], said: str) -> None:
    labelme(tmp_path / "raw")
    command = [sys.executable, "-m", "seg2knet", "convert", *args, "--out", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=tmp_path / "raw", capture_output=True, text=True)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_auto_says_why(tmp_path: Path) -> None:
    root = labelme(tmp_path / "raw")
    done = run("auto", root, "--out", tmp_path / "out", "--no-validate")
    assert done.exit_code == 0, done.output
    assert "LabelMe" in done.output
    assert '"shapes"' in done.output
    (tmp_path / "empty").mkdir()
    done = run("auto", tmp_path / "empty")
    assert "unknown format" in str(done.exception)


def test_dry_run(tmp_path: Path) -> None:
    root = labelme(tmp_path / "raw")
    done = run("labelme", root, "--out", tmp_path / "out", "--dry-run")
    assert done.exit_code == 0
    assert "nothing was written" in done.output
    assert not (tmp_path / "out").exists()


def test_every_option_is_passed_on(tmp_path: Path) -> None:
    root = labelme(tmp_path / "raw")
    (tmp_path / "classes.txt").write_text("lorry\nbike\n")
    options = {
        "to": "coco,panoptic",
        "out": tmp_path / "out",
        "split": "0.5/0.3/0.2",
        "seed": 3,
        "group-by": "folder",
        "classes": tmp_path / "classes.txt",
        "map": "car=lorry",
        "drop": "tree",
        "stuff": "lorry",
        "min-area": 10,
        "layout": "plain",
        "images": "copy",
        "exif": "keep",
        "overlap": "last",
        "void-class": "rest",
        "jobs": 1,
        "boxes": "as-polygons",
    }
    flags = ["--polygons", "--strip-instance-suffix", "--no-validate"]
    args = ["labelme", root, *flags, *(part for name, value in options.items() for part in (f"--{name}", value))]
    done = run(*args)
    assert done.exit_code == 0, done.output
    document = json.loads((tmp_path / "out" / "annotations" / "panoptic_train.json").read_text())
    assert [(c["name"], c["isthing"]) for c in document["categories"]] == [("bike", 1), ("lorry", 0), ("rest", 0)]
    ledger = json.loads((tmp_path / "out" / "seg2knet-ledger.json").read_text())
    assert ledger["options"]["split"] == {"train": 0.5, "val": 0.3, "test": 0.2}
    assert ledger["options"]["reader"]["strip_instance_suffix"] is True
    assert ledger["objects"]["skipped_as_asked"][0]["count"] == 5


def test_converting_never_imports_torch(tmp_path: Path) -> None:
    root = labelme(tmp_path / "raw")
    code = (
        "import sys, seg2knet\n"
        f"seg2knet.convert('labelme', {str(root)!r}, out={str(tmp_path / 'out')!r}, jobs=1)\n"
        "assert not {'torch', 'mmdet', 'mmcv'} & set(sys.modules), 'torch was imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_says_what_strict_would_fail_on(tmp_path: Path) -> None:
    root = labelme(tmp_path / "raw")
    for index in (0, 1):
        document = json.loads((root / f"{index}.json").read_text())
        document["shapes"] = [{**shape, "label": "sky"} for shape in document["shapes"]]
        (root / f"{index}.json").write_text(json.dumps(document))
    options = ("--to", "panoptic", "--stuff", "sky", "--split", "train", "--out", tmp_path / "out")
    done = run("labelme", root, *options)
    assert done.exit_code == 0, done.output
    assert "warning: CP015: 2" in done.output
    assert "an image of stuff alone is sound panoptic data" in done.output
    assert "seg2knet validate --strict would fail, on CP015" in done.output
    strict = CliRunner().invoke(cli, ["validate", "--strict", str(tmp_path / "out")])
    assert strict.exit_code == 1
    known = CliRunner().invoke(cli, ["validate", "--strict", "--ignore", "CP015", str(tmp_path / "out")])
    assert known.exit_code == 0, known.output
