"""Sources in zip and tar files."""

from __future__ import annotations

import io
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trees
from click.testing import CliRunner

from seg2knet.cli.convert import convert as command
from seg2knet.converters.api import convert
from seg2knet.converters.archives import unpacked
from seg2knet.converters.options import Source
from seg2knet.converters.pipeline import Conversion
from seg2knet.errors import DataError, UsageError

Make = Callable[..., Path]


def packed(root: Path, path: Path, prefix: str = "") -> Path:
    """A zip or tar file of a folder."""
    files = sorted(file for file in root.rglob("*") if file.is_file())
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as zipped:
            for file in files:
                zipped.write(file, prefix + file.relative_to(root).as_posix())
    else:
        with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as tarred:
            for file in files:
                tarred.add(file, prefix + file.relative_to(root).as_posix())
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in trees.contents(folder).items() if "ledger" not in name}


@pytest.mark.parametrize("name", ["export.zip", "export.tar", "export.tar.gz", "EXPORT.TGZ"])
@pytest.mark.parametrize("prefix", ["", "my export/"])
def test_an_archive_gives_what_its_folder_gives(labelme: Make, tmp_path: Path, name: str, prefix: str) -> None:
    root = labelme()
    archive = packed(root, tmp_path / name.lower(), prefix).rename(tmp_path / name)
    options = {"to": "coco", "split": "train", "jobs": 1}
    convert("labelme", root, out=tmp_path / "one", **options)
    convert("auto", archive, out=tmp_path / "two", **options)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_a_tar_file_with_two_files_of_one_name(labelme: Make, tmp_path: Path) -> None:
    root = labelme()
    archive = packed(root, tmp_path / "export.tar")
    with tarfile.open(archive, "a") as tarred:
        tarred.add(next(root.glob("*.json")), next(root.glob("*.json")).name)
    with pytest.raises(DataError, match="several files of one name"):
        convert("labelme", archive, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("format", ["auto", "coco"])
def test_no_source(format: str) -> None:
    with pytest.raises(UsageError, match="no source"):
        convert(format)


def test_a_folder_of_zips(labelme: Make, tmp_path: Path) -> None:
    for split, size in (("train", (40, 30)), ("val", (50, 30))):
        packed(labelme(size=size), tmp_path / f"zips/{split}.zip")
    convert("auto", tmp_path / "zips", out=tmp_path / "out", jobs=1, validate=False)
    assert {path.relative_to(tmp_path / "out").parts[0] for path in (tmp_path / "out").rglob("a.jpg")} == {
        "train2017",
        "val2017",
    }


def test_what_was_unpacked_goes_away(labelme: Make, tmp_path: Path) -> None:
    archive = packed(labelme(), tmp_path / "a.zip")
    with unpacked([Source(archive, "val")]) as (source,):
        assert (source.path / "a.json").is_file()
        assert source.split == "val"
    assert not source.path.exists()


@pytest.mark.parametrize("name", ["../out.txt", "/out.txt", "a/../../out.txt"])
def test_names_that_leave_the_folder(tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tarred:
        tarred.addfile(tarfile.TarInfo(name), io.BytesIO())
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped:
        zipped.writestr(name, "")
    for archive in ("a.tar", "a.zip"):
        with pytest.raises(DataError), unpacked([Source(tmp_path / archive)]):
            pass


def test_links_and_damage(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tarred:
        link = tarfile.TarInfo("a")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tarred.addfile(link)
    (tmp_path / "b.tgz").write_bytes(b"no archive")
    (tmp_path / "c.zip").write_bytes(b"no archive")
    for name, said in (("a.tar", "a link"), ("b.tgz", "damaged"), ("c.zip", "damaged")):
        with pytest.raises(DataError, match=said), unpacked([Source(tmp_path / name)]):
            pass


def test_damage_inside_of_an_xz_file(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.xz"
    with tarfile.open(archive, "w:xz") as tarred:
        info = tarfile.TarInfo("a.txt")
        info.size = 60_000
        tarred.addfile(info, io.BytesIO(random.Random(0).randbytes(60_000)))
    body = bytearray(archive.read_bytes())
    body[30_000:30_100] = bytes(100)
    archive.write_bytes(body)
    with pytest.raises(DataError, match="damaged"), unpacked([Source(archive)]):
        pass


@pytest.mark.parametrize(("options", "said"), [({"images": "symlink"}, "symlink"), ({"resume": True}, "resume")])
def test_options_that_need_the_files_after_the_run(
    labelme: Make, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    archive = packed(labelme(), tmp_path / "a.zip")
    with pytest.raises(UsageError, match=f"--.*{said}") as problem:
        convert("labelme", archive, out=tmp_path / "out", **options)
    assert "unpack" in str(problem.value.hint)
    assert not (tmp_path / "out").exists()


def test_stopping_a_run_on_an_archive_does_not_offer_to_resume_it(
    labelme: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = packed(labelme(), tmp_path / "a.zip")

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Conversion, "join", stop)
    for source, offered in ((archive, False), (tmp_path / "raw", True)):
        done = CliRunner().invoke(command, ["labelme", str(source), "--out", str(tmp_path / "out"), "-j", "1"])
        assert done.exit_code == 130
        assert ("--resume" in done.output) is offered
