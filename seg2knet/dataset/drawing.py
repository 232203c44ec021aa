"""Masks drawn on images: tinted, with outlines and legible labels; and many such images on one sheet."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from seg2knet.dataset.classes import ClassList, Color
from seg2knet.dataset.rle import rle_to_mask
from seg2knet.dataset.sample import Polygons, Sample, Shape

Box = tuple[int, int, int, int]

TINT = 0.45
"""The share of a mask's colour in the pixels under it."""
TILE = (320, 240)
"""Width and height of an image on a contact sheet."""
_BYTES = 1_000_000
_OBJECTS = 100


class Mark(NamedTuple):
    """What is drawn of an object: its mask ``(H, W)`` bool, its text, its colour (RGB)."""

    mask: np.ndarray
    text: str
    color: Color


def overlay(image: np.ndarray, marks: Sequence[Mark]) -> np.ndarray:
    """A new image, ``(H, W, 3)`` uint8 BGR, with marks on it: later ones lie on top, their labels are placed first."""
    drawn = image.copy()
    found = []  # of each mask what is in its box, and the box's corner
    for mask, text, color in marks:
        x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
        if width:
            inside, under = (whole[y : y + height, x : x + width] for whole in (mask, drawn))
            tinted = np.arange(256)[:, None] * (1 - TINT) + np.array(color[::-1]) * TINT  # of each level
            np.copyto(under, cv2.LUT(under, tinted.astype(np.uint8)[None]), where=inside[..., None])
            found.append((inside.astype(np.uint8), (x, y), text, color[::-1]))
    thickness = max(1, round(min(image.shape[:2]) / 400))
    for mask, corner, _, color in found:
        outlines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=corner)
        cv2.drawContours(drawn, outlines, -1, color, thickness, cv2.LINE_AA)
    texts = []
    for mask, (left, top), text, color in reversed(found):  # its label points to the pixel deepest inside the mask
        padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
        x, y = cv2.minMaxLoc(cv2.distanceTransform(padded, cv2.DIST_L2, 3))[3]
        texts.append((text, (left + x - 1, top + y - 1), color))
    return write_labels(drawn, texts)


def write_labels(image: np.ndarray, texts: Sequence[tuple[str, Any, tuple[int, int, int]]]) -> np.ndarray:
    """Write texts on coloured plates centred on their points, without overlap, all inside the image: each has a text,
    ``(x, y)`` and the BGR colour of its plate; earlier ones are placed first.
    """
    height, width = image.shape[:2]
    size = max(11, min(26, round(min(height, width) / 32)))
    drawn = image.copy()
    taken: list[Box] = []
    for text, (x, y), color in texts:
        plate = _plate(text, size, color)
        box = _free_place(x, y, plate.shape[1], plate.shape[0], width, height, taken)
        if box is not None:
            taken.append(box)
            under = drawn[box[1] : box[3], box[0] : box[2]]
            under[:] = plate[: under.shape[0], : under.shape[1]]
    return drawn


@lru_cache(256)
def _plate(text: str, size: int, color: tuple[int, int, int]) -> np.ndarray:
    """A text on a plate of that BGR colour: ``(H, W, 3)`` uint8 BGR."""
    blue, green, red = color
    font = label_font(size)
    left, top, right, bottom = ImageDraw.Draw(Image.new("RGB", (1, 1))).textbbox((0, 0), text, font=font)
    canvas = Image.new("RGB", (int(right - left) + 6, int(bottom - top) + 5), (red, green, blue))
    ink = "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "white"
    ImageDraw.Draw(canvas).text((3 - left, 2 - top), text, fill=ink, font=font)
    return np.asarray(canvas)[..., ::-1]


def _free_place(x: int, y: int, wide: int, tall: int, width: int, height: int, taken: Sequence[Box]) -> Optional[Box]:
    """A box centred on a point, moved up or down to where no other label is; ``None`` where all places are taken."""
    left = max(0, min(x - wide // 2, width - wide))
    for step in (0, 1, -1, 2, -2, 3, -3):
        top = max(0, min(y - tall // 2 + step * (tall + 1), height - tall))
        box = (left, top, left + wide, top + tall)
        if not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken):
            return box
    return None


@cache
def label_font(size: int) -> Any:
    """A font that has more than Latin letters, where one is found."""
    names = ["NotoSansCJK-Regular.ttc", "NotoSans-Regular.ttf", "DejaVuSans.ttf", "Arial Unicode.ttf"]
    matplotlib = importlib.util.find_spec("matplotlib")  # it has a font; importing it takes long
    if matplotlib is not None and matplotlib.origin is not None:
        names.append(str(Path(matplotlib.origin).with_name("mpl-data") / "fonts" / "ttf" / "DejaVuSans.ttf"))
    for name in names:
        with contextlib.suppress(OSError):
            return ImageFont.truetype(name, size)
    return ImageFont.load_default(size)


def titled(image: np.ndarray, title: str) -> np.ndarray:
    strip = Image.new("RGB", (image.shape[1], 20), "white")
    ImageDraw.Draw(strip).text((2, 3), title, fill="black", font=label_font(13))
    return np.vstack([np.asarray(strip)[..., ::-1], image])


def sheet(drawn: Sequence[np.ndarray], columns: int = 2) -> np.ndarray:
    """Images in rows, on white."""
    width, height = max(image.shape[1] for image in drawn), max(image.shape[0] for image in drawn)
    rows = -(-len(drawn) // columns)
    page = np.full((rows * (height + 10), columns * (width + 14), 3), 255, np.uint8)
    for place, image in enumerate(drawn):
        top, left = place // columns * (height + 10), place % columns * (width + 14)
        page[top : top + image.shape[0], left : left + image.shape[1]] = image
    return page


def save(image: np.ndarray, stem: Path, suffixes: Sequence[str] = (".png", ".jpg")) -> None:
    """Write an image as ``STEM.png`` or ``STEM.jpg``, whichever is smaller: a drawing on a photograph as JPEG.

    OpenCV itself cannot open names of all letters everywhere.
    """
    quality = {".jpg": [cv2.IMWRITE_JPEG_QUALITY, 92]}
    fitting = suffixes if max(image.shape) <= 65_500 else [".png"]  # pixels that a JPEG can have
    files = [(cv2.imencode(suffix, image, quality.get(suffix, []))[1], suffix) for suffix in fitting]
    data, suffix = min(files, key=lambda file: len(file[0]))
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_name(stem.name + suffix).write_bytes(data.tobytes())


def small_jpeg(image: np.ndarray) -> bytes:
    """A JPEG of under 1 MB, of the best quality that this allows."""
    for quality in (90, 80, 65, 50, 35, 20):
        data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(data) < _BYTES:
            break
    return data


def contact_sheet(splits: Mapping[str, Iterable[Sample]], classes: ClassList) -> Optional[bytes]:
    """A JPEG of under 1 MB: images of each split with their objects, in the colours of their classes.

    Images that cannot be read are left out; ``None`` where none is left.
    """
    colors = {info.name: classes.color(index) for index, info in enumerate(classes)}
    blocks = []
    for split, samples in splits.items():
        tiles = [tile for tile in (_tile(sample, colors) for sample in samples) if tile is not None]
        if tiles:
            blocks.append(titled(sheet(tiles, 4), split))
    if not blocks:
        return None
    width = max(block.shape[1] for block in blocks)
    bordered = (cv2.copyMakeBorder(b, 0, 8, 0, width - b.shape[1], 0, value=(255,) * 3) for b in blocks)
    return small_jpeg(np.vstack(list(bordered)))


def _tile(sample: Sample, colors: Mapping[str, Color]) -> Optional[np.ndarray]:
    width, height = sample.image.width, sample.image.height
    scale = min(TILE[0] / width, TILE[1] / height)
    image = _read(sample.image.path or sample.image.data, scale)
    if image is None:
        return None
    size = max(1, round(width * scale)), max(1, round(height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    image = cv2.resize(image, size, interpolation=how)
    marks = [
        Mark(_scaled(item.shape, (size[0] / width, size[1] / height), size), item.label, colors[item.label])
        for item in sample.objects[:_OBJECTS]
        if item.label in colors
    ]
    drawn = overlay(image, sorted(marks, key=lambda mark: -np.count_nonzero(mark.mask)))
    tile = np.full((TILE[1], TILE[0], 3), 255, np.uint8)
    tile[: size[1], : size[0]] = drawn
    return tile


def _read(source: Union[str, bytes, None], scale: float) -> Optional[np.ndarray]:
    """An image as shown, ``(H, W, 3)`` BGR, not smaller than it will be drawn."""
    if source is None:
        return None
    reduced = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
    how = next((reduced[times] for times in (8, 4, 2) if scale * times <= 1), cv2.IMREAD_COLOR)
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
        return cv2.imdecode(np.frombuffer(data, np.uint8), how)
    except (OSError, cv2.error):
        return None


def _scaled(shape: Shape, scale: tuple[float, float], size: tuple[int, int]) -> np.ndarray:
    """A shape's mask on an image that was resized to ``size``, ``(H, W)`` bool."""
    if not isinstance(shape, Polygons):
        return cv2.resize(rle_to_mask(shape).astype(np.uint8), size, interpolation=cv2.INTER_AREA) > 0
    mask = np.zeros(size[::-1], np.uint8)
    for part in shape.parts:
        cv2.fillPoly(mask, [np.round(np.reshape(part, (-1, 2)) * scale * 16).astype(np.int32)], 1, shift=4)
    return mask > 0
