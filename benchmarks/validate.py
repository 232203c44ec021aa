"""How long ``seg2knet validate`` takes on a file of train2017's size, beside what pycocotools needs to load it.

    python benchmarks/validate.py                   # 118,000 images, 860,000 annotations, no image files
    python benchmarks/validate.py --images 5000 --annotations 36000

The file is drawn by this script: outlines seen from their middle, winding bands, objects of two parts, crowds as
run-length codes, areas and boxes as in COCO's own files. Both run as processes of their own, one after the other, as
often as ``--repeat`` says; printed are the best times, the memory of the whole tree of processes (proportional set
size, and the plain sum of resident sizes), and ours as a share of pycocotools'. Exit 1 past a half.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

KEYS = ("seconds", "cpu_seconds", "pss_mb", "rss_mb")
SIZES = np.array([(640, 480), (480, 640), (640, 427), (500, 375)])
PYCOCOTOOLS = "import sys; from pycocotools.coco import COCO; COCO(sys.argv[1])"
VALIDATE = (
    "import sys; from seg2knet.validators import validate; "
    "report = validate(sys.argv[1], select=['CI', 'SP', 'KN'], jobs=2); "
    "print(len(report.findings), report.exit_code)"
)


def generate(path: Path, images: int, annotations: int, seed: int = 0) -> None:
    """Write an instance file of that size."""
    random = np.random.default_rng(seed)
    sizes = SIZES[random.integers(0, len(SIZES), images)]
    # Every image has an object, the others are shared out at random.
    owners = np.sort(np.concatenate([np.arange(images), random.integers(0, images, annotations - images)]))
    with open(path, "w", encoding="ascii") as file:
        file.write('{"info": {"description": "drawn"}, "licenses": [], "images": [')
        file.write(", ".join(_image(row, *size) for row, size in enumerate(sizes.tolist(), 1)))
        file.write('], "annotations": [')
        for row, owner in enumerate(owners.tolist()):
            file.write((", " if row else "") + _annotation(random, row + 1, owner + 1, *sizes[owner].tolist()))
        file.write('], "categories": [')
        file.write(", ".join(f'{{"supercategory": "thing", "id": {i}, "name": "class {i}"}}' for i in range(1, 81)))
        file.write("]}")


def _image(number: int, width: int, height: int) -> str:
    url = f"http://images.cocodataset.org/train2017/{number:012d}.jpg"
    return (
        f'{{"license": 3, "file_name": "{number:012d}.jpg", "coco_url": "{url}", "height": {height}, "width": {width}, '
        f'"date_captured": "2013-11-14 11:18:45", "flickr_url": "{url}", "id": {number}}}'
    )


def _annotation(random: np.random.Generator, number: int, image: int, width: int, height: int) -> str:
    kind = random.random()
    category = 1 + int(80 * random.random())
    if kind < 0.01:
        return _crowd(random, number, image, category, width, height)
    parts = [_outline(random, width, height) if kind < 0.5 else _band(random, width, height)]
    if kind > 0.9:
        parts.append(_outline(random, width, height))
        # Beside the first, not in it: one object in two pieces.
        parts[0][:, 0] *= 0.5
        parts[1][:, 0] = 0.5 * (width + parts[1][:, 0])
    parts = [np.round(part, 2) for part in parts]
    area = sum(_area(part) for part in parts)
    low, high = np.min([part.min(0) for part in parts], 0), np.max([part.max(0) for part in parts], 0)
    box = np.round([*low, *(high - low)], 2).tolist()
    return (
        f'{{"segmentation": {[part.ravel().tolist() for part in parts]}, "area": {area:.4f}, "iscrowd": 0, '
        f'"image_id": {image}, "bbox": {box}, "category_id": {category}, "id": {number}}}'
    )


def _area(points: np.ndarray) -> float:
    xs, ys = points.T
    return abs(float(xs @ np.roll(ys, -1) - ys @ np.roll(xs, -1))) / 2


def _outline(random: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A star-shaped outline, ``(V, 2)``."""
    count = min(max(random.poisson(22), 6), 200)
    turn = (np.arange(count) + 0.8 * random.random(count)) * (2 * np.pi / count)
    radius = min(width, height) * (0.03 + 0.3 * random.random() ** 2)
    far = radius * (0.6 + 0.4 * random.random(count))
    middle = radius + random.random(2) * (np.array([width, height]) - 2 * radius)
    return middle + np.stack([far * np.cos(turn), far * np.sin(turn)], 1)


def _band(random: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A winding band across part of the image, ``(V, 2)``: simple, and not seen from its middle."""
    count = min(max(random.poisson(11), 4), 100)
    xs = np.linspace(0.05, 0.05 + 0.9 * (0.2 + 0.8 * random.random()), count) * width
    wave = 0.5 + 0.3 * np.sin(np.linspace(0, 3 + 6 * random.random(), count) + 6 * random.random())
    ys = wave * height
    thick = height * (0.03 + 0.1 * random.random(count))
    return np.concatenate([np.stack([xs, ys], 1), np.stack([xs, ys + thick], 1)[::-1]])


def _crowd(random: np.random.Generator, number: int, image: int, category: int, width: int, height: int) -> str:
    """A few columns of stripes as an uncompressed run-length code."""
    columns = 40 + int(60 * random.random())
    left = int(random.random() * (width - columns - 1))
    top, long = 10 + int(random.random() * 100), 60
    runs = [left * height + top] + [long, height - long] * (columns - 1) + [long]
    runs.append(width * height - sum(runs))
    box = [left, top, columns, long]
    return (
        f'{{"segmentation": {{"counts": {runs}, "size": [{height}, {width}]}}, "area": {columns * long}, "iscrowd": 1, '
        f'"image_id": {image}, "bbox": {box}, "category_id": {category}, "id": {number}}}'
    )


def measure(code: str, path: Path) -> dict[str, Any]:
    """Run a program; seconds, and the peak memory of it and its children in megabytes."""
    used, started = _processor_seconds(), time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    watch = _Watch(process.pid)
    watch.start()
    output = process.communicate()[0].strip().splitlines()
    seconds = time.perf_counter() - started
    watch.ended.set()
    watch.join()
    if process.returncode:
        raise SystemExit(f"it ended with {process.returncode}")
    cpu = _processor_seconds() - used
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "pss_mb": watch.pss / 1024,
        "rss_mb": watch.rss / 1024,
        "said": output[-1],
    }


def _processor_seconds() -> float:
    """What ended children have used of the processor: on a machine that others use too it says more than the clock."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class _Watch(threading.Thread):
    """Looks every 50 ms at how much memory a process and its children have (Linux)."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.ended = threading.Event()
        self.pss = self.rss = 0

    def run(self) -> None:
        while not self.ended.wait(0.05):
            found = [_memory(pid) for pid in _tree(self.pid)]
            self.rss = max(self.rss, sum(each[0] for each in found))
            self.pss = max(self.pss, sum(each[1] for each in found))


def _tree(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(each for child in children for each in _tree(int(child)))]


def _memory(pid: int) -> tuple[int, int]:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0, 0
    found = {line.split()[0]: int(line.split()[1]) for line in lines[1:]}
    return found.get("Rss:", 0), found.get("Pss:", 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=118_000)
    parser.add_argument("--annotations", type=int, default=860_000)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--file", type=Path, help="Keep the drawn file here, and take it from here.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.file or Path(folder) / "instances_train2017.json"
        if not path.exists():
            generate(path, options.images, options.annotations)
        path.read_bytes()  # both find it in memory
        runs: dict[str, list[dict[str, Any]]] = {"pycocotools": [], "seg2knet": []}
        for _ in range(options.repeat):
            runs["pycocotools"].append(measure(PYCOCOTOOLS, path))
            runs["seg2knet"].append(measure(VALIDATE, path))
        megabytes = path.stat().st_size / 1e6
    best = {name: {key: min(run[key] for run in each) for key in KEYS} for name, each in runs.items()}
    ratios = {key: best["seg2knet"][key] / best["pycocotools"][key] for key in KEYS}
    report = {
        "file_mb": round(megabytes),
        **{name: {key: round(value, 2) for key, value in each.items()} for name, each in best.items()},
        "findings": runs["seg2knet"][0]["said"].split()[0],
        "ratio": {key: round(value, 3) for key, value in ratios.items()},
        "limit": 0.5,
    }
    print(json.dumps(report, indent=2))
    return int(max(ratios["seconds"], ratios["pss_mb"]) > 0.5)


if __name__ == "__main__":
    sys.exit(main())
