"""Splits and names of images, and the memory that deciding them takes."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Optional

import pytest

from seg2knet.converters.ledger import Ledger
from seg2knet.converters.options import ConvertOptions
from seg2knet.converters.splitting.catalogue import Catalogue
from seg2knet.converters.splitting.division import Plan, plan
from seg2knet.converters.work import Brief


def catalogue(*parts: list[Brief], png_names: bool = False) -> Catalogue:
    """Each part of a source of its own."""
    images = Catalogue(png_names)
    for source, part in enumerate(parts):
        images.add(source, part)
    return images


def image(name: str, path: Optional[str] = None, split: Optional[str] = None, size: int = 0) -> Brief:
    return Brief(name, split, ("car",), (1,), (1,), path, size)


def names(division: Plan) -> list[Optional[str]]:
    return [name for _, _, name in division]


def planned(images: Catalogue, ledger: Optional[Ledger] = None, **options: object) -> Plan:
    return plan(images, ["one", "two"][: len(images.sources)], ConvertOptions(**options), ledger or Ledger())


def test_names_stay_where_none_is_in_anothers_way() -> None:
    images = catalogue([image("a.jpg", split="train"), image("a.jpg", split="val"), image("b.png", split="val")])
    assert not images.may_clash(["train", "val", "val"])
    assert names(planned(images)) == ["a.jpg", "a.jpg", "b.png"]


def test_names_in_one_anothers_way() -> None:
    ledger = Ledger()
    found = [image("a.jpg", "/1/a.jpg"), image("a.png", "/1/a.png"), image("b.jpg", "/1/b.jpg")]
    again = [image("a.jpg", "/2/a.jpg"), image("b.jpg", "/1/b.jpg"), image("c.jpg", "/2/c.jpg")]
    images = catalogue(found, again)
    assert images.may_clash(["train"] * 6)
    division = planned(images, ledger, split={"train": 1.0})
    assert names(division) == ["a.jpg", "a_png.png", "b.jpg", "a_jpg.jpg", None, "c.jpg"]
    assert ledger.notes["picture-renamed"].count == 2


def test_names_for_a_loader_that_takes_two_endings() -> None:
    ledger = Ledger()
    images = catalogue([image("a.jpeg"), image("b.jpg"), image("c.tif")], png_names=True)
    assert names(planned(images, ledger, split={"train": 1.0})) == ["a.jpg", "b.jpg", "c.png"]
    assert ledger.notes["picture-renamed"].count == 2
    assert catalogue([image("a.jpg.x.jpg"), image("a.png.x.jpg")], png_names=True).may_clash(["train"] * 2)


@pytest.mark.parametrize(("one", "other", "together"), [(b"x" * 9000, b"x" * 9000, True), (b"x", b"y", False)])
def test_pictures_with_the_same_bytes(tmp_path: Path, one: bytes, other: bytes, together: bool) -> None:
    found = []
    for number, data in enumerate([one, other, b"z" * len(one)] + [b"%09d" % number for number in range(20)]):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(data)
        found.append(image(path.name, str(path), size=len(data)))
    ledger = Ledger()
    sides = {tuple(split for _, split, _ in planned(catalogue(found), ledger, seed=seed))[:2] for seed in range(12)}
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
    planned(catalogue(found), ledger)
    assert "copies-kept-together" not in ledger.notes


def test_memory_of_many_images() -> None:
    """What stands for 20,000 images until they are written, and what deciding takes, is a fraction of the records."""
    tracemalloc.start()
    images = Catalogue(False)
    for start in range(0, 20_000, 100):
        path = "/home/somebody/pictures/a/long/way/down"
        images.add(0, [image(f"{n:08}.jpg", f"{path}/{n:08}.jpg", size=n) for n in range(start, start + 100)])
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    division = planned(images)
    assert sum(name is not None for name in names(division)) == 20_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 80 * 20_000
    assert peak < 300 * 20_000
