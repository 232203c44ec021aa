"""Names from the data are printed and written as text: no control character, no command of a CI service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

EVIL = "cat\x1b[31m\x1b]0;title\x07\n::error file=a::owned\r##[error]owned"


def seg2knet(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    code = "from seg2knet.cli import main; main()"
    environment = {**os.environ, "XDG_CACHE_HOME": str(cwd / "cache"), "PYTHONUTF8": "1", "GITHUB_ACTIONS": "true"}
    command = [sys.executable, "-c", code, *map(os.fsencode, map(str, arguments))]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, check=False)


def coco(root: Path, name: str, category: str = "cat") -> Path:
    """A set of two images; the first has ``name``, the object a wrong area."""
    (root / "annotations").mkdir(parents=True)
    (root / "train2017").mkdir()
    images = []
    for number, own in enumerate((name, "b.jpg"), 1):
        pixels = np.random.default_rng(number).integers(0, 255, (48, 64, 3), dtype=np.uint8)
        with open(os.path.join(root / "train2017", own), "wb") as file:
            Image.fromarray(pixels).save(file, format="JPEG")
        images.append({"id": number, "file_name": own, "width": 64, "height": 48})
    shape = {"segmentation": [[4.0, 4, 20, 4, 20, 16, 4, 16]], "area": 900.0, "bbox": [4, 4, 16, 12], "iscrowd": 0}
    content: dict[str, Any] = {
        "images": images,
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, **shape}],
        "categories": [{"id": 1, "name": category}],
    }
    text = json.dumps(content, ensure_ascii=True)
    (root / "annotations" / "instances_train2017.json").write_text(text)
    return root


def check(output: bytes) -> None:
    """No control character but the line's end, no line that is a command."""
    text = output.decode()  # it is UTF-8
    assert "owned" in text
    assert not [each for each in text if ord(each) < 32 and each != "\n"]
    assert not [line for line in text.splitlines() if line.strip().startswith("::") or "##[" in line]


def test_validate(tmp_path: Path) -> None:
    coco(tmp_path / "set", EVIL.replace("/", "") + ".jpg", EVIL)
    check(seg2knet("validate", "set", cwd=tmp_path).stdout)
    check(seg2knet("validate", "set", "--show-all", "--strict", cwd=tmp_path).stdout)
    check(seg2knet("validate", "set", "--diff", cwd=tmp_path).stdout)
    check(seg2knet("stats", "set", cwd=tmp_path).stdout)
    ran = seg2knet("validate", "set", "--output-format", "github", cwd=tmp_path).stdout.decode()
    commands = [line for line in ran.splitlines() if line.startswith("::")]
    assert all(line.startswith(("::error file=set/", "::warning file=set/", "::notice file=set/")) for line in commands)
    assert "\x1b" not in ran
    check(seg2knet("validate", "set", "--fix", cwd=tmp_path).stdout)


def test_convert(tmp_path: Path) -> None:
    coco(tmp_path / "set", EVIL.replace("/", "") + ".jpg", EVIL)
    for arguments in (("coco", "set"), ("auto", "set"), ("coco", "set", "--classes", EVIL)):
        ran = seg2knet("convert", *arguments, "--to", "coco", "--out", "out", "--overwrite", cwd=tmp_path)
        check(ran.stdout + ran.stderr)


def test_errors(tmp_path: Path) -> None:
    for arguments in (
        ("validate", EVIL),
        ("convert", "coco", EVIL),
        ("predict", EVIL, EVIL),
        ("train", "--config", EVIL),
    ):
        ran = seg2knet(*arguments, cwd=tmp_path)
        check(ran.stdout + ran.stderr)
        assert ran.returncode == 2
        assert b"Traceback" not in ran.stderr


@pytest.fixture
def odd(tmp_path: Path) -> str:
    """A file name that is not UTF-8, as ``os.fsdecode`` gives it."""
    name = os.fsdecode(b"f\xfcr.jpg")
    try:
        coco(tmp_path / "set", name)
    except (OSError, UnicodeError):
        pytest.skip("the file system takes UTF-8 alone")
    return name


@pytest.mark.parametrize("kind", ["text", "json", "jsonl", "sarif", "github", "html"])
def test_names_that_are_not_utf_8(odd: str, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "set" / "annotations" / "instances_train2017.json"
    os.rename(tmp_path / "set" / "train2017" / odd, tmp_path / "set" / "train2017" / os.fsdecode(b"gr\xfc\xdf.jpg"))
    path.write_text(path.read_text().replace("f\\udcfcr.jpg", "b.jpg"))
    printed = seg2knet("validate", "set", "--output-format", kind, cwd=tmp_path)
    assert printed.returncode == 1, printed.stderr
    printed.stdout.decode()
    written = seg2knet("validate", "set", "--output-format", kind, "--output-file", "out/report", cwd=tmp_path)
    assert written.returncode == 1, written.stderr
    assert "gr" in (tmp_path / "out" / "report").read_text("utf-8")
    if kind == "json":
        again = seg2knet("validate", "set", "--baseline", "out/report", cwd=tmp_path)
        assert again.returncode == 0, again.stdout
    if kind == "sarif":
        run = json.loads(printed.stdout)["runs"][0]
        json.dumps(run, ensure_ascii=False).encode()  # every text of it is Unicode
        assert "gr%FC%DF.jpg" in json.dumps(run)


@pytest.mark.parametrize("length", [250, 256, 300, 5000])
def test_long_names(tmp_path: Path, length: int) -> None:
    root = coco(tmp_path / "set", "a.jpg")
    path = root / "annotations" / "instances_train2017.json"
    path.write_text(path.read_text().replace("a.jpg", "x" * (length - 4) + ".jpg"))
    content = json.loads(path.read_text())
    for image in content["images"][:1]:
        entry = {"image_id": image["id"], "file_name": "y" * (length - 4) + ".png", "segments_info": []}
        content.update(annotations=[entry], categories=[{"id": 1, "name": "cat", "isthing": 1}])
    (root / "annotations" / "panoptic_train2017.json").write_text(json.dumps(content))
    (root / "annotations" / "panoptic_train2017").mkdir()
    for options in ((), ("--fix", "--unsafe-fixes"), ("--output-format", "html")):
        ran = seg2knet("validate", "set", *options, cwd=tmp_path)
        assert ran.returncode == 1, ran.stderr
        assert b"Traceback" not in ran.stderr
