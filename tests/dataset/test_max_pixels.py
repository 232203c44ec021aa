"""Images and masks beyond ``--max-pixels`` are refused before a pixel of them is decoded."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from seg2knet.cli import cli
from seg2knet.dataset.images import decode, decode_labels, probe
from seg2knet.dataset.rle import MAX_PIXELS_VARIABLE, check_size, size_allowed
from seg2knet.errors import DataError


def bomb(path: Path, side: int) -> Path:
    """A grey PNG of that many pixels a side in a few bytes: rows are made as they are packed."""
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(b"\0" * (side + 1)) for _ in range(side)) + packer.flush()
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)), (b"IDAT", data), (b"IEND", b"")]
    packed = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))
    return path


def test_a_mask_of_a_billion_pixels(tmp_path: Path) -> None:
    path = bomb(tmp_path / "a.png", 32_000)
    assert path.stat().st_size < 2 << 20
    for read in (probe, decode, decode_labels):
        with pytest.raises(DataError, match="cannot have that size") as caught:
            read(path)
        assert "--max-pixels" in str(caught.value)
    with pytest.raises(DataError, match="--max-pixels"):
        check_size(32_000, 32_000)


def test_the_bound_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(path)
    monkeypatch.setenv(MAX_PIXELS_VARIABLE, "599")
    with pytest.raises(DataError, match="at most 599 pixels"):
        decode_labels(path)
    monkeypatch.setenv(MAX_PIXELS_VARIABLE, "600")
    assert decode_labels(path).shape == (20, 30)
    assert size_allowed(20, 30)
    assert not size_allowed(21, 30)


def test_validate_says_it_and_looks_again_with_another_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(MAX_PIXELS_VARIABLE, "")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 60, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    image = {"id": 1, "file_name": "a.png", "width": 60, "height": 60}
    content = {"images": [image], "annotations": [], "categories": [{"id": 1, "name": "a"}]}
    (tmp_path / "a.json").write_text(json.dumps(content))

    def said(*options: str) -> str:
        return CliRunner().invoke(cli, ["validate", str(tmp_path / "a.json"), "--select", "IM", *options]).output

    assert "cannot have that size" not in said()
    assert "cannot have that size (60x60)" in said("--max-pixels", "3599")
    assert "cannot have that size" not in said("--max-pixels", "3600")
