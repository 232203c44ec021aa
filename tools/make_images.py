"""Make the images of the README and the docs in docs/images from what ``make demo`` left; Chromium shows the pages.

    make demo && .venv/bin/python tools/make_images.py demo

``overview.jpg``: raw labels as LabelMe files hold them, the validation report of the set with three defects put in, and
truth beside prediction on held-out images. ``test.jpg``: the page of an evaluation. ``audit.jpg``: the page of an audit
of the set with five labels made wrong.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

HEIGHT = 560
COLORS = [(58, 111, 219), (43, 98, 217), (98, 154, 44), (209, 91, 138), (11, 134, 184)]
TARGET = Path(__file__).parents[1] / "docs" / "images"


def outline(shape: dict) -> np.ndarray:
    """The corners of a LabelMe polygon, rectangle, circle or mask."""
    points = np.array(shape["points"], float)
    if shape["shape_type"] == "circle":
        radius = float(np.hypot(*(points[1] - points[0])))
        turns = np.linspace(0, 2 * np.pi, 48)
        return points[0] + radius * np.column_stack((np.cos(turns), np.sin(turns)))
    if len(points) == 2:
        (left, top), (right, bottom) = points
        return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    return points


def raw_labels(folder: Path, rows: int = 3, columns: int = 2) -> np.ndarray:
    """Images with the outlines of their LabelMe files."""
    files = [file for file in sorted(folder.glob("*.json")) if len(json.loads(file.read_text())["shapes"]) > 2]
    names = sorted({shape["label"] for file in files for shape in json.loads(file.read_text())["shapes"]})
    cells = []
    for file in files[: rows * columns]:
        content = json.loads(file.read_text())
        image = cv2.imread(str(folder / content["imagePath"]))
        scale = HEIGHT / rows / image.shape[0]
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        for shape in content["shapes"]:
            points = np.round(outline(shape) * scale).astype(np.int32)
            color = COLORS[names.index(shape["label"]) % len(COLORS)]
            cv2.polylines(image, [points], True, color, 2, cv2.LINE_AA)
            for point in points if len(points) < 12 else ():
                cv2.circle(image, tuple(map(int, point)), 3, color, -1, cv2.LINE_AA)
        cells.append(image)
    return np.vstack([np.hstack(cells[row * columns : (row + 1) * columns]) for row in range(rows)])


def seg2knet(*arguments: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "seg2knet", *arguments], cwd=folder, check=False)


def shot(page: Path, width: int, height: int, scale: float) -> np.ndarray:
    """The top of a page as Chromium shows it, resized."""
    with tempfile.TemporaryDirectory() as temporary:
        file, plain = Path(temporary) / "page.png", Path(temporary) / "page.html"
        plain.write_text(re.sub(r"/[^\s<>\"]*/(?=demo/)", "", page.read_text()))  # nobody's folders
        subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={width},{height}",
             f"--screenshot={file}", plain.as_uri()],
            check=True, capture_output=True,
        )  # fmt: skip
        image = cv2.imread(str(file))
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


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
    content["annotations"][0]["bbox"] = [1, 2, 30, 40]
    content["annotations"][5]["category_id"] = 99
    content["images"][2]["width"] *= 2


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


def report(data: Path) -> np.ndarray:
    """The HTML report of the data set with three defects."""
    with spoiled(data, three_defects) as folder:
        page = ["--output-format", "html", "--output-file", "report.html"]
        seg2knet("validate", "coco", "--ignore", "CI042", *page, folder=folder)
        return shot(folder / "report.html", 1000, 1000, HEIGHT / 1000)


def audit(data: Path, checkpoint: Path) -> np.ndarray:
    """The page of an audit of the validation split."""
    with spoiled(data, wrong_labels) as folder:
        options = ["--split", "val", "--checkpoint", str(checkpoint.resolve())]
        seg2knet("audit", "coco", *options, folder=folder)
        return shot(folder / "audit.html", 1100, 900, 0.8)


def predictions(sheet: Path) -> np.ndarray:
    """The first rows of the sheet of truth beside prediction."""
    image = cv2.imread(str(sheet))
    half = image[:, : image.shape[1] // 2]
    scale = 620 / half.shape[1]
    return cv2.resize(half, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:HEIGHT]


def titled(image: np.ndarray, title: str) -> np.ndarray:
    strip = np.full((36, image.shape[1], 3), 255, np.uint8)
    cv2.putText(strip, title, (6, 25), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (40, 40, 40), 1, cv2.LINE_AA)
    body = np.full((HEIGHT, image.shape[1], 3), 255, np.uint8)
    body[: image.shape[0]] = image[:HEIGHT]
    return np.vstack([strip, body])


def save(name: str, image: np.ndarray) -> None:
    file = TARGET / name
    cv2.imwrite(str(file), image, [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(f"{file}: {image.shape[1]} x {image.shape[0]}, {file.stat().st_size // 1024} KB")


def main(demo: Path) -> None:
    run, data = demo / "work_dirs" / "shapes", demo / "data" / "coco"
    panels = [
        titled(raw_labels(demo / "raw"), "your labels"),
        titled(report(data), "what is wrong with them"),
        titled(predictions(run / "samples.jpg"), "what the model learned"),
    ]
    gap = np.full((HEIGHT + 36, 14, 3), 255, np.uint8)
    TARGET.mkdir(exist_ok=True)
    save("overview.jpg", np.hstack([panels[0], gap, panels[1], gap, panels[2]]))
    save("test.jpg", shot(run / "best.html", 1100, 1500, 0.8))
    save("audit.jpg", audit(data, run / "best.pth"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
