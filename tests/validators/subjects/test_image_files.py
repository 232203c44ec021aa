"""Image files are looked at once, remembered while they stay the same, and compared by content."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from small_sets import noise

from seg2knet.dataset.label_image import cut, encode_png, ids_of, rgb_of
from seg2knet.validators.subjects import image_files, memory
from seg2knet.validators.subjects.image_files import ImageFacts, same_content, scan, survey


def saved(path: Path, seed: int = 0, **options: object) -> Path:
    Image.fromarray(noise(seed)).save(path, **options)
    return path


def aged(*paths: Path) -> None:
    """As files that were written a while ago, which is when they are remembered."""
    for path in paths:
        os.utime(path, ns=(10**18, 10**18))


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "tif", "webp"])
def test_whole_files_are_whole_and_cut_ones_are_not(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"a.{suffix}")
    data = path.read_bytes()
    for keep in (len(data) // 3, len(data) // 2, len(data) - 30):
        (tmp_path / f"cut{keep}.{suffix}").write_bytes(data[:keep])
    gallery = survey(sorted(tmp_path.glob(f"*.{suffix}")))
    assert gallery.broken().tolist() == [False, True, True, True]
    assert (gallery.table["width"][0], gallery.table["height"][0]) == (64, 48)
    assert all(gallery.facts[index].problem for index in (1, 2, 3))


def test_jpeg_with_something_after_its_end_is_whole(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes() + b"\0" * 500 + b"camera")
    assert not survey([path]).broken()[0]


def test_thumbnail_s_end_marker_does_not_count(tmp_path: Path) -> None:
    """A JPEG cut in its pixels, whose EXIF block holds a whole small JPEG."""
    small = io.BytesIO()
    Image.fromarray(noise(1, 16, 16)).save(small, "JPEG")
    exif = b"Exif\0\0" + small.getvalue()
    path = saved(tmp_path / "a.jpg")
    data = path.read_bytes()
    block = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    path.write_bytes((data[:2] + block + data[2:])[: -len(data) // 3])
    assert "truncated" in survey([path]).facts[0].problem


def test_png_with_a_changed_byte_is_found(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert "check sum" in survey([path]).facts[0].problem


def test_image_of_ten_billion_pixels_is_refused(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "a.png").write_bytes(data)
    assert "size" in survey([tmp_path / "a.png"]).facts[0].problem


def test_missing_and_unreadable_files_are_broken_not_errors(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    paths = [tmp_path / f"{name}.jpg" for name in ("none", "folder", "loop", "pipe")]
    assert survey(paths).broken().all()
    assert same_content(survey(paths)) == []


def test_remembered_until_size_or_time_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [saved(tmp_path / f"{seed}.jpg", seed) for seed in range(4)]
    aged(*paths)
    first = survey(paths)
    opened: list[str] = []
    inspect = image_files._inspect
    monkeypatch.setattr(image_files, "_inspect", lambda path: opened.append(path) or inspect(path))
    assert survey(paths).table.tolist() == first.table.tolist()
    assert opened == []
    saved(paths[2], 9)
    again = survey(paths[1:])
    assert opened == [str(paths[2])]
    assert again.facts[1].sketch != first.facts[2].sketch


def test_what_was_not_asked_for_is_kept_and_what_is_gone_is_not(tmp_path: Path) -> None:
    paths = [saved(tmp_path / f"{seed}.jpg", seed) for seed in range(3)]
    aged(*paths)
    survey(paths)
    paths[0].unlink()
    fresh = saved(tmp_path / "new.jpg", 7)
    aged(fresh)
    survey([fresh])
    known = memory.recall("images", f"{tmp_path}{os.sep}", ImageFacts)
    assert sorted(known) == [b"1.jpg", b"2.jpg", b"new.jpg"]


def test_file_that_may_still_change_within_a_tick_is_not_remembered(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg")
    os.utime(path, ns=(2**62, 2**62))
    survey([path])
    assert memory.recall("images", f"{tmp_path}{os.sep}", ImageFacts) == {}


def test_other_order_and_a_part_of_what_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [saved(tmp_path / f"{name}.jpg", seed) for seed, name in enumerate(["a", "b", "ab", "c"])]
    aged(*paths)
    rows = dict(zip(paths, survey(paths).table.tolist()))
    monkeypatch.setattr(image_files, "_inspect", lambda path: pytest.fail(f"{path} was opened"))
    for asked in (paths, paths[::-1], paths[1:], paths[:3], [paths[2], paths[2], *paths]):
        assert survey(asked).table.tolist() == [rows[path] for path in asked]


def test_new_name_of_an_old_file_is_looked_at(tmp_path: Path) -> None:
    paths = [saved(tmp_path / f"{seed}.jpg", seed) for seed in range(3)]
    aged(*paths)
    survey(paths)
    paths[2] = paths[2].rename(tmp_path / "new.jpg")
    assert survey(paths).stored()[0].tolist() == [64] * 3
    gone = survey([*paths, tmp_path / "2.jpg", "a\0b"])
    assert gone.broken().tolist() == [False] * 3 + [True] * 2


def test_name_that_is_no_unicode_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = os.fsencode(saved(tmp_path / "a.jpg"))
    odd = os.fsdecode(path.replace(b"a.jpg", b"\xff\\\n.jpg"))
    try:
        os.rename(path, odd)
    except OSError:
        pytest.skip("the file system wants Unicode")
    aged(Path(odd))
    assert len(same_content(survey([odd, odd]))) == 1
    monkeypatch.setattr(image_files, "_inspect", lambda path: pytest.fail(f"{path} was opened"))
    assert not survey([odd]).broken()[0]


def test_file_of_the_far_future_is_no_error(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg")
    other = saved(tmp_path / "b.jpg", 1)
    aged(other)
    os.utime(path, ns=(2**63, 2**63))
    for _ in range(2):
        assert not survey([path, other]).broken().any()


@pytest.mark.parametrize("rubbish", [b"", b"seg2knet 2 images\n\xff\xff", b"\0" * 100])
def test_broken_cache_is_only_slow(tmp_path: Path, own_cache: Path, rubbish: bytes) -> None:
    path = saved(tmp_path / "a.jpg")
    aged(path)
    survey([path])
    for file in (own_cache / "seg2knet").iterdir():
        file.write_bytes(rubbish)
    assert not survey([path]).broken()[0]


def test_cache_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert not survey([saved(tmp_path / "a.jpg")]).broken()[0]


def test_same_content_across_folders(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    one = saved(tmp_path / "1.jpg", 1)
    other = saved(tmp_path / "2.jpg", 2)
    copy = tmp_path / "b" / "x.jpg"
    copy.write_bytes(one.read_bytes())
    near = tmp_path / "b" / "near.png"  # same size, head and tail; another middle
    data = bytearray(np.random.default_rng(0).bytes(20_000))
    (tmp_path / "far.png").write_bytes(data)
    data[10_000] ^= 1
    near.write_bytes(data)
    assert same_content(survey([other, one, copy, near, tmp_path / "far.png"])) == [[1, 2]]
    assert same_content(survey([other, one, copy, near, tmp_path / "far.png"])) == [[1, 2]]


names = st.lists(st.lists(st.sampled_from(["", "a", "ab", "b", "a.jpg", "\n"]), min_size=1, max_size=3).map("/".join))


@given(names)
def test_each_name_is_in_its_own_folder(paths: list[str]) -> None:
    found = memory.by_folder(paths)
    assert sorted(index for places in found.values() for index in places) == list(range(len(paths)))
    for folder, places in found.items():
        assert places == sorted(places)
        assert {paths[index][: paths[index].rfind("/") + 1] for index in places} == {folder}


@given(hnp.arrays(np.int64, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 4)))
def test_regions_are_those_of_the_masks(ids: np.ndarray) -> None:
    table = cut(ids).table()
    assert table[:, 0].tolist() == np.unique(ids).tolist()
    for number, area, x, y, width, height in table.tolist():
        ys, xs = np.nonzero(ids == number)
        assert (area, x, y) == (len(xs), xs.min(), ys.min())
        assert (width, height) == (np.ptp(xs) + 1, np.ptp(ys) + 1)


@given(hnp.arrays(np.int64, (3, 5), elements=st.integers(0, (1 << 24) - 1)))
def test_ids_survive_the_png(ids: np.ndarray) -> None:
    assert np.array_equal(ids_of(np.asarray(Image.open(io.BytesIO(encode_png(rgb_of(ids)))))), ids)


def test_scan_remembers(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode_png(np.eye(6, dtype=np.uint8)))
    aged(path)
    (tmp_path / "bad.png").write_bytes(b"no")
    first, none = scan([path, tmp_path / "bad.png"])
    assert none is None
    again, _ = scan([path, tmp_path / "bad.png"])
    assert first is not None
    assert again is not None
    assert first.tolist() == again.tolist() == [[0, 30, 0, 0, 6, 6], [1, 6, 0, 0, 6, 6]]


def test_decoding_has_the_last_word(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    Image.fromarray(noise(1)).save(path)
    assert not survey([path]).broken()[0]
    path.write_bytes(path.read_bytes()[:-500])
    assert "decoded" in survey([path]).facts[0].problem
