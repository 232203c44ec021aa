"""IM rules on images on disk, beside reading the headers of the same images, in one run.

    python benchmarks/validate_images.py [--images 5000] [--folder DIR]

Prints, as JSON, seconds and ratios: reading every header with Pillow (``Image.open(path).size``, what a script would
do) and with ``seg2knet.dataset.images.probe``; all IM rules the first time and the second time, with the annotation
file already read. The page cache is warm for these, which is the hardest case for what is remembered: nothing waits
for a disk. ``cold_first`` and ``cold_second`` are the same two runs, each begun with an empty page cache, as on another
day; they are left out where the page cache cannot be emptied (that takes root on Linux).
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
DROP = Path("/proc/sys/vm/drop_caches")


def draw(folder: Path, count: int) -> Path:
    """A COCO folder with ``count`` JPEG images of noise, 200 to 500 pixels wide."""
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

    paths = sorted(str(path) for path in (folder / "val2017").iterdir())
    return {
        "headers_pillow": seconds(lambda: [Image.open(path).size for path in paths]),
        "headers_probe": seconds(lambda: [probe(path) for path in paths]),
        **rules_twice(folder, cache),
    }


def rules_twice(folder: Path, cache: Path, cold: bool = False) -> dict[str, float]:
    """Seconds of the rules with nothing remembered, and again."""
    from seg2knet.validators.engine import check, choose
    from seg2knet.validators.subjects.data import find

    rules = choose(["IM"])
    shutil.rmtree(cache, ignore_errors=True)
    found = {}
    for name in ("first", "second"):
        dataset = find(folder, jobs=2)
        if cold:
            empty_page_cache()
        start = time.perf_counter()
        findings = check(dataset, rules)
        found[f"cold_{name}" if cold else name] = time.perf_counter() - start
        if findings:
            raise SystemExit(f"the set should be clean: {findings[0]}")
    return found


def empty_page_cache() -> bool:
    """Let the system forget what it read of its disks; whether it did."""
    if not os.access(DROP, os.W_OK):
        return False
    os.sync()
    try:
        DROP.write_text("3")
    except OSError:
        return False
    return True


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--folder", type=Path, help="Keep the images there and use them again.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(scratch, "cache")
        os.environ["XDG_CACHE_HOME"] = str(cache)
        folder = options.folder or Path(scratch, "set")
        if not folder.is_dir():
            draw(folder, options.images)
        measure(folder, cache)  # the page cache, and Python's imports
        middle = medians([measure(folder, cache) for _ in range(REPEATS)])
        if empty_page_cache():
            middle.update(medians([rules_twice(folder, cache, cold=True) for _ in range(REPEATS)]))
    ratios = {
        "first / headers_pillow": middle["first"] / middle["headers_pillow"],
        "first / headers_probe": middle["first"] / middle["headers_probe"],
        "second / first": middle["second"] / middle["first"],
        "second / headers_pillow": middle["second"] / middle["headers_pillow"],
    }
    if "cold_first" in middle:
        ratios["cold_second / cold_first"] = middle["cold_second"] / middle["cold_first"]
    print(json.dumps({"images": options.images, "seconds": middle, "ratios": ratios}, indent=2))


if __name__ == "__main__":
    main()
