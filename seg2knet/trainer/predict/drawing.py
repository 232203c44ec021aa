"""Predictions drawn on pictures: tinted masks, outlines, labels that can be read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Optional

import cv2
import numpy as np

from seg2knet.dataset.classes import ClassList
from seg2knet.trainer.predict.inference import Prediction

TINT = 0.45
"""How much of its colour a mask gives to the picture under it."""


def overlay(picture: np.ndarray, found: Prediction, classes: ClassList, scores: bool = True) -> np.ndarray:
    """Draw what was found.

    Args:
        picture: ``(H, W, 3)`` uint8 BGR, at the prediction's size.
        found: the best are drawn last, over the others.
        classes: names and colours.
        scores: write them beside the names.

    Returns:
        A new picture of the same shape.
    """
    drawn = picture.copy()
    order = np.argsort(found.scores, kind="stable")
    for place in order:
        _tint(drawn, found.masks[place], _bgr(classes, int(found.labels[place])))
    thickness = max(1, round(min(picture.shape[:2]) / 400))
    for place in order:
        outlines, _ = cv2.findContours(found.masks[place].astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(drawn, outlines, -1, _bgr(classes, int(found.labels[place])), thickness, cv2.LINE_AA)
    texts = []
    for place in order[::-1]:  # the best first: it gets the place it wants
        name = classes[int(found.labels[place])].name
        shown = f"{name} {found.scores[place]:.2f}" if scores and found.labelmap is None else name
        texts.append((shown, _anchor(found.masks[place]), _bgr(classes, int(found.labels[place]))))
    return write_labels(drawn, [text for text in texts if text[1] is not None])


def enlarged(picture: np.ndarray, found: Prediction, least: int = 360) -> tuple[np.ndarray, Prediction]:
    """A small picture and what was found on it, a whole number of times larger, so that labels can be read."""
    height, width = picture.shape[:2]
    times = -(-least // max(height, width))
    if times <= 1:
        return picture, found
    size = (width * times, height * times)
    masks = np.repeat(np.repeat(found.masks, times, axis=1), times, axis=2)
    larger = Prediction(found.path, *size, found.labels, found.scores, masks, found.labelmap)
    return cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC), larger


def _bgr(classes: ClassList, label: int) -> tuple[int, int, int]:
    red, green, blue = classes.color(label)
    return blue, green, red


def _tint(drawn: np.ndarray, mask: np.ndarray, color: tuple[int, int, int]) -> None:
    pixels = drawn[mask]
    drawn[mask] = (pixels * (1 - TINT) + np.array(color) * TINT).astype(np.uint8)


def _anchor(mask: np.ndarray) -> Optional[tuple[int, int]]:
    """Where a label points to: the pixel deepest inside the mask."""
    if not mask.any():
        return None
    depth = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 3)
    _, _, _, (x, y) = cv2.minMaxLoc(depth)
    return x - 1, y - 1


def write_labels(picture: np.ndarray, texts: Sequence[tuple[str, Any, tuple[int, int, int]]]) -> np.ndarray:
    """Write texts on coloured plates centred on their points, none over another, all inside the picture.

    Args:
        picture: BGR.
        texts: text, ``(x, y)``, BGR colour of the plate; the first get the place they want.
    """
    from PIL import Image, ImageDraw

    height, width = picture.shape[:2]
    font = label_font(max(11, min(26, round(min(height, width) / 32))))
    canvas = Image.fromarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
    brush = ImageDraw.Draw(canvas)
    taken: list[tuple[int, int, int, int]] = []
    for text, (x, y), (blue, green, red) in texts:
        left, top, right, bottom = brush.textbbox((0, 0), text, font=font)
        wide, tall = int(right - left) + 6, int(bottom - top) + 5
        box = _free_place(x - wide // 2, y - tall // 2, wide, tall, width, height, taken)
        if box is None:
            continue
        taken.append(box)
        brush.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill=(red, green, blue))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue > 140
        brush.text((box[0] + 3 - left, box[1] + 2 - top), text, fill=(0, 0, 0) if dark else (255, 255, 255), font=font)
    return cv2.cvtColor(np.asarray(canvas), cv2.COLOR_RGB2BGR)


def _free_place(
    x: int, y: int, wide: int, tall: int, width: int, height: int, taken: Sequence[tuple[int, int, int, int]]
) -> Optional[tuple[int, int, int, int]]:
    """The nearest place above or below where no other label is; ``None`` where all are taken nearby."""
    x = max(0, min(x, width - wide))
    for step in (0, 1, -1, 2, -2, 3, -3):
        top = max(0, min(y + step * (tall + 1), height - tall))
        box = (x, top, x + wide, top + tall)
        if not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken):
            return box
    return None


@cache
def label_font(size: int) -> Any:
    """A font that has more than Latin letters, where one is found."""
    from PIL import ImageFont

    for name in ("NotoSansCJK-Regular.ttc", "NotoSans-Regular.ttf", "DejaVuSans.ttf", "Arial Unicode.ttf"):
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    try:
        import matplotlib

        return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), size)
    except (ImportError, OSError):
        return ImageFont.load_default(size)


def beside(left: np.ndarray, right: np.ndarray, titles: tuple[str, str], side: int = 420) -> np.ndarray:
    """Two pictures of one size beside one another, scaled to at most ``side``, each with its title above."""
    scale = min(1.0, side / max(left.shape[:2])) if max(left.shape[:2]) > side else side / max(left.shape[:2])
    size = (max(1, round(left.shape[1] * scale)), max(1, round(left.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    parts = [_titled(cv2.resize(each, size, interpolation=how), title) for each, title in zip((left, right), titles)]
    gap = np.full((parts[0].shape[0], 6, 3), 255, np.uint8)
    return np.hstack([parts[0], gap, parts[1]])


def _titled(picture: np.ndarray, title: str) -> np.ndarray:
    from PIL import Image, ImageDraw

    strip = Image.new("RGB", (picture.shape[1], 20), "white")
    ImageDraw.Draw(strip).text((2, 3), title, fill="black", font=label_font(13))
    return np.vstack([np.asarray(strip)[..., ::-1], picture])


def sheet(pairs: Sequence[np.ndarray], columns: int = 2) -> np.ndarray:
    """Pictures in rows, on white."""
    width, height = max(each.shape[1] for each in pairs), max(each.shape[0] for each in pairs)
    rows = []
    for start in range(0, len(pairs), columns):
        cells = []
        for each in [*pairs[start : start + columns], *[None] * (columns - len(pairs[start : start + columns]))]:
            cell = np.full((height + 10, width + 14, 3), 255, np.uint8)
            if each is not None:
                cell[: each.shape[0], : each.shape[1]] = each
            cells.append(cell)
        rows.append(np.hstack(cells))
    return np.vstack(rows)


def save(picture: np.ndarray, path: Path) -> None:
    """Write a picture in the format of its suffix, under a name of any letters."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(path.suffix, picture, [cv2.IMWRITE_JPEG_QUALITY, 92])
    path.write_bytes(data.tobytes())
