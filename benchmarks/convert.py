"""How fast conversions are, against the least that has to be done: ratios in one run.

    python benchmarks/convert.py                     all, on 2 workers
    python benchmarks/convert.py labelme masks       some
    python benchmarks/convert.py memory --images 100000

Every case draws its own data set in a temporary folder, runs the least work (parsing all files with the fastest
parser, decoding or encoding all PNGs with OpenCV, on one core) and the conversion, alternately, seven times, and prints
the least seconds of each and the median of the ratios. Everything is in the page cache. Conversions run without and
with validation.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import orjson

ROUNDS = 7
CLASSES = ["car", "person", "tree", "sign", "road"]
NAME = "img%06d.jpg"
LIMITS = {
    "labelme": 4.0,
    "yolo": 4.0,
    "cvat": 4.0,
    "masks": 2.0,
    "coco-panoptic": 1.5,
    "coco-ade": 1.5,
    "coco-yolo": 2.0,
}


def blob(rng: random.Random, width: int, height: int, points: int) -> list[float]:
    """A rough outline of ``points`` corners, as a hand draws it, as ``x, y, x, y, ...``."""
    cx, cy = rng.uniform(60, width - 60), rng.uniform(60, height - 60)
    radius = rng.uniform(15, 55)
    flat: list[float] = []
    for index in range(points):
        angle = 2 * math.pi * index / points
        r = radius * rng.uniform(0.7, 1.1)
        flat += [cx + r * math.cos(angle), cy + r * math.sin(angle)]
    return flat


def jpegs(folder: Path, count: int) -> list[str]:
    """Small files with different bytes, whole and not of one colour, as photographs are; their pixels are of no use to
    a conversion. Their names."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.full((480, 640, 3), 127, np.uint8)
    pixels[200:220, 200:220] = 255
    data = cv2.imencode(".jpg", pixels)[1].tobytes()
    for index in range(count):
        comment = b"%d" % index + bytes(index * 7919 % 40_009)  # another length each time
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        (folder / (NAME % index)).write_bytes(data[:2] + segment + data[2:])
    return [NAME % index for index in range(count)]


def labelme(root: Path, count: int, points: int = 30) -> Path:
    rng = random.Random(0)
    names = jpegs(root, count)
    for name in names:
        shapes = [
            {
                "label": rng.choice(CLASSES),
                "points": np.reshape(blob(rng, 640, 480, points), (-1, 2)).tolist(),
                "group_id": None,
                "description": "",
                "shape_type": "polygon",
                "flags": {},
                "mask": None,
            }
            for _ in range(7)
        ]
        document = {
            "version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": name, "imageData": None,
            "imageHeight": 480, "imageWidth": 640,
        }  # fmt: skip
        (root / name.replace(".jpg", ".json")).write_text(json.dumps(document, indent=2))
    return root


def yolo(root: Path, count: int, points: int = 30) -> Path:
    rng = random.Random(0)
    names = jpegs(root / "images" / "train", count)
    labels = root / "labels" / "train"
    labels.mkdir(parents=True)
    scale = np.tile([640.0, 480.0], points)
    for name in names:
        rows = []
        for _ in range(7):
            numbers = np.array(blob(rng, 640, 480, points)) / scale
            rows.append(f"{rng.randrange(5)} " + " ".join(f"{number:.6f}" for number in numbers))
        (labels / name.replace(".jpg", ".txt")).write_text("\n".join(rows) + "\n")
    (root / "data.yaml").write_text(f"train: images/train\nnames: [{', '.join(CLASSES)}]\n")
    return root


def cvat(root: Path, count: int, points: int = 30) -> Path:
    rng = random.Random(0)
    names = jpegs(root / "images", count)
    with open(root / "annotations.xml", "w") as file:
        file.write("<?xml version='1.0' encoding='utf-8'?>\n<annotations>\n  <version>1.1</version>\n")
        file.write("  <meta><task><labels>")
        file.write("".join(f"<label><name>{name}</name></label>" for name in CLASSES))
        file.write("</labels></task></meta>\n")
        for index, name in enumerate(names):
            file.write(f'  <image id="{index}" name="{name}" width="640" height="480">\n')
            for _ in range(7):
                flat = blob(rng, 640, 480, points)
                pairs = ";".join(f"{x:.2f},{y:.2f}" for x, y in zip(flat[::2], flat[1::2]))
                label = rng.choice(CLASSES)
                file.write(f'    <polygon label="{label}" occluded="0" source="manual" points="{pairs}" z_order="0">\n')
                file.write("    </polygon>\n")
            file.write("  </image>\n")
        file.write("</annotations>\n")
    return root


def masks(root: Path, count: int) -> Path:
    rng = random.Random(0)
    names = jpegs(root / "images", count)
    (root / "masks").mkdir()
    for name in names:
        canvas = np.zeros((480, 640), np.uint8)
        for _ in range(7):
            outline = np.reshape(blob(rng, 640, 480, 30), (-1, 2)).astype(np.int32)
            cv2.fillPoly(canvas, [outline], rng.randrange(1, 6))
        cv2.imwrite(str(root / "masks" / name.replace(".jpg", ".png")), canvas)
    (root / "classes.txt").write_text("\n".join(["background", *CLASSES, ""]))
    return root


def coco(root: Path, count: int, points: int = 30, with_images: bool = True) -> Path:
    rng = random.Random(0)
    root.mkdir(parents=True, exist_ok=True)
    if with_images:
        jpegs(root / "images", count)
    images = [{"id": i + 1, "file_name": NAME % i, "width": 640, "height": 480} for i in range(count)]
    annotations = []
    for index in range(count * 7):
        flat = blob(rng, 640, 480, points)
        annotations.append({
            "id": index + 1, "image_id": index // 7 + 1, "category_id": rng.randrange(5) + 1, "segmentation": [flat],
            "iscrowd": 0,
        })  # fmt: skip
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations.json").write_bytes(orjson.dumps(document))
    return root


def parse_json(root: Path) -> None:
    """Every LabelMe file read and parsed by orjson."""
    for path in sorted(root.glob("*.json")):
        orjson.loads(path.read_bytes())


def parse_yolo(root: Path) -> None:
    """Every label file read and its numbers parsed, row by row; Python's own floats are quicker here than NumPy's."""
    for path in sorted((root / "labels" / "train").iterdir()):
        for line in path.read_text().splitlines():
            list(map(float, line.split()))


def parse_cvat(root: Path) -> None:
    """The file read by lxml, its points parsed, elements let go."""
    from lxml import etree

    for _, image in etree.iterparse(str(root / "annotations.xml"), tag="image"):
        for shape in image.iter("polygon"):
            list(map(float, shape.get("points").replace(";", ",").split(",")))
        image.clear()


def decode_masks(root: Path) -> None:
    """Every PNG decoded by OpenCV."""
    for path in sorted((root / "masks").iterdir()):
        cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def write_rows(root: Path) -> None:
    """The COCO file parsed by orjson, and a label file written for each image."""
    document = orjson.loads((root / "annotations.json").read_bytes())
    rows: dict[int, list[str]] = {image["id"]: [] for image in document["images"]}
    scale = np.tile([640.0, 480.0], len(document["annotations"][0]["segmentation"][0]) // 2)
    for note in document["annotations"]:
        (outline,) = note["segmentation"]
        numbers = (np.array(outline) / scale).tolist()
        rows[note["image_id"]].append(f"{note['category_id'] - 1} {' '.join(map(str, numbers))}\n")
    with tempfile.TemporaryDirectory(dir=root) as folder:
        for number, lines in rows.items():
            Path(folder, f"{number}.txt").write_text("".join(lines))


def encoder(out: Path, pattern: str) -> Callable[[], None]:
    """Encodes the PNGs that a conversion wrote, decoded beforehand, to files."""
    canvases = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted(out.glob(pattern))]

    def encode() -> None:
        with tempfile.TemporaryDirectory(dir=out.parent) as folder:
            for index, canvas in enumerate(canvases):
                Path(folder, f"{index}.png").write_bytes(cv2.imencode(".png", canvas)[1].tobytes())

    return encode


def convert(format: str, source: Path, out: Path, to: str = "coco", validate: bool = False, **more: Any) -> None:
    import seg2knet

    seg2knet.convert(format, source, to=to, out=out, validate=validate, jobs=2, **more)


def timed(run: Callable[[], None], clean: Path | None = None) -> tuple[float, float]:
    """Seconds on the clock, and of processors, workers included."""
    if clean is not None:
        shutil.rmtree(clean, ignore_errors=True)
    started, before = time.perf_counter(), sum(os.times()[:4])
    with contextlib.redirect_stdout(io.StringIO()):
        run()
    return time.perf_counter() - started, sum(os.times()[:4]) - before


def compare(
    name: str, base: Callable[[], None], runs: dict[str, Callable[[], None]], out: Path, times: int = ROUNDS
) -> dict[str, Any]:
    """Seconds (the least of all rounds) and ratios: the median of the rounds', each of runs that follow one another,
    for the machine is not equally quick all the time."""
    rounds: list[dict[str, tuple[float, float]]] = []
    for _ in range(times):
        every = {"least": base, **runs}
        rounds.append({key: timed(run, None if key == "least" else out) for key, run in every.items()})
    row: dict[str, Any] = {"case": name, "least_s": round(min(each["least"][0] for each in rounds), 3)}
    for key in runs:
        row[f"{key}_s"] = round(min(each[key][0] for each in rounds), 3)
        row[f"{key}_ratio"] = round(statistics.median(each[key][0] / each["least"][0] for each in rounds), 2)
        # What the ratio would be with two cores to itself and nothing to wait for.
        cpu = statistics.median(each[key][1] / 2 / each["least"][1] for each in rounds)
        row[f"{key}_cpu_ratio"] = round(cpu, 2)
    row["limit"] = LIMITS[name]
    row["ok"] = row["convert_ratio"] <= LIMITS[name]
    return row


def cases(root: Path, wanted: list[str], count: int | None) -> Iterator[dict[str, Any]]:
    out = root / "out"

    def both(format: str, source: Path, **more: Any) -> dict[str, Callable[[], None]]:
        return {
            "convert": lambda: convert(format, source, out, **more),
            "convert+validate": lambda: convert(format, source, out, validate=True, **more),
        }

    if "labelme" in wanted:
        source = labelme(root / "labelme", count or 5000)
        yield compare("labelme", lambda: parse_json(source), both("labelme", source), out)
    if "yolo" in wanted:
        source = yolo(root / "yolo", count or 10000)
        yield compare("yolo", lambda: parse_yolo(source), both("yolo", source), out)
    if "cvat" in wanted:
        source = cvat(root / "cvat", count or 10000)
        yield compare("cvat", lambda: parse_cvat(source), both("cvat", source), out)
    if "masks" in wanted:
        source = masks(root / "masks", count or 2000)
        yield compare("masks", lambda: decode_masks(source), both("masks", source), out)
    if "coco-yolo" in wanted:  # annotations alone: 118,000 images as COCO's train2017 has them
        source = coco(root / "coco-yolo", count or 118_000, with_images=False)
        runs = {"convert": lambda: convert("coco", source, out, "yolo", images="none")}
        yield compare("coco-yolo", lambda: write_rows(source), runs, out, times=1)
    for target, pattern in (("panoptic", "annotations/panoptic_*/*.png"), ("ade", "annotations/*/*.png")):
        if f"coco-{target}" in wanted:
            source = coco(root / f"coco-{target}", count or 2000)
            convert("coco", source, out, target, overwrite=True)  # of the case before
            encode = encoder(out, pattern)
            yield compare(f"coco-{target}", encode, both("coco", source, to=target), out)


def memory(images: int, drawn: Path) -> dict[str, Any]:
    """Peak memory of a conversion as it is by default, by the kernel's count, for LabelMe sets of ``images`` and of a
    tenth of that: the parent's, and that of the largest of its processes (the one that validates)."""
    row: dict[str, Any] = {"case": "memory"}
    for count in (images // 10, images):
        source = drawn / str(count)
        if not source.is_dir():
            labelme(source, count, points=8)
        code = (
            "import seg2knet, resource, sys\n"
            "seg2knet.convert('labelme', sys.argv[1], out=sys.argv[2], jobs=2)\n"
            "for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):\n"
            "    print(resource.getrusage(who).ru_maxrss // 1024)"
        )
        with tempfile.TemporaryDirectory(dir=drawn) as target:
            command = [sys.executable, "-c", code, str(source), f"{target}/coco"]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        parent, largest = map(int, done.stdout.split()[-2:])
        row[f"{count}_images"] = {"parent_mib": parent, "largest_process_mib": largest}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", choices=[*LIMITS, "memory", []], help="all but memory by default")
    parser.add_argument("--images", type=int, help="images in a data set, instead of the case's own number")
    parser.add_argument("--dir", type=Path, help="where to draw the data sets")
    options = parser.parse_args()
    ok = True
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        if options.cases == ["memory"]:
            print(json.dumps(memory(options.images or 100_000, options.dir or Path(folder))))
            return
        for row in cases(Path(folder), options.cases or list(LIMITS), options.images):
            print(json.dumps(row), flush=True)
            ok &= row["ok"]
    print(json.dumps({"cores": len(os.sched_getaffinity(0)), "ok": ok}))
    sys.exit(not ok)


if __name__ == "__main__":
    main()
