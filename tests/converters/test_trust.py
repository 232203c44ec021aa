"""Nothing is lost: files of the user's own in the target, objects of images that cannot be read, links, names."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trees
from click.testing import CliRunner, Result
from drawn import picture, polygon

import seg2knet
from seg2knet.cli import cli
from seg2knet.converters import pipeline
from seg2knet.dataset.layout import LEDGER
from seg2knet.errors import UsageError

Make = Callable[..., Path]


def convert(source: Any, out: Path, format: str = "labelme", **options: Any) -> Any:
    return seg2knet.convert(format, source, out=out, **{"validate": False, "jobs": 1, "split": "train", **options})


def run(*args: object) -> Result:
    return CliRunner().invoke(cli, ["convert", *map(str, args)], catch_exceptions=False)


def test_files_of_the_users_own_stay(labelme: Make, tmp_path: Path) -> None:
    root, out = labelme("a.jpg", [polygon("car")]), tmp_path / "out"
    convert(root, out)
    (out / "train2017" / "notes.txt").write_text("mine")
    (out / "mine").mkdir()
    (out / "mine" / "a.csv").write_text("1,2")
    before = trees.contents(out)
    with pytest.raises(UsageError, match=r"(?s)mine/a\.csv, train2017/notes\.txt.*--overwrite"):
        convert(root, out)
    assert trees.contents(out) == before
    convert(root, out, overwrite=True)
    assert set(before) - set(trees.contents(out)) == {"mine/a.csv", "train2017/notes.txt"}


def test_a_link_of_the_users_own_stays(labelme: Make, tmp_path: Path) -> None:
    root, out = labelme("a.jpg", [polygon("car")]), tmp_path / "out"
    convert(root, out)
    (out / "link").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="link"):
        convert(root, out)


def test_the_ledger_lists_every_file(labelme: Make, tmp_path: Path) -> None:
    out = tmp_path / "out"
    convert(labelme("day 1/a.png", [polygon("car")]), out, to="coco,panoptic,ade")
    listed = json.loads((out / LEDGER).read_text())["files"]
    files = {f"{folder}/{name}".lstrip("/") for folder, names in listed.items() for name in names}
    assert files == trees.names(out)


def test_a_ledger_that_lists_no_files_proves_nothing(labelme: Make, tmp_path: Path) -> None:
    root, out = labelme("a.jpg", [polygon("car")]), tmp_path / "out"
    convert(root, out)
    document = json.loads((out / LEDGER).read_text())
    del document["files"]
    (out / LEDGER).write_text(json.dumps(document))
    with pytest.raises(UsageError, match="--overwrite"):
        convert(root, out)
    (out / LEDGER).write_text("{")
    with pytest.raises(UsageError, match="--overwrite"):
        convert(root, out)


def test_a_set_of_another_target_stays(labelme: Make, tmp_path: Path) -> None:
    root, out = labelme("a.jpg", [polygon("car")]), tmp_path / "out"
    convert(root, out)
    before = trees.contents(out)
    with pytest.raises(UsageError, match=r"(?s)coco.*ade.*--overwrite"):
        convert(root, out, to="ade")
    assert trees.contents(out) == before
    convert(root, out, to="coco,ade")
    assert set(before) < set(trees.contents(out))


def test_a_link_as_target_is_followed(labelme: Make, tmp_path: Path) -> None:
    root, disk = labelme("a.jpg", [polygon("car")]), tmp_path / "disk" / "coco"
    disk.mkdir(parents=True)
    (tmp_path / "out").symlink_to(disk)
    convert(root, tmp_path / "out")
    assert (tmp_path / "out").is_symlink()
    assert (disk / LEDGER).is_file()
    assert [path.name for path in disk.parent.iterdir()] == ["coco"]
    convert(root, tmp_path / "out")
    assert (tmp_path / "out").is_symlink()


def test_a_link_to_nowhere_as_target_is_followed(labelme: Make, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk" / "new")
    convert(labelme("a.jpg", [polygon("car")]), tmp_path / "out")
    assert (tmp_path / "disk" / "new" / LEDGER).is_file()


@pytest.mark.parametrize("sizes", [True, False])
def test_objects_of_an_image_of_no_bytes_are_counted(labelme: Make, tmp_path: Path, sizes: bool) -> None:
    root = labelme("a.jpg", [polygon("car")])
    labelme("b.jpg", [polygon("car"), polygon("tree"), polygon("car")])
    (root / "b.jpg").write_bytes(b"")
    if not sizes:
        document = json.loads((root / "b.json").read_text())
        (root / "b.json").write_text(json.dumps({**document, "imageWidth": None, "imageHeight": None}))
    ledger = convert(root, tmp_path / "out").ledger
    assert (ledger.images_read, ledger.images_written, ledger.objects_read) == (2, 1, 4)
    assert ledger.written == {"coco": 1}
    assert sum(tally.count for tally in ledger.skips.values()) == 3


def test_rows_of_a_yolo_image_of_no_bytes_are_counted(tmp_path: Path) -> None:
    for name in ("a", "b"):
        picture(tmp_path / "yolo" / "images" / "train" / f"{name}.png")
        label = tmp_path / "yolo" / "labels" / "train" / f"{name}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("0 0.1 0.1 0.9 0.1 0.9 0.9\n\n0 0.1 0.1 0.5 0.1 0.5 0.5\n")
    (tmp_path / "yolo" / "data.yaml").write_text("train: images/train\nnames: [car]\n")
    (tmp_path / "yolo" / "images" / "train" / "b.png").write_bytes(b"")
    ledger = convert(tmp_path / "yolo", tmp_path / "out", "yolo", allow_skips=True).ledger
    assert (ledger.objects_read, ledger.written) == (4, {"coco": 2})
    assert ledger.skips["image-unreadable"].count == 2


def test_stopped_by_hand_says_how_to_resume(labelme: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(self: pipeline.Conversion, *_: object) -> None:
        raise KeyboardInterrupt

    root = labelme("a.jpg", [polygon("car")])
    monkeypatch.setattr(pipeline.Conversion, "join", stop)
    stopped = run("labelme", root, "--out", tmp_path / "out", "--jobs", 1)
    assert stopped.exit_code == 130
    assert "--resume" in stopped.output
    assert str(tmp_path / ".out.seg2knet") in stopped.output
    monkeypatch.undo()
    done = run("labelme", root, "--out", tmp_path / "out", "--jobs", 1, "--resume", "--no-validate")
    assert done.exit_code == 0
    assert not (tmp_path / ".out.seg2knet").exists()


def test_panoptic_without_stuff_is_no_failure(labelme: Make, tmp_path: Path) -> None:
    done = run("labelme", labelme("a.jpg", [polygon("car")]), "--to", "panoptic", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "--stuff" in done.output


def coco(tmp_path: Path, *names: str) -> Path:
    """A COCO set with an image and an object of each name; the images are there where the system can have them."""
    images, annotations = [], []
    for number, name in enumerate(names, 1):
        images.append({"id": number, "file_name": name, "width": 40, "height": 30})
        square = [[1, 1, 9, 1, 9, 9, 1, 9]]
        annotations.append({"id": number, "image_id": number, "category_id": 1, "segmentation": square})
        if len(name.encode()) < 200 and ".." not in name:
            picture(tmp_path / "set" / name)
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "car"}]}
    (tmp_path / "set" / "annotations.json").write_text(json.dumps(document))
    return tmp_path / "set"


@pytest.mark.parametrize("name", ["../../etc/passwd.jpg", "n" * 300 + ".jpg", "é" * 130 + ".jpg"])
def test_one_bad_name_is_a_skip(tmp_path: Path, name: str) -> None:
    ledger = convert(coco(tmp_path, "a.jpg", name), tmp_path / "out", "coco", images="none").ledger
    assert (ledger.images_read, ledger.images_written, ledger.objects_read) == (2, 1, 2)
    assert ledger.written == {"coco": 1}
    assert sum(tally.count for tally in ledger.image_skips.values()) == 1


def test_a_file_name_that_is_not_unicode_is_a_skip(labelme: Make, tmp_path: Path) -> None:
    root = labelme("a.jpg", [polygon("car")])
    try:
        shutil.copy(root / "a.json", os.path.join(os.fsencode(root), b"b\xff.json"))
        shutil.copy(root / "a.jpg", os.path.join(os.fsencode(root), b"b\xff.jpg"))
    except OSError:
        pytest.skip("the file system wants Unicode")
    done = run("labelme", root, "--out", tmp_path / "out", "--jobs", 1)
    assert done.exit_code == 1
    assert "name-not-unicode" in done.output
    ledger = json.loads((tmp_path / "out" / LEDGER).read_text())
    assert (ledger["images"]["read"], ledger["images"]["written"]) == (2, 1)


def test_an_image_path_outside_of_the_source_is_not_copied(labelme: Make, tmp_path: Path) -> None:
    picture(tmp_path / "secret" / "key.jpg")
    root = labelme("a.jpg", [polygon("car")])
    labelme("b.jpg", [polygon("car"), polygon("tree")], with_picture=False)
    for said in ("../secret/key.jpg", str(tmp_path / "secret" / "key.jpg")):
        document = json.loads((root / "b.json").read_text())
        (root / "b.json").write_text(json.dumps({**document, "imagePath": said}))
        ledger = convert(root, tmp_path / "out", overwrite=True).ledger
        assert (ledger.images_written, ledger.objects_read, ledger.written) == (1, 3, {"coco": 1})
        assert not list((tmp_path / "out").rglob("key*"))
    reader = {"images": tmp_path / "secret"}
    ledger = convert(root, tmp_path / "out", overwrite=True, reader_options=reader).ledger
    assert ledger.images_written == 2


def test_control_characters_of_class_names_do_not_reach_terminal_or_table(labelme: Make, tmp_path: Path) -> None:
    hostile = "\x1b[31mcar\n::error ::x\ttab\u202e"
    root = labelme("a.jpg", [polygon(hostile), polygon("tree", 20, 20, 30, 20, 30, 28)])
    done = run("labelme", root, "--to", "coco,ade", "--out", tmp_path / "out", "--jobs", 1, "--no-validate")
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.output
    assert not any(line.lstrip().startswith("::error") for line in done.output.splitlines())
    assert "class-name-cleaned" in done.output
    assert len((tmp_path / "out" / "objectInfo.txt").read_text().splitlines()) == 3
    names = json.loads((tmp_path / "out" / "annotations" / "instances_train2017.json").read_text())["categories"]
    assert {entry["name"] for entry in names} == {"[31mcar ::error ::x tab", "tree"}
