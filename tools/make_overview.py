"""Make docs/images/overview.jpg, the image at the top of the README, from what ``make demo`` left.

    make demo && .venv/bin/python tools/make_overview.py demo

Three panels: raw labels as LabelMe files hold them, the validation report of the set with three defects put in
(a screenshot by Chromium), and truth beside prediction on held-out images.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

HEIGHT = 560
COLORS = [(58, 111, 219), (43, 98, 217), (98, 154, 44), (209, 91, 138), (11, 134, 184)]
TARGET = Path(__file__).parents[1] / "docs" / "images" / "overview.jpg"


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


def report(data: Path) -> np.ndarray:
    """The HTML report of the data set with three defects, as Chromium shows it."""
    with tempfile.TemporaryDirectory() as temporary:
        spoiled = Path(temporary) / "coco"
        shutil.copytree(data, spoiled)
        file = spoiled / "annotations" / "instances_val2017.json"
        content = json.loads(file.read_text())
        content["annotations"][0]["bbox"] = [1, 2, 30, 40]
        content["annotations"][5]["category_id"] = 99
        content["images"][2]["width"] *= 2
        file.write_text(json.dumps(content))
        page = Path(temporary) / "report.html"
        command = [sys.executable, "-m", "seg2knet", "validate", "coco", "--ignore", "CI042"]
        subprocess.run([*command, "--output-format", "html", "--output-file", str(page)], cwd=temporary, check=False)
        shot = Path(temporary) / "report.png"
        subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=1000,1000",
             f"--screenshot={shot}", page.as_uri()],
            check=True, capture_output=True,
        )  # fmt: skip
        image = cv2.imread(str(shot))
    return cv2.resize(image, None, fx=HEIGHT / 1000, fy=HEIGHT / 1000, interpolation=cv2.INTER_AREA)


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


def main(demo: Path) -> None:
    panels = [
        titled(raw_labels(demo / "raw"), "your labels"),
        titled(report(demo / "data" / "coco"), "what is wrong with them"),
        titled(predictions(demo / "work_dirs" / "shapes" / "samples.jpg"), "what the model learned"),
    ]
    gap = np.full((HEIGHT + 36, 14, 3), 255, np.uint8)
    TARGET.parent.mkdir(exist_ok=True)
    joined = np.hstack([panels[0], gap, panels[1], gap, panels[2]])
    cv2.imwrite(str(TARGET), joined, [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(f"{TARGET}: {joined.shape[1]} x {joined.shape[0]}, {TARGET.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
