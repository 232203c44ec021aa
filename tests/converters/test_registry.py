"""Formats of one's own: by decorator, and as a plug-in of an installed package."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import pytest
from click.testing import CliRunner
from drawn import picture
from pydantic import Field

import seg2knet
from seg2knet.cli import cli
from seg2knet.converters import registry
from seg2knet.converters.base import Encoded, Handle, Measured, Reader, ReaderOptions, Scan, Writer
from seg2knet.dataset import images
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.sample import Image, Object, Polygons, Sample
from seg2knet.errors import UsageError


class LinesOptions(ReaderOptions):
    shift: int = Field(0, description="Pixels to the right.")


class LinesReader(Reader):
    """A text file an image: ``label x0 y0 x1 y1`` a line."""

    name = "lines"
    title = "Lines of boxes"
    Options = LinesOptions

    def scan(self) -> Scan:
        files = sorted(self.source.glob("*.txt"))
        return Scan([Handle(f"{file.stem}.png", str(file)) for file in files], ClassList.of(["cat", "dog"]))

    def read(self, handle: Handle) -> Sample:
        path = Path(handle.where)
        header = images.probe(path.with_suffix(".png"))
        objects = []
        for number, line in enumerate(path.read_text().splitlines()):
            label, *corners = line.split()
            x0, y0, x1, y1 = map(float, corners)
            x0, x1 = x0 + self.options.shift, x1 + self.options.shift
            objects.append(Object(label, Polygons([[x0, y0, x1, y0, x1, y1, x0, y1]]), place=f"line {number}"))
        image = Image(handle.name, header.width, header.height, str(path.with_suffix(".png")))
        return Sample(image, tuple(objects))


class CountWriter(Writer):
    """One line an image: how many objects."""

    name = "count"
    title = "Counts"

    def encode(self, measured: Measured) -> Encoded:
        return Encoded(len(measured.rles), len(measured.rles))

    def image(self, split: str, name: str) -> str:
        return f"images/{split}/{name}"

    def open(self, root: Path, classes: ClassList, meta: Optional[dict[str, Any]], splits: Sequence[str]) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.lines: list[str] = [",".join(classes.names)]
        self.file = root / "counts.txt"

    def add(self, split: str, name: str, fragment: Any) -> None:
        self.lines.append(f"{split} {name} {fragment}")

    def close(self) -> None:
        self.file.write_text("\n".join(self.lines))


@pytest.fixture
def own_formats(monkeypatch: pytest.MonkeyPatch) -> None:
    registry.readers(), registry.writers()  # a module registers once: what is first imported now would be gone later
    monkeypatch.setattr(registry._READERS, "kinds", dict(registry._READERS.kinds))
    monkeypatch.setattr(registry._WRITERS, "kinds", dict(registry._WRITERS.kinds))
    registry.register_reader(LinesReader)
    registry.register_writer(CountWriter)


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    root = tmp_path / "lines"
    for name in ("a", "b"):
        picture(root / f"{name}.png")
        (root / f"{name}.txt").write_text("dog 1 2 11 12\ncat 20 5 25 15\n")
    return root


@pytest.mark.usefixtures("own_formats")
def test_source_and_target_of_ones_own(lines: Path, tmp_path: Path) -> None:
    result = seg2knet.convert("lines", lines, to="coco,count", out=tmp_path / "out", split="train", validate=False)
    assert (tmp_path / "out" / "counts.txt").read_text() == "cat,dog\ntrain a.png 2\ntrain b.png 2"
    assert (tmp_path / "out" / "images" / "train" / "a.png").is_file()
    assert result.ledger.written == {"coco": 4, "count": 4}


@pytest.mark.usefixtures("own_formats")
def test_options_of_ones_own_are_the_commands(lines: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    args = ["convert", "lines", str(lines), "--out", str(out), "--split", "train", "--shift", "3", "--no-validate"]
    done = CliRunner().invoke(cli, args, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert '"bbox":[4,2,10,10]' in (out / "annotations" / "instances_train2017.json").read_text()
    assert "Pixels to the right." in CliRunner().invoke(cli, ["convert", "lines", "--help"]).output


def test_plug_in_by_entry_point(lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.readers()
    monkeypatch.setattr(registry._READERS, "kinds", dict(registry._READERS.kinds))
    site = tmp_path / "site"
    info = site / "plug-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[seg2knet.readers]\nplugged = plugged:PluggedReader\n")
    (site / "plugged.py").write_text(
        textwrap.dedent("""
            from test_registry import LinesReader

            class PluggedReader(LinesReader):
                name = "plugged"
                title = "Plugged in"
        """)
    )
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setitem(sys.modules, "test_registry", sys.modules[__name__])
    assert "plugged" in registry.readers()
    result = seg2knet.convert("plugged", lines, out=tmp_path / "out", split="train", validate=False)
    assert result.ledger.images_written == 2


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UsageError, match="no format is called 'pictures'"):
        registry.reader("pictures")
    with pytest.raises(UsageError, match="no target is called 'pictures'"):
        registry.writer("pictures")
    assert {"coco", "panoptic", "ade", "yolo"} <= set(registry.writers())
    assert {"labelme", "coco"} <= set(registry.readers())


@pytest.mark.usefixtures("own_formats")
def test_a_target_of_ones_own_is_not_validated_as_coco(
    lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = seg2knet.convert("lines", lines, to="count", out=tmp_path / "out", split="train")
    assert result.reports == {}
    assert result.problems == {}
    monkeypatch.setattr(CountWriter, "check", lambda self, tree, written: [f"{tree / 'counts.txt'}: {written} objects"])
    result = seg2knet.convert("lines", lines, to="count", out=tmp_path / "out", split="train")
    assert result.problems == {"count": [f"{tmp_path / 'out' / 'counts.txt'}: 4 objects"]}
