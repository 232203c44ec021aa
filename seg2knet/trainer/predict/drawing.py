"""Images read and written, and predictions drawn on them: tinted masks, outlines, legible labels."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Optional

import cv2
import numpy as np

from seg2knet.dataset import images
from seg2knet.dataset.classes import ClassList

Box = tuple[int, int, int, int]

TINT = 0.45
"""The share of a mask's colour in the pixels under it."""


def overlay(image: np.ndarray, prediction: Any, classes: ClassList, scores: bool = True) -> np.ndarray:
    """A copy of an image, ``(H, W, 3)`` uint8 BGR, with a prediction of its size drawn on it, highest scores on top."""
    drawn = image.copy()
    masks, colors = prediction.masks, [classes.color(label)[::-1] for label in prediction.labels.tolist()]
    order = np.argsort(prediction.scores, kind="stable").tolist()
    for place in order:
        inside = drawn[masks[place]]
        drawn[masks[place]] = (inside * (1 - TINT) + np.array(colors[place]) * TINT).astype(np.uint8)
    thickness = max(1, round(min(image.shape[:2]) / 400))
    for place in order:
        outlines, _ = cv2.findContours(masks[place].astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(drawn, outlines, -1, colors[place], thickness, cv2.LINE_AA)
    texts = []
    for place in reversed(order):  # labels of the highest scores are placed first
        text = classes[int(prediction.labels[place])].name
        if scores and not prediction.semantic:
            text += f" {prediction.scores[place]:.2f}"
        if masks[place].any():  # its label points to the pixel deepest inside the mask
            depth = cv2.distanceTransform(np.pad(masks[place].astype(np.uint8), 1), cv2.DIST_L2, 3)
            x, y = cv2.minMaxLoc(depth)[3]
            texts.append((text, (x - 1, y - 1), colors[place]))
    return write_labels(drawn, texts)


def enlarged(image: np.ndarray, prediction: Any, least: int = 360) -> tuple[np.ndarray, Any]:
    """A small image and its prediction, scaled up by a whole number, so that labels can be read."""
    height, width = image.shape[:2]
    times = -(-least // max(height, width))
    if times <= 1:
        return image, prediction
    larger = cv2.resize(image, (width * times, height * times), interpolation=cv2.INTER_CUBIC)
    return larger, prediction.enlarged(times)


def write_labels(image: np.ndarray, texts: Sequence[tuple[str, Any, tuple[int, int, int]]]) -> np.ndarray:
    """Write texts on coloured plates centred on their points, without overlap, all inside the image: each has a text,
    ``(x, y)`` and the BGR colour of its plate; earlier ones are placed first.
    """
    from PIL import Image, ImageDraw

    height, width = image.shape[:2]
    font = label_font(max(11, min(26, round(min(height, width) / 32))))
    canvas = Image.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    brush = ImageDraw.Draw(canvas)
    taken: list[Box] = []
    for text, (x, y), (blue, green, red) in texts:
        left, top, right, bottom = brush.textbbox((0, 0), text, font=font)
        box = _free_place(x, y, int(right - left) + 6, int(bottom - top) + 5, width, height, taken)
        if box is None:
            continue
        taken.append(box)
        brush.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill=(red, green, blue))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue > 140
        brush.text((box[0] + 3 - left, box[1] + 2 - top), text, fill=(0, 0, 0) if dark else (255, 255, 255), font=font)
    return cv2.cvtColor(np.asarray(canvas), cv2.COLOR_RGB2BGR)


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
    from PIL import ImageFont

    names = ["NotoSansCJK-Regular.ttc", "NotoSans-Regular.ttf", "DejaVuSans.ttf", "Arial Unicode.ttf"]
    with contextlib.suppress(ImportError):
        import matplotlib

        names.append(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")))
    for name in names:
        with contextlib.suppress(OSError):
            return ImageFont.truetype(name, size)
    return ImageFont.load_default(size)


def beside(left: np.ndarray, right: np.ndarray, titles: tuple[str, str], side: int = 420) -> np.ndarray:
    """Two images of one size side by side, their longest side scaled to ``side``, each with its title above."""
    from PIL import Image, ImageDraw

    scale = side / max(left.shape[:2])
    size = (max(1, round(left.shape[1] * scale)), max(1, round(left.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    parts = []
    for image, title in zip((left, right), titles):
        strip = Image.new("RGB", (size[0], 20), "white")
        ImageDraw.Draw(strip).text((2, 3), title, fill="black", font=label_font(13))
        parts.append(np.vstack([np.asarray(strip), cv2.resize(image, size, interpolation=how)]))
    return np.hstack([parts[0], np.full((parts[0].shape[0], 6, 3), 255, np.uint8), parts[1]])


def sheet(drawn: Sequence[np.ndarray], columns: int = 2) -> np.ndarray:
    """Images in rows, on white."""
    width, height = max(image.shape[1] for image in drawn), max(image.shape[0] for image in drawn)
    rows = -(-len(drawn) // columns)
    page = np.full((rows * (height + 10), columns * (width + 14), 3), 255, np.uint8)
    for place, image in enumerate(drawn):
        top, left = place // columns * (height + 10), place % columns * (width + 14)
        page[top : top + image.shape[0], left : left + image.shape[1]] = image
    return page


def read_image(path: Path) -> np.ndarray:
    """An image as in training: ``(H, W, 3)`` uint8 BGR, as shown (EXIF orientation applied).

    Raises:
        DataError: it cannot be read.
    """
    images.probe(path)  # refuses what is no image, and forged sizes, before anything is decoded
    image = cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_COLOR)
    if image is None:  # Pillow decodes some that OpenCV does not
        image = np.ascontiguousarray(images.decode(path)[..., ::-1])
    return image


def save(image: np.ndarray, path: Path) -> None:
    """Write an image in the format of its suffix. OpenCV itself cannot open names of all letters everywhere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 92] if path.suffix.lower() in (".jpg", ".jpeg") else []
    path.write_bytes(cv2.imencode(path.suffix, image, quality)[1].tobytes())
