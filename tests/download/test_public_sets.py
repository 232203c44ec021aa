"""COCO 2017 and ADE20K, small, from a local server: into the layout, with every trouble on the way."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import shutil
import zipfile
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest
import trees
from click.testing import CliRunner, Result
from local_server import LocalServer, Page

from seg2knet.cli import cli
from seg2knet.dataset.layout import find_ade, find_coco
from seg2knet.download import public_sets
from seg2knet.download.public_sets import SETS
from seg2knet.errors import DataError, Seg2KNetError, UsageError

NOISE = bytes(range(256)) * 40


def zipped(entries: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, body in entries.items():
            archive.writestr(name, body)
    return out.getvalue()


def documents(kind: str) -> dict[str, bytes]:
    return {
        f"annotations/{kind}_{split}2017.json": json.dumps({"images": [], "annotations": []}).encode()
        for split in ("train", "val")
    }


COCO = {
    "annotations/annotations_trainval2017.zip": zipped(documents("instances")),
    "annotations/panoptic_annotations_trainval2017.zip": zipped(
        {
            **documents("panoptic"),
            "annotations/panoptic_train2017.zip": zipped({"panoptic_train2017/1.png": NOISE, "__MACOSX/._1.png": b""}),
            "annotations/panoptic_val2017.zip": zipped({"panoptic_val2017/2.png": NOISE}),
        }
    ),
    "zips/train2017.zip": zipped({"train2017/1.jpg": NOISE}),
    "zips/val2017.zip": zipped({"val2017/2.jpg": NOISE}),
    "annotations/image_info_test2017.zip": zipped({"annotations/image_info_test-dev2017.json": b"{}"}),
    "zips/test2017.zip": zipped({"test2017/3.jpg": NOISE}),
}
ROOT = "ADEChallengeData2016"
ADE = {
    "ADEChallengeData2016.zip": zipped(
        {f"{ROOT}/{kind}/{split}/1{suffix}": NOISE
         for kind, suffix in (("images", ".jpg"), ("annotations", ".png")) for split in ("training", "validation")}
        | {f"{ROOT}/objectInfo150.txt": b"Idx\tRatio\tTrain\tVal\tStuff\tName\n"}
    ),
    "release_test.zip": zipped({"release_test/list.txt": b"", "release_test/testing/7.jpg": NOISE}),
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seg2knet.download.transfer.time.sleep", lambda _seconds: None)


@pytest.fixture(autouse=True)
def small_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    """The digests of these small files in place of the real ones."""
    for name, files in (("coco2017", COCO), ("ade20k", ADE)):
        archives = tuple(
            dataclasses.replace(each, digest=each.digest and "md5:" + hashlib.md5(files[each.path]).hexdigest())
            for each in SETS[name].archives
        )
        monkeypatch.setitem(SETS, name, dataclasses.replace(SETS[name], archives=archives))


@pytest.fixture
def mirror(server: LocalServer) -> Iterator[LocalServer]:
    for path, body in {**COCO, **ADE}.items():
        server.pages[path] = Page(body)
    return server


def run(*options: object) -> Result:
    return CliRunner().invoke(cli, ["download", *map(str, options)])


def data_in(folder: Path) -> set[str]:
    return {name for name in trees.names(folder) if not name.startswith(public_sets.WAITING)}


COCO_FILES = {
    *documents("instances"), *documents("panoptic"), "train2017/1.jpg", "val2017/2.jpg",
    "annotations/panoptic_train2017/1.png", "annotations/panoptic_val2017/2.png",
}  # fmt: skip


def test_coco(mirror: LocalServer, tmp_path: Path) -> None:
    result = run("coco2017", "--out", tmp_path, "--url", mirror.url)
    assert result.exit_code == 0, result.output
    assert data_in(tmp_path) == COCO_FILES
    assert not list(tmp_path.rglob("*.zip"))
    layout = find_coco(tmp_path)
    assert layout is not None
    assert layout.splits() == layout.panoptic_splits() == ("train", "val")
    assert f"seg2knet train {tmp_path}" in result.output
    asked = len(mirror.requests)
    again = run("coco2017", "--out", tmp_path, "--url", mirror.url)
    assert "all is there already" in again.output
    assert len(mirror.requests) == asked


def test_what_was_removed_comes_again(mirror: LocalServer, tmp_path: Path) -> None:
    run("coco2017", "--out", tmp_path, "--url", mirror.url)
    shutil.rmtree(tmp_path / "val2017")
    (tmp_path / "annotations" / "panoptic_val2017.json").unlink()
    mirror.requests.clear()
    assert run("coco2017", "--out", tmp_path, "--url", mirror.url).exit_code == 0
    assert data_in(tmp_path) == COCO_FILES
    assert {path for path, _ in mirror.requests} == {
        "zips/val2017.zip", "annotations/panoptic_annotations_trainval2017.zip",
    }  # fmt: skip


def test_coco_with_test_and_without_panoptic(mirror: LocalServer, tmp_path: Path) -> None:
    result = run(
        "coco2017", "--out", tmp_path, "--url", mirror.url, "--test", "--no-panoptic", "--splits", "val", "--keep"
    )
    assert result.exit_code == 0, result.output
    assert data_in(tmp_path) == {
        *documents("instances"), "val2017/2.jpg", "test2017/3.jpg", "annotations/image_info_test-dev2017.json",
    }  # fmt: skip
    assert (tmp_path / ".download" / "val2017.zip").is_file()


def test_ade(mirror: LocalServer, tmp_path: Path) -> None:
    result = run("ade20k", "--out", tmp_path, "--url", mirror.url, "--test")
    assert result.exit_code == 0, result.output
    layout = find_ade(tmp_path)
    assert layout is not None
    assert layout.splits() == ("train", "val")
    assert (layout.images("test") / "7.jpg").is_file()


def test_a_mirror_with_bare_names(server: LocalServer, tmp_path: Path) -> None:
    for path, body in COCO.items():
        server.pages[path.rpartition("/")[2]] = Page(body)
    assert run("coco2017", "--out", tmp_path, "--url", server.url + "/").exit_code == 0
    assert data_in(tmp_path) == COCO_FILES


def test_a_dry_run_fetches_nothing(mirror: LocalServer, tmp_path: Path) -> None:
    result = run("coco2017", "--out", tmp_path / "x", "--url", mirror.url, "--dry-run")
    assert result.exit_code == 0
    assert "train2017.zip" in result.output
    assert "to download" in result.output
    assert mirror.requests == []
    assert not (tmp_path / "x").exists()


def test_a_line_that_breaks(mirror: LocalServer, tmp_path: Path) -> None:
    for page in mirror.pages.values():
        page.break_after = [50, 100]
    assert run("coco2017", "--out", tmp_path, "--url", mirror.url).exit_code == 0
    assert data_in(tmp_path) == COCO_FILES


def test_a_run_that_is_broken_off_goes_on(mirror: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = public_sets.unpack

    def stop(archive: Path, *rest: object, **more: object) -> list[Path]:
        if archive.name == "val2017.zip":
            raise KeyboardInterrupt
        return real(archive, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(public_sets, "unpack", stop)
    stopped = run("coco2017", "--out", tmp_path, "--url", mirror.url)
    assert stopped.exit_code == 130
    assert "again to resume" in stopped.output
    monkeypatch.setattr(public_sets, "unpack", real)
    mirror.requests.clear()
    assert run("coco2017", "--out", tmp_path, "--url", mirror.url).exit_code == 0
    assert data_in(tmp_path) == COCO_FILES
    assert {path for path, _ in mirror.requests} == {"zips/train2017.zip"}


@pytest.mark.parametrize("promise", [-20, 20])
def test_a_server_that_lies_about_length(mirror: LocalServer, tmp_path: Path, promise: int) -> None:
    page = mirror.pages["zips/val2017.zip"]
    page.promise = len(page.body) + promise
    result = run("coco2017", "--out", tmp_path, "--url", mirror.url)
    assert isinstance(result.exception, Seg2KNetError)
    assert "val2017/2.jpg" not in trees.names(tmp_path)


def test_a_hostile_zip(mirror: LocalServer, tmp_path: Path) -> None:
    evil = zipped({"train2017/1.jpg": NOISE, "../../evil.jpg": NOISE})
    mirror.pages["zips/train2017.zip"] = Page(evil)
    before = trees.names(tmp_path)
    result = run("coco2017", "--out", tmp_path / "a" / "b", "--url", mirror.url, "--no-digest")
    assert isinstance(result.exception, DataError)
    assert "refused" in str(result.exception)
    assert {name for name in trees.names(tmp_path) - before if not name.startswith("a/b/")} == set()
    assert "a/b/train2017/1.jpg" not in trees.names(tmp_path)


def test_a_hostile_zip_within_a_zip(mirror: LocalServer, tmp_path: Path) -> None:
    inner = zipped({"../../../evil.png": NOISE})
    mirror.pages["annotations/panoptic_annotations_trainval2017.zip"] = Page(
        zipped({"annotations/panoptic_train2017.zip": inner})
    )
    result = run("coco2017", "--out", tmp_path / "a" / "b", "--url", mirror.url)
    assert isinstance(result.exception, DataError)
    assert not list(tmp_path.rglob("evil*"))


def test_a_file_of_another_digest(mirror: LocalServer, tmp_path: Path) -> None:
    mirror.pages["zips/train2017.zip"] = Page(zipped({"train2017/9.jpg": NOISE}))
    result = run("coco2017", "--out", tmp_path, "--url", mirror.url)
    assert isinstance(result.exception, DataError)
    assert "--no-digest" in str(result.exception)
    assert run("coco2017", "--out", tmp_path, "--url", mirror.url, "--no-digest").exit_code == 0
    assert "train2017/9.jpg" in data_in(tmp_path)


def test_space_is_asked_for_before_anything_comes(
    mirror: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10**6, 0, 30_000))
    result = run("coco2017", "--out", tmp_path, "--url", mirror.url)
    assert isinstance(result.exception, Seg2KNetError)
    assert "not enough space" in str(result.exception)
    assert mirror.requests == []


def test_no_network(tmp_path: Path) -> None:
    result = run("coco2017", "--out", tmp_path, "--url", "http://127.0.0.1:9")
    assert isinstance(result.exception, Seg2KNetError)
    assert "--url" in str(result.exception)


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="lvis"):
        public_sets.choose("lvis")
    with pytest.raises(UsageError, match="training"):
        public_sets.choose("coco2017", ["training"])
