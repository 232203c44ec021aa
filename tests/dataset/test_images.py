"""Headers of images, read without decoding, agree with Pillow."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from seg2knet.dataset import images
from seg2knet.errors import DataError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 255, (21, 34, 3), dtype=np.uint8)


def encode(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg(mode: str, progressive: bool) -> None:
    data = encode(Image.fromarray(PIXELS).convert(mode), "JPEG", progressive=progressive)
    assert images.probe_bytes(data) == images.Header(34, 21, 1, "JPEG", mode)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "1", "I;16"])
def test_png(mode: str) -> None:
    picture = (
        Image.fromarray(PIXELS[..., 0].astype(np.uint16)) if mode == "I;16" else Image.fromarray(PIXELS).convert(mode)
    )
    assert images.probe_bytes(encode(picture, "PNG")) == images.Header(34, 21, 1, "PNG", mode)


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "WEBP", "GIF"])
def test_other_formats(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(encode(Image.fromarray(PIXELS), kind))
    header = images.probe(path)
    assert (header.width, header.height, header.format) == (34, 21, kind)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_orientation_is_read_and_undone(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.fromarray(PIXELS), kind, exif=exif)
    header = images.probe_bytes(data)
    assert header.orientation == orientation
    assert header.shown == ((21, 34) if orientation >= 5 else (34, 21))
    upright = images.upright(data)
    assert images.probe_bytes(upright).orientation == 1
    assert images.probe_bytes(upright).shown == header.shown
    assert images.decode(upright).shape == images.decode(data).shape


def test_a_long_exif_block_before_the_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "x" * 20_000
    exif[0x0112] = 6
    path = tmp_path / "a.jpg"
    path.write_bytes(encode(Image.fromarray(PIXELS), "JPEG", exif=exif))
    assert images.probe(path).shown == (21, 34)


def forged_png(width: int, height: int) -> bytes:
    """A PNG of any claimed size, a few bytes long."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(100_000, 100_000), (0, 5)])
def test_a_size_that_cannot_be_is_refused_before_decoding(size: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(forged_png(*size))
    for read in (images.probe, images.decode, images.decode_labels):
        with pytest.raises(DataError):
            read(path)


def test_missing_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.jpg"):
        images.probe(tmp_path / "gone.jpg")
    (tmp_path / "text.jpg").write_text("not a picture")
    with pytest.raises(DataError, match=r"text\.jpg"):
        images.probe(tmp_path / "text.jpg")


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\xff\xd8\xff\xe1", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"BM", b"II*\0"]),
)
@settings(max_examples=300)
def test_any_bytes_are_a_header_or_a_data_error(tail: bytes, start: bytes) -> None:
    try:
        header = images.probe_bytes(start + tail)
    except DataError:
        return
    assert header.width > 0


@pytest.mark.parametrize(
    ("array", "suffix"),
    [
        (RNG.integers(0, 255, (5, 7), dtype=np.uint8), "png"),
        (RNG.integers(0, 65535, (5, 7), dtype=np.uint16), "png"),
        (RNG.integers(0, 255, (5, 7, 3), dtype=np.uint8), "png"),
        (RNG.integers(0, 255, (5, 7), dtype=np.uint8), "bmp"),
        (RNG.integers(0, 65535, (5, 7), dtype=np.uint16), "tiff"),
    ],
)
def test_labels_keep_every_number(array: np.ndarray, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"mask.{suffix}"
    Image.fromarray(array).save(path)
    assert (images.decode_labels(path) == array).all()


def test_a_palette_is_read_as_indices(tmp_path: Path) -> None:
    indices = RNG.integers(0, 20, (5, 7), dtype=np.uint8)
    picture = Image.fromarray(indices, "P")
    picture.putpalette(list(range(256)) * 3)
    picture.save(tmp_path / "mask.png")
    assert (images.decode_labels(tmp_path / "mask.png") == indices).all()


def test_one_bit_masks_are_zero_and_one(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("1").save(tmp_path / "mask.png")
    assert images.decode_labels(tmp_path / "mask.png").tolist() == [[0, 1], [1, 0]]


def test_every_real_image_reads_as_pillow_says(shared: Path) -> None:
    files = [path for path in (shared / "corpora").rglob("*") if images.is_image(path)]
    assert files
    for path in files:
        header = images.probe(path)
        with Image.open(path) as picture:
            mode, orientation = picture.mode, picture.getexif().get(0x0112, 1)
            assert (*header.shown, header.mode) == (*ImageOps.exif_transpose(picture).size, mode), path
        assert header.orientation == orientation, path
