"""Make the images of the README and the docs in docs/images from what ``make demo`` left; Chromium shows the pages.

    make demo && .venv/bin/python tools/make_images.py demo

``overview.jpg``: the labels of examples/photos, the validation report of that set with three defects put in, and what a
model that is trained here, for minutes, on the left half of the photograph of coins predicts on its right half.
``test.jpg``: the page of an evaluation. ``audit.jpg``: that of an audit of the demo's set with five labels made wrong.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from seg2knet.dataset.drawing import label_font, write_labels

WIDTH = 1600
COLORS = [(58, 111, 219), (98, 154, 44), (209, 91, 138), (11, 134, 184), (43, 98, 217), (184, 134, 11)]
PHOTOS = Path(__file__).parents[1] / "examples" / "photos"
TARGET = Path(__file__).parents[1] / "docs" / "images"
HALF = 186
"""Pixels from the left where the photograph of coins is divided."""


def labelled(name: str) -> tuple[np.ndarray, list[dict]]:
    """A photograph and the shapes of its LabelMe file."""
    return cv2.imread(str(PHOTOS / f"{name}.jpg")), json.loads((PHOTOS / f"{name}.json").read_text())["shapes"]


def raw_labels(names: Sequence[str], height: int = 400) -> np.ndarray:
    """Photographs in a row, with outlines, corners and names of their labels."""
    cells, gap = [], np.full((height, 8, 3), 255, np.uint8)
    for name in names:
        image, shapes = labelled(name)
        scale = height / image.shape[0]
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        texts = []
        for color, shape in zip(COLORS, shapes):
            points = np.round(np.array(shape["points"]) * scale).astype(np.int32)
            cv2.polylines(image, [points], True, color, 3, cv2.LINE_AA)
            for point in points if len(points) > 4 else ():
                cv2.circle(image, tuple(map(int, point)), 3, (255, 255, 255), -1, cv2.LINE_AA)
            x, y = points.mean(0) if len(points) < 20 else points[np.argmin(points[:, 1])] + (0, 24)
            texts.append((shape["label"], (int(x), int(y)), color))
        cells += [write_labels(image, texts), gap]
    row = np.hstack(cells[:-1])
    return cv2.resize(row, (WIDTH, round(row.shape[0] * WIDTH / row.shape[1])), interpolation=cv2.INTER_AREA)


def write_labelme(image: np.ndarray, outlines: Sequence[np.ndarray], file: Path) -> None:
    """Write an image and its coins, those that are inside it for the most part."""
    size, shapes = (image.shape[1], image.shape[0]), []
    for points in outlines:
        inside = np.clip(points, (0, 0), size)
        if cv2.contourArea(inside.astype(np.float32)) > 0.35 * cv2.contourArea(points.astype(np.float32)):
            shapes.append({"label": "coin", "points": inside.round(1).tolist(), "shape_type": "polygon"})
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file.with_suffix(".jpg")), image, [cv2.IMWRITE_JPEG_QUALITY, 92])
    content = {"imagePath": f"{file.stem}.jpg", "imageWidth": size[0], "imageHeight": size[1], "shapes": shapes}
    file.write_text(json.dumps(content))


def coins(folder: Path, images: int = 100) -> np.ndarray:
    """Truth beside prediction on the right half of the photograph of coins, of a model trained on the left half turned,
    flipped, scaled and brightened at random."""
    image, shapes = labelled("coins")
    outlines = [np.array(shape["points"]) for shape in shapes]
    right = [points - (HALF, 0) for points in outlines if points[:, 0].mean() > HALF]
    left = [points for points in outlines if points[:, 0].mean() < HALF]
    write_labelme(image[:, HALF:], right, folder / "val" / "right.json")
    half, random = image[:, :HALF], np.random.default_rng(0)
    height, width = half.shape[:2]
    for number in range(images):
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), random.uniform(-25, 25), random.uniform(0.85, 1.25))
        flip = np.array(random.choice([-1, 1], 2))
        turn = np.diag(flip) @ turn + np.outer((flip < 0) * (width, height), (0, 0, 1))
        seen = cv2.warpAffine(half, turn, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        seen = np.clip(seen * random.uniform(0.75, 1.25) + random.uniform(-15, 15), 0, 255).astype(np.uint8)
        moved = [points @ turn[:, :2].T + turn[:, 2] for points in left]
        write_labelme(seen, moved, folder / "train" / f"{number:03d}.json")
    seg2knet("convert", "labelme", "train=train", "val=val", "--to", "coco", "--overwrite", folder=folder)
    model = ["--gpus", "0", "--no-pretrained", "--backbone", "r18-half", "--img-size", "224", "--batch-size", "2"]
    seg2knet("train", *model, "--epochs", "12", "--work-dir", "run", "--overwrite", folder=folder)
    sheet = cv2.imread(str(folder / "run" / "samples.jpg"))
    sheet = sheet[:, : sheet.shape[1] // 2]
    return cv2.resize(sheet, None, fx=0.86, fy=0.86, interpolation=cv2.INTER_AREA)


def seg2knet(*arguments: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "seg2knet", *arguments], cwd=folder, check=False)


def shot(page: Path, width: int, height: int, scale: float, style: str = "") -> np.ndarray:
    """The top of a page as Chromium shows it."""
    with tempfile.TemporaryDirectory() as temporary:
        file, plain = Path(temporary) / "page.png", Path(temporary) / "page.html"
        text = re.sub(r"/[^\s<>\"]*/(?=demo/)", "", page.read_text())  # nobody's folders
        plain.write_text(text.replace("</head>", f"<style>{style}</style></head>"))
        subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={width},{height}",
             f"--force-device-scale-factor={scale}", f"--screenshot={file}", plain.as_uri()],
            check=True, capture_output=True,
        )  # fmt: skip
        return cv2.imread(str(file))


@contextmanager
def spoiled(data: Path, spoil: Callable[[dict], None]) -> Iterator[Path]:
    """A folder with a copy of the data set as ``coco``, its validation annotations spoiled."""
    with tempfile.TemporaryDirectory() as temporary:
        shutil.copytree(data, Path(temporary) / "coco")
        file = Path(temporary) / "coco" / "annotations" / "instances_val2017.json"
        content = json.loads(file.read_text())
        spoil(content)
        file.write_text(json.dumps(content))
        yield Path(temporary)


def three_defects(content: dict) -> None:
    """A box that is not its cup's, an eye of no known class, a helmet that is there twice."""
    names = {category["id"]: category["name"] for category in content["categories"]}
    first = {names[one["category_id"]]: one for one in reversed(content["annotations"])}
    first["cup"]["bbox"] = [30, 40, 200, 120]
    first["eye"]["category_id"] = 99
    content["annotations"].append({**first["helmet"], "id": 1 + max(one["id"] for one in content["annotations"])})


def wrong_labels(content: dict) -> None:
    """Two objects without a label, two of another class, one outline moved."""
    annotations, classes = content["annotations"], [category["id"] for category in content["categories"]]
    for one in annotations[10:12]:
        one["category_id"] = next(number for number in classes if number != one["category_id"])
    for one in (one for one in annotations[20:40] if isinstance(one["segmentation"], list)):
        if one["bbox"][0] > 30:
            one["segmentation"] = [[v - 15 * (k % 2 == 0) for k, v in enumerate(part)] for part in one["segmentation"]]
            one["bbox"][0] -= 15
            break
    del annotations[60], annotations[40]


def report(width: int, height: int) -> np.ndarray:
    """The findings in the HTML report of the photographs with three defects."""
    with tempfile.TemporaryDirectory() as temporary:
        source = ["convert", "labelme", str(PHOTOS), "--to", "coco", "--split", "val"]
        seg2knet(*source, folder=Path(temporary))
        with spoiled(Path(temporary) / "data" / "coco", three_defects) as folder:
            page = ["--output-format", "html", "--output-file", "report.html"]
            seg2knet("validate", "coco", "--ignore", "CI042", *page, folder=folder)
            seen = shot(
                folder / "report.html", width * 4 // 5, height * 4 // 5, 1.25, "main > :not(#list) { display: none }"
            )
            return cv2.resize(seen, (width, height), interpolation=cv2.INTER_AREA)


def audit(data: Path, checkpoint: Path) -> np.ndarray:
    """The page of an audit of the validation split."""
    with spoiled(data, wrong_labels) as folder:
        options = ["--split", "val", "--checkpoint", str(checkpoint.resolve())]
        seg2knet("audit", "coco", *options, folder=folder)
        return shot(folder / "audit.html", 1100, 900, 0.8)


def titled(image: np.ndarray, title: str) -> np.ndarray:
    strip = Image.new("RGB", (image.shape[1], 44), "white")
    ImageDraw.Draw(strip).text((4, 8), title, fill=(40, 40, 40), font=label_font(25))
    return np.vstack([np.asarray(strip)[..., ::-1], image])


def save(name: str, image: np.ndarray) -> None:
    file = TARGET / name
    cv2.imwrite(str(file), image, [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(f"{file}: {image.shape[1]} x {image.shape[0]}, {file.stat().st_size // 1024} KB")


def main(demo: Path) -> None:
    run, data = demo / "work_dirs" / "shapes", demo / "data" / "coco"
    TARGET.mkdir(exist_ok=True)
    learned = titled(coins(demo / "coins"), "a model that learned from 12 coins, on 12 others")
    width = WIDTH - learned.shape[1] - 16
    found = titled(report(width, learned.shape[0] - 44), "what is wrong with them")
    below = np.hstack([found, np.full((found.shape[0], 16, 3), 255, np.uint8), learned])
    save("overview.jpg", np.vstack([titled(raw_labels(["coffee", "cat", "astronaut"]), "your labels"), below]))
    if (run / "best.html").is_file():
        save("test.jpg", shot(run / "best.html", 1100, 1500, 0.8))
        save("audit.jpg", audit(data, run / "best.pth"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
