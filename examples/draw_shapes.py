"""Draw a small LabelMe data set: shapes on textured backgrounds, with what real data have.

Five classes: ``disc`` (LabelMe circle), ``box`` (rectangle or turned polygon), ``star`` (polygon), ``ring`` (a mask,
with a hole) and ``pair`` (two parts joined by ``group_id``). Shapes lie over one another, in parts, and each is
annotated whole, as people do, not cut by what hides it. Every tenth picture is empty.

    python examples/draw_shapes.py raw --images 200 --size 160
"""

from __future__ import annotations

import argparse
import base64
import json
import math
from pathlib import Path

import cv2
import numpy as np

COLORS = {
    "disc": (214, 69, 65),
    "box": (58, 120, 200),
    "star": (240, 190, 50),
    "ring": (60, 170, 110),
    "pair": (150, 90, 190),
}


def texture(rng: np.random.Generator, size: int) -> np.ndarray:
    """A ``(size, size, 3)`` uint8 background: coloured noise at several scales, stripes and a gradient."""
    base = rng.integers(60, 200, 3).astype(np.float32)
    picture = np.tile(base, (size, size, 1))
    for cells in (4, 12, 40):
        noise = rng.normal(0, 1, (cells, cells, 3)).astype(np.float32)
        picture += cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC) * rng.uniform(4, 16)
    ys, xs = np.mgrid[:size, :size].astype(np.float32)
    angle, period = rng.uniform(0, math.pi), rng.uniform(6, 30)
    waves = np.sin((xs * math.cos(angle) + ys * math.sin(angle)) * 2 * math.pi / period)
    return np.clip(picture + waves[..., None] * rng.uniform(0, 14), 0, 255).astype(np.uint8)


def turned(points: list[tuple[float, float]], cx: float, cy: float, angle: float) -> list[list[float]]:
    """Points about the origin, turned by ``angle`` and moved to ``(cx, cy)``, at a tenth of a pixel."""
    cos, sin = math.cos(angle), math.sin(angle)
    return [[round(cx + x * cos - y * sin, 1), round(cy + x * sin + y * cos, 1)] for x, y in points]


def circle_points(cx: float, cy: float, radius: float) -> list[list[float]]:
    return [[round(cx, 1), round(cy, 1)], [round(cx + radius, 1), round(cy, 1)]]


def encoded_mask(mask: np.ndarray) -> str:
    """A mask as LabelMe stores it: base64 of a PNG."""
    return base64.b64encode(cv2.imencode(".png", mask.astype(np.uint8))[1].tobytes()).decode()


def shape(label: str, points: list[list[float]], kind: str, group: int | None = None) -> dict:
    return {
        "label": label, "points": points, "group_id": group, "description": "", "shape_type": kind, "flags": {},
        "mask": None,
    }  # fmt: skip


def draw_disc(rng: np.random.Generator, canvas: np.ndarray, cx: float, cy: float, r: float, group: int) -> list[dict]:
    found = shape("disc", circle_points(cx, cy, r), "circle")
    return [paint(canvas, found, rng)]


def draw_box(rng: np.random.Generator, canvas: np.ndarray, cx: float, cy: float, r: float, group: int) -> list[dict]:
    half, other = r, r * rng.uniform(0.5, 0.9)
    if rng.random() < 0.4:
        corners = [[round(cx - half, 1), round(cy - other, 1)], [round(cx + half, 1), round(cy + other, 1)]]
        return [paint(canvas, shape("box", corners, "rectangle"), rng)]
    corners = turned([(-half, -other), (half, -other), (half, other), (-half, other)], cx, cy, rng.uniform(0, math.pi))
    return [paint(canvas, shape("box", corners, "polygon"), rng)]


def draw_star(rng: np.random.Generator, canvas: np.ndarray, cx: float, cy: float, r: float, group: int) -> list[dict]:
    radii = [r * (1.2 if index % 2 == 0 else 0.55) for index in range(10)]
    corners = [
        (radius * math.cos(i * math.pi / 5), radius * math.sin(i * math.pi / 5)) for i, radius in enumerate(radii)
    ]
    return [paint(canvas, shape("star", turned(corners, cx, cy, rng.uniform(0, math.pi)), "polygon"), rng)]


def draw_ring(rng: np.random.Generator, canvas: np.ndarray, cx: float, cy: float, r: float, group: int) -> list[dict]:
    size = canvas.shape[0]
    mask = np.zeros((size, size), np.uint8)
    center = (round(cx), round(cy))
    cv2.circle(mask, center, round(r * 1.1), 1, -1)
    cv2.circle(mask, center, round(r * 0.55), 0, -1)
    ys, xs = np.nonzero(mask)
    left, top, right, bottom = int(xs.min()), int(ys.min()), int(xs.max()), int(ys.max())
    found = shape("ring", [[left, top], [right, bottom]], "mask")
    found["mask"] = encoded_mask(mask[top : bottom + 1, left : right + 1])
    canvas[mask > 0] = shaded(rng, "ring")
    return [found]


def draw_pair(rng: np.random.Generator, canvas: np.ndarray, cx: float, cy: float, r: float, group: int) -> list[dict]:
    angle, apart = rng.uniform(0, math.pi), r * 0.85
    parts = []
    for side in (-1, 1):
        x, y = cx + side * apart * math.cos(angle), cy + side * apart * math.sin(angle)
        corners = [(r * 0.6 * math.cos(i * math.pi / 3), r * 0.6 * math.sin(i * math.pi / 3)) for i in range(6)]
        parts.append(shape("pair", turned(corners, x, y, angle), "polygon", group))
    color = shaded(rng, "pair")
    return [paint(canvas, part, rng, color) for part in parts]


DRAW = {"disc": draw_disc, "box": draw_box, "star": draw_star, "ring": draw_ring, "pair": draw_pair}


def shaded(rng: np.random.Generator, label: str) -> np.ndarray:
    """The class's colour, a little lighter or darker each time."""
    return np.clip(np.array(COLORS[label]) + rng.normal(0, 14, 3), 0, 255).astype(np.uint8)


def paint(canvas: np.ndarray, found: dict, rng: np.random.Generator, color: np.ndarray | None = None) -> dict:
    """Fill a shape on the canvas; returns the shape."""
    points = found["points"]
    rgb = tuple(int(c) for c in (shaded(rng, found["label"]) if color is None else color))
    if found["shape_type"] == "circle":
        cv2.circle(canvas, tuple(round(c) for c in points[0]), round(points[1][0] - points[0][0]), rgb, -1)
    elif found["shape_type"] == "rectangle":
        cv2.rectangle(canvas, *[tuple(round(c) for c in corner) for corner in points], rgb, -1)
    else:
        cv2.fillPoly(canvas, [np.array(points).round().astype(np.int32)], rgb)
    return found


def places(rng: np.random.Generator, size: int, count: int) -> list[tuple[float, float, float]]:
    """Centres and radii of ``count`` shapes that hide one another in parts at most."""
    found: list[tuple[float, float, float]] = []
    for _ in range(count * 20):
        radius = rng.uniform(0.11, 0.2) * size
        cx, cy = rng.uniform(1.5 * radius, size - 1.5 * radius, 2)
        if all(math.hypot(cx - x, cy - y) > 0.75 * (radius + other) for x, y, other in found):
            found.append((cx, cy, radius))
        if len(found) == count:
            break
    return found


def draw(rng: np.random.Generator, size: int, empty: bool) -> tuple[np.ndarray, list[dict]]:
    """One image, RGB uint8, and its LabelMe shapes."""
    canvas = texture(rng, size)
    shapes: list[dict] = []
    for group, (cx, cy, radius) in enumerate(places(rng, size, 0 if empty else int(rng.integers(2, 5)))):
        shapes += DRAW[str(rng.choice(list(DRAW)))](rng, canvas, cx, cy, radius, group)
    noise = rng.normal(0, 5, canvas.shape)
    return np.clip(canvas + noise, 0, 255).astype(np.uint8), shapes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--size", type=int, default=160, help="side in pixels")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(options.seed)
    for index in range(options.images):
        picture, shapes = draw(rng, options.size, empty=index % 10 == 9)
        name = f"shapes_{index:03d}"
        cv2.imwrite(str(options.out / f"{name}.jpg"), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
        annotation = {
            "version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": f"{name}.jpg", "imageData": None,
            "imageHeight": options.size, "imageWidth": options.size,
        }  # fmt: skip
        (options.out / f"{name}.json").write_text(json.dumps(annotation, indent=2) + "\n")
    print(f"{options.out}: {options.images} images of {options.size}x{options.size} with LabelMe annotations")


if __name__ == "__main__":
    main()
