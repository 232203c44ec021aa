"""IM rules on pictures on disk, beside reading the headers of the same pictures, in one run.

    python benchmarks/validate_pictures.py [--images 5000] [--folder DIR]

Prints, as JSON, seconds and ratios: reading every header with Pillow (``Image.open(path).size``, what a script would
do) and with ``seg2knet.dataset.images.probe``; all IM rules the first time and the second time, with the annotation
file already read. The page cache is warm throughout, which is the hardest case for what is remembered: nothing waits
for a disk.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

import numpy as np

REPEATS = 5


def draw(folder: Path, count: int) -> Path:
    """A COCO folder with ``count`` JPEG pictures of noise, 200 to 500 pixels wide."""
    from PIL import Image

    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (480, 640, 3), dtype=np.uint8)
    pictures = folder / "val2017"
    pictures.mkdir(parents=True)
    (folder / "annotations").mkdir()
    images = []
    for index in range(count):
        width, height = (int(side) for side in rng.integers(200, 500, 2) * (1, 0.8))
        left, top = int(rng.integers(0, 640 - width)), int(rng.integers(0, 480 - height))
        name = f"{index:012}.jpg"
        Image.fromarray(noise[top : top + height, left : left + width]).save(pictures / name, quality=70)
        images.append({"id": index + 1, "file_name": name, "width": width, "height": height})
    data: dict[str, Any] = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "noise"}]}
    (folder / "annotations" / "instances_val2017.json").write_text(json.dumps(data))
    return folder


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(folder: Path, cache: Path) -> dict[str, float]:
    """Seconds of one round."""
    from PIL import Image

    from seg2knet.dataset.images import probe
    from seg2knet.validators.discovery import find
    from seg2knet.validators.engine import check, choose

    paths = sorted(str(path) for path in (folder / "val2017").iterdir())
    rules = choose(["IM"])
    shutil.rmtree(cache, ignore_errors=True)
    found: dict[str, float] = {
        "headers_pillow": seconds(lambda: [Image.open(path).size for path in paths]),
        "headers_probe": seconds(lambda: [probe(path) for path in paths]),
    }
    for name in ("first", "second"):
        dataset = find(folder, jobs=2)
        start = time.perf_counter()
        findings = check(dataset, rules)
        found[name] = time.perf_counter() - start
        if findings:
            raise SystemExit(f"the set should be clean: {findings[0]}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--folder", type=Path, help="Keep the pictures there and use them again.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(scratch, "cache")
        os.environ["XDG_CACHE_HOME"] = str(cache)
        folder = options.folder or Path(scratch, "set")
        if not folder.is_dir():
            draw(folder, options.images)
        measure(folder, cache)  # the page cache, and Python's imports
        rounds = [measure(folder, cache) for _ in range(REPEATS)]
    middle = {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
    ratios = {
        "first / headers_pillow": middle["first"] / middle["headers_pillow"],
        "first / headers_probe": middle["first"] / middle["headers_probe"],
        "second / first": middle["second"] / middle["first"],
        "second / headers_pillow": middle["second"] / middle["headers_pillow"],
    }
    print(json.dumps({"images": options.images, "seconds": middle, "ratios": ratios}, indent=2))


if __name__ == "__main__":
    main()
