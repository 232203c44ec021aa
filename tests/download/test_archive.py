"""Zip files from strangers: hostile ones are refused whole, damaged ones told, broken-off ones gone on with."""

from __future__ import annotations

import shutil
import stat
import struct
import zipfile
from collections import namedtuple
from pathlib import Path
from typing import Union

import pytest
import trees

from seg2knet.download.archive import as_it_is, unpack
from seg2knet.download.transfer import TransferError
from seg2knet.errors import DataError


def zipped(target: Path, entries: dict[str, bytes], extra: Union[zipfile.ZipInfo, None] = None) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as out:
        for name, body in entries.items():
            info = zipfile.ZipInfo("x")
            info.filename = info.orig_filename = name  # as it is: ZipInfo would clean it
            out.writestr(info, body)
        if extra is not None:
            out.writestr(extra, "/etc/passwd")
    return target


GOOD = {
    "set/a.txt": b"a" * 1000,
    "set/deep/b.txt": b"b",
    "__MACOSX/set/._a.txt": b"?",
    "set/.DS_Store": b"?",
    "set/": b"",
}


def test_a_sound_one(tmp_path: Path) -> None:
    steps: list[tuple[int, object]] = []
    archive = zipped(tmp_path / "x.zip", GOOD)
    files = unpack(archive, tmp_path / "out", progress=lambda done, total: steps.append((done, total)))
    assert files == [tmp_path / "out/set/a.txt", tmp_path / "out/set/deep/b.txt"]
    assert trees.names(tmp_path / "out") == {"set/a.txt", "set/deep/b.txt"}
    assert steps[-1] == (1001, 1001)


@pytest.mark.parametrize(
    "name",
    [
        "../evil.txt",
        "set/../../evil.txt",
        "/tmp/evil.txt",
        "C:/evil.txt",
        "..\\evil.txt",
        "\\\\host\\evil",
        "a\\b",
        "x\0y",
    ],
)
def test_a_name_that_leaves_the_folder(tmp_path: Path, name: str) -> None:
    archive = zipped(tmp_path / "x.zip", {**GOOD, name: b"evil"})
    with pytest.raises(DataError, match="refused"):
        unpack(archive, tmp_path / "deep" / "out")
    assert trees.names(tmp_path) == {"x.zip"}


def test_a_link(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("set/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive = zipped(tmp_path / "x.zip", GOOD, link)
    with pytest.raises(DataError, match="a link"):
        unpack(archive, tmp_path / "out")
    assert trees.names(tmp_path) == {"x.zip"}


def test_a_place_that_leaves_the_folder(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "x.zip", {"a.txt": b"a"})
    with pytest.raises(DataError, match="leaves the folder"):
        unpack(archive, tmp_path / "out", place=lambda _name: Path("../a.txt"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "x.zip", {"a.txt": b"a", "b.txt": b"b"})
    with zipfile.ZipFile(archive, "a") as out:
        out.writestr("a.txt", b"another")
    with pytest.raises(DataError, match=r"a\.txt.*several files of one name"):
        unpack(archive, tmp_path / "out")
    assert trees.names(tmp_path) == {"x.zip"}


def test_an_encrypted_one(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "x.zip", {"a.txt": b"a"})
    body = bytearray(archive.read_bytes())
    at = body.index(b"PK\x01\x02") + 8  # flags in the central directory
    struct.pack_into("<H", body, at, struct.unpack_from("<H", body, at)[0] | 1)
    archive.write_bytes(body)
    with pytest.raises(DataError, match="encrypted"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "html"])
def test_a_damaged_one(tmp_path: Path, damage: str) -> None:
    archive = tmp_path / "x.zip"
    with zipfile.ZipFile(archive, "w") as out:  # stored, so that a flipped byte is one of the file's
        out.writestr("a.txt", b"a" * 5000)
    body = bytearray(archive.read_bytes())
    body[2000] ^= 1
    text = {"cut": body[:3000], "flip": body, "empty": b"", "html": b"<html>please log in</html>"}[damage]
    archive.write_bytes(bytes(text))
    with pytest.raises(DataError, match=r"damaged.*x\.zip|x\.zip.*damaged"):
        unpack(archive, tmp_path / "out")
    assert trees.names(tmp_path) == {"x.zip"}


def test_damage_to_an_entry_packed_by_lzma(tmp_path: Path) -> None:
    archive = tmp_path / "x.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_LZMA) as out:
        out.writestr("a.txt", bytes(range(256)) * 9)
    body = bytearray(archive.read_bytes())
    body[45:90] = b"\xff" * 45
    archive.write_bytes(body)
    with pytest.raises(DataError, match="damaged"):
        unpack(archive, tmp_path / "out")


def test_a_name_that_is_not_what_its_flag_says(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "x.zip", {"ä.txt": b"a"})
    archive.write_bytes(archive.read_bytes().replace("ä".encode(), b"\xff\xfe"))
    with pytest.raises(DataError, match="damaged"):
        unpack(archive, tmp_path / "out")


def test_an_unknown_compression(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "x.zip", {"a.txt": b"a"})
    body = bytearray(archive.read_bytes())
    for start, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        struct.pack_into("<H", body, body.index(start) + at, 77)
    archive.write_bytes(body)
    with pytest.raises(DataError, match="compression") as caught:
        unpack(archive, tmp_path / "out")
    assert caught.value.place == "a.txt"


def test_what_is_there_is_not_written_again(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "x.zip", GOOD)
    unpack(archive, tmp_path / "out")
    kept, lost = tmp_path / "out/set/a.txt", tmp_path / "out/set/deep/b.txt"
    kept.write_bytes(b"z" * 1000)  # of the right length: left alone
    lost.write_bytes(b"too long")
    unpack(archive, tmp_path / "out")
    assert kept.read_bytes() == b"z" * 1000
    assert lost.read_bytes() == b"b"


def test_a_full_disk_is_told_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = zipped(tmp_path / "x.zip", GOOD)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(0, 0, 1000))
    with pytest.raises(TransferError, match="not enough space"):
        unpack(archive, tmp_path / "out")
    assert trees.names(tmp_path) == {"x.zip"}


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "x.zip", {"a": b"1", "a/b": b"2"})
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpack(archive, tmp_path / "out")


def test_names_of_file_managers() -> None:
    assert as_it_is("__MACOSX/x") is None
    assert as_it_is("deep/Thumbs.db") is None
    assert as_it_is("deep/x.png") == Path("deep/x.png")
