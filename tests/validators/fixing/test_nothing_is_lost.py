"""No fix overwrites a file, changes what is not the data set's alone, or loses what it replaced."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from shapes_set import spoiled
from small_sets import ade, change, coco, noise

from seg2knet.errors import UsageError
from seg2knet.validators.engine import validate
from seg2knet.validators.fixing import writing
from seg2knet.validators.model import DeleteFile, RenameFile, SetValue


def contents(root: Path) -> set[str]:
    """The digests of all files that are no JSON."""
    files = (path for path in root.rglob("*") if path.is_file() and path.suffix != ".json")
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def renamed_image(root: Path, row: int, old: str, new: str) -> None:
    """Give an image and its panoptic PNG other names, in both files too."""
    (root / "train2017" / old).rename(root / "train2017" / new)
    for kind in ("instances", "panoptic"):
        path = root / "annotations" / f"{kind}_train2017.json"
        change(path, lambda data: data["images"][row].update(file_name=new))


@pytest.mark.parametrize("fix", ["safe", "unsafe"])
def test_two_images_that_want_one_name(tmp_path: Path, fix: str) -> None:
    root = coco(tmp_path / "set")
    renamed_image(root, 0, "train_0.jpg", "IMG_7.JPG")
    renamed_image(root, 1, "train_1.jpg", "IMG_7.jpeg")
    before = contents(root)
    report = validate(root, fix=fix)
    assert before <= contents(root)
    left = {finding.hit.file.name for finding in report} | {line.split(":")[0] for line in report.not_fixed}
    assert left  # one of the two could not have the name


@pytest.mark.parametrize("names", [("x.PNG", "x.tif"), ("x.tif", "X.PNG"), ("x.PNG", "x.Png")])
def test_two_masks_that_want_one_name(tmp_path: Path, names: tuple[str, str]) -> None:
    root = ade(tmp_path / "set")
    folder = root / "annotations" / "training"
    mask = np.asarray(Image.open(folder / "training_0.png"))
    for number, name in enumerate(names):
        kind = "TIFF" if name.endswith("tif") else "PNG"
        Image.fromarray(np.where(mask == 1, 2 + number, mask)).save(folder / name, format=kind)
    Image.fromarray(noise(77)).save(root / "images" / "training" / "x.jpg")
    before = contents(root)
    for fix in ("safe", "unsafe"):
        validate(root, fix=fix)
        assert before <= contents(root)


def test_a_name_that_is_taken(tmp_path: Path) -> None:
    """The image's proper name is that of a file that no rule knows."""
    root = coco(tmp_path / "set")
    renamed_image(root, 0, "train_0.jpg", "a.JPG")
    (root / "train2017" / "A.jpg").write_bytes(b"somebody's notes")
    before = contents(root)
    validate(root, fix="unsafe")
    assert before <= contents(root)
    assert (root / "train2017" / "A.jpg").read_bytes() == b"somebody's notes"


def outside_image(root: Path, tmp_path: Path, link: str) -> tuple[Path, Path]:
    """A CMYK image outside of the set, and the name it has in the set."""
    outside = tmp_path / "originals" / "raw.jpg"
    outside.parent.mkdir()
    Image.fromarray(noise(1)).convert("CMYK").save(outside)
    inside = root / "train2017" / "train_0.jpg"
    inside.unlink()
    if link == "symbolic":
        inside.symlink_to(outside)
    else:
        os.link(outside, inside)
    return outside, inside


@pytest.mark.parametrize("link", ["symbolic", "hard"])
@pytest.mark.parametrize("backup", [True, False])
def test_originals_behind_links_stay(tmp_path: Path, link: str, backup: bool) -> None:
    root = coco(tmp_path / "set", panoptic=False)
    outside, inside = outside_image(root, tmp_path, link)
    before = outside.read_bytes()
    validate(root, select=["IM010"], fix="unsafe", backup=backup)
    assert outside.read_bytes() == before
    assert Image.open(inside).mode == "RGB"
    assert not inside.is_symlink()
    assert inside.with_name("train_0.jpg.bak").exists() == backup
    if backup:
        assert inside.with_name("train_0.jpg.bak").read_bytes() == before


def test_annotations_behind_a_link_stay(tmp_path: Path) -> None:
    train, _ = spoiled(tmp_path / "set")
    outside = tmp_path / "shared.json"
    train.rename(outside)
    train.symlink_to(outside)
    before = outside.read_bytes()
    assert not validate(tmp_path / "set", fix="safe").findings
    assert outside.read_bytes() == before
    assert train.with_name(train.name + ".bak").resolve() == outside


@pytest.mark.parametrize("link", ["set", "folder"])
def test_folders_that_are_links(tmp_path: Path, link: str) -> None:
    """A set that is a link is the user's choice; a folder in it that is one may be everybody's."""
    real = coco(tmp_path / "real", panoptic=False)
    root = tmp_path / "set"
    if link == "set":
        root.symlink_to(real)
    else:
        root.mkdir()
        (real / "annotations").rename(root / "annotations")
        for split in ("train2017", "val2017"):
            (root / split).symlink_to(real / split)
    Image.fromarray(noise(55)).convert("CMYK").save(real / "train2017" / "train_0.jpg")
    before = contents(real)
    report = validate(root, fix="unsafe")
    if link == "set":
        assert not report.findings
    else:
        assert contents(real) == before
        assert [line for line in report.not_fixed if "IM010" in line and "link" in line]
        assert report.exit_code == 0


def test_backups_never_replace_one_another(tmp_path: Path) -> None:
    """Many at once, as several processes would."""
    path = tmp_path / "a.json"
    path.write_bytes(b"the original")
    (tmp_path / "a.json.bak").write_bytes(b"an older one")
    with ThreadPoolExecutor(16) as pool:
        kept = list(pool.map(lambda _: writing.back_up(path), range(64)))
    assert len(set(kept)) == 64
    assert (tmp_path / "a.json.bak").read_bytes() == b"an older one"


def test_several_at_once(tmp_path: Path) -> None:
    train, _ = spoiled(tmp_path / "set")
    before = train.read_bytes()
    code = "from seg2knet.cli import main; main()"
    command = [sys.executable, "-c", code, "validate", str(tmp_path / "set"), "--fix"]
    runs = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
        for _ in range(3)
    ]
    ended = [(*run.communicate(), run.returncode) for run in runs]
    assert {code for _, _, code in ended} <= {0, 2}
    assert 0 in {code for _, _, code in ended}
    assert all("another --fix" in err for _, err, code in ended if code == 2)
    assert not validate(tmp_path / "set").findings
    assert train.with_name(train.name + ".bak").read_bytes() == before
    assert not train.with_name(train.name + ".bak2").exists()


def test_a_set_that_is_being_fixed(tmp_path: Path) -> None:
    train, _ = spoiled(tmp_path / "set")
    before = train.read_bytes()
    with writing.locked(tmp_path / "set"), pytest.raises(UsageError, match="another --fix"):
        validate(tmp_path / "set", fix="safe")
    assert train.read_bytes() == before
    assert validate(tmp_path / "set", fix="safe").fixed


def test_a_file_that_somebody_changes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, _ = spoiled(tmp_path / "set")
    real = writing.state_of

    def state_of(path: Path) -> Any:
        if path == train and not train.with_name("once").exists():
            train.with_name("once").write_text("")
            train.write_text(train.read_text() + "\n")
        return real(path)

    monkeypatch.setattr(writing, "state_of", state_of)
    report = validate(tmp_path / "set", fix="safe")
    assert [line for line in report.not_fixed if "changed the file" in line]
    assert report.exit_code == 2
    assert train.read_text().endswith("\n")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    train, val = spoiled(tmp_path / "set")
    before = train.read_bytes()
    real = os.fsync
    files: list[int] = []

    def fsync(descriptor: int) -> None:
        files.append(descriptor)
        if len(files) == 1:
            raise OSError(number, os.strerror(number))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    from seg2knet.cli.validate import validate as command

    result = CliRunner().invoke(command, [str(tmp_path / "set"), "--fix"])
    assert result.exit_code == 2
    assert f"annotations/instances_train2017.json: not fixed: {os.strerror(number)}" in result.output
    assert "fixed:\n  annotations/instances_val2017.json" in result.output
    assert train.read_bytes() == before
    assert not list(train.parent.glob("*train*.bak"))
    assert not list(train.parent.glob(".*"))
    ids = [row["id"] for row in json.loads(val.read_text())["annotations"]]
    assert len(set(ids)) == len(ids)


def test_a_long_name(tmp_path: Path) -> None:
    """The new file and the backup have names that a file system takes, as long as there is a name for the backup."""
    root = coco(tmp_path / "set", panoptic=False)
    name = "x" * 247 + ".jpg"
    (root / "train2017" / "train_0.jpg").unlink()
    Image.fromarray(noise(1)).convert("CMYK").save(root / "train2017" / name)
    change(root / "annotations" / "instances_train2017.json", lambda data: data["images"][0].update(file_name=name))
    validate(root, select=["IM010"], fix="unsafe")
    assert Image.open(root / "train2017" / name).mode == "RGB"
    longer = "x" * 251 + ".jpg"
    Image.fromarray(noise(1)).convert("CMYK").save(root / "train2017" / longer)
    change(root / "annotations" / "instances_train2017.json", lambda data: data["images"][1].update(file_name=longer))
    report = validate(root, select=["IM010"], fix="unsafe")
    assert Image.open(root / "train2017" / longer).mode == "CMYK"
    assert report.exit_code == 2


@pytest.mark.parametrize("gone", ["renamed", "deleted"])
def test_a_file_that_takes_the_name_of_one_that_was_written(tmp_path: Path, gone: str) -> None:
    """What a run wrote needs no second backup; another file that has the name afterwards needs its own."""
    path, other = tmp_path / "a.json", tmp_path / "b.json"
    path.write_text('{"x": 1}')
    other.write_text('{"x": 2}')
    away = RenameFile(path, tmp_path / "c.json") if gone == "renamed" else DeleteFile(path)
    edits = [SetValue(path, "/x", 3), SetValue(path, "/x", 4), away, RenameFile(other, path), SetValue(path, "/x", 5)]
    writer = writing.Writer(None, backup=True)
    for edit in edits:
        writer.write(edit.file, [edit], None, {})
    assert path.read_text() == '{"x": 5}'
    kept = [each.read_text() for each in sorted(tmp_path.glob("*.bak*"))]
    assert kept == ['{"x": 1}', *(['{"x": 4}'] if gone == "deleted" else []), '{"x": 2}']


def test_names_in_another_encoding_are_no_ground_for_fixes(tmp_path: Path) -> None:
    """Read with its odd bytes masked, train's class was written into val as another name, and into train itself too."""
    root = coco(tmp_path / "set")
    for split, encoding in (("train", "latin-1"), ("val", "utf-8")):
        path = root / "annotations" / f"instances_{split}2017.json"
        content = json.loads(path.read_text())
        content["categories"][0]["name"] = "Tür"
        path.write_text(json.dumps(content, ensure_ascii=False), encoding=encoding)
    before = {path: path.read_bytes() for path in root.rglob("*.json")}

    report = validate(root, fix="safe", select=["CI", "SP"])

    assert not report.fixed
    assert [(finding.code, finding.fix.value) for finding in report] == [("CI001", "unsafe")]
    assert {path: path.read_bytes() for path in root.rglob("*.json*")} == before


@pytest.mark.parametrize("broken", [[85.0, 12, 87, 12, float("nan"), 14], [85.0, 12, 87, 12], [85.0, 12]])
def test_an_object_with_a_broken_polygon_beside_one_half_a_pixel_out_stays(tmp_path: Path, broken: list[float]) -> None:
    train, _ = spoiled(tmp_path / "set")
    parts = [[80.0, 10, 96.4, 10, 96.4, 30, 80, 30], broken]
    measures = {"segmentation": parts, "bbox": [80, 10, 16.4, 20], "area": 328}
    change(train, lambda data: data["annotations"][5].update(measures))
    report = validate(train, fix="safe")
    assert not report.removed
    assert len(json.loads(train.read_text())["annotations"]) == 18
    assert [finding.fix.value for finding in report if finding.code == "CI024"] == ["none"]
