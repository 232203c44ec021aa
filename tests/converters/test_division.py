"""Splits and names of images, and the memory that deciding them takes."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Optional

import pytest

from seg2knet.converters.ledger import Ledger
from seg2knet.converters.options import ConvertOptions
from seg2knet.converters.splitting.division import Assignment, assign
from seg2knet.converters.work import Done


def image(name: str, path: Optional[str] = None, split: Optional[str] = None, size: int = 0, source: int = 0) -> Done:
    return Done(name, source, split, {"car": 1}, (1,), path, size)


def names(assignments: list[Assignment]) -> list[Optional[str]]:
    return [name for _, name in assignments]


def planned(
    images: list[Done], ledger: Optional[Ledger] = None, png_names: bool = False, **options: object
) -> list[Assignment]:
    folders = ["one", "two"][: max(image.source for image in images) + 1]
    return assign(images, folders, ConvertOptions(**options), png_names, ledger or Ledger())


def test_names_stay_where_none_is_in_anothers_way() -> None:
    images = [image("a.jpg", split="train"), image("a.jpg", split="val"), image("b.png", split="val")]
    assert names(planned(images)) == ["a.jpg", "a.jpg", "b.png"]


AGAIN = [("a.jpg", "/2/a.jpg"), ("b.jpg", "/1/b.jpg"), ("c.jpg", "/2/c.jpg")]


def test_names_in_one_anothers_way() -> None:
    ledger = Ledger()
    found = [image("a.jpg", "/1/a.jpg"), image("a.png", "/1/a.png"), image("b.jpg", "/1/b.jpg")]
    again = [image(name, path, source=1) for name, path in AGAIN]
    assert names(planned(found + again, ledger, split={"train": 1.0})) == [
        "a.jpg",
        "a_png.png",
        "b.jpg",
        "a_jpg.jpg",
        None,
        "c.jpg",
    ]
    assert ledger.notes["image-renamed"].count == 2


def test_names_for_a_loader_that_takes_two_endings() -> None:
    ledger = Ledger()
    images = [image("a.jpeg"), image("b.jpg"), image("c.tif")]
    assert names(planned(images, ledger, png_names=True, split={"train": 1.0})) == ["a.jpg", "b.jpg", "c.png"]
    assert ledger.notes["image-renamed"].count == 2
    alike = [image("a.jpg.x.jpg"), image("a.png.x.jpg")]
    assert names(planned(alike, png_names=True, split={"train": 1.0})) == ["a.jpg.x.jpg", "a.png.x_jpg.jpg"]


@pytest.mark.parametrize(("one", "other", "together"), [(b"x" * 9000, b"x" * 9000, True), (b"x", b"y", False)])
def test_images_with_the_same_bytes(tmp_path: Path, one: bytes, other: bytes, together: bool) -> None:
    found = []
    for number, data in enumerate([one, other, b"z" * len(one)] + [b"%09d" % number for number in range(20)]):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(data)
        found.append(image(path.name, str(path), size=len(data)))
    ledger = Ledger()
    sides = {tuple(split for split, _ in planned(found, ledger, seed=seed))[:2] for seed in range(12)}
    assert all(a == b for a, b in sides) == together
    assert ("copies-kept-together" in ledger.notes) == together
    if together:
        assert ledger.notes["copies-kept-together"].count == 2 * 12


def test_the_middle_of_a_file_counts(tmp_path: Path) -> None:
    found = []
    for number in range(30):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(b"a" * 5000 + b"%05d" % number + b"b" * 5000)
        found.append(image(path.name, str(path), size=10_005))
    ledger = Ledger()
    planned(found, ledger)
    assert "copies-kept-together" not in ledger.notes


def test_memory_of_many_images() -> None:
    """What stands for 20,000 images until they are written, and what deciding takes, is below a kilobyte an image."""
    tracemalloc.start()
    folder = "/home/somebody/images/a/long/way/down"
    images = [image(f"{n:08}.jpg", f"{folder}/{n:08}.jpg", size=n) for n in range(20_000)]
    assert sum(name is not None for name in names(planned(images))) == 20_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1024 * 20_000
