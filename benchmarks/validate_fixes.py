"""How long ``seg2knet validate`` and its fixes take where every annotation has one thing wrong.

    python benchmarks/validate_fixes.py                                 # 6,000 annotations, each planted defect
    python benchmarks/validate_fixes.py --annotations 600 --only CI025  # some of them
    python benchmarks/validate_fixes.py --keep DIR                      # and what the fixes made, to compare versions

Each defect of ``tests/validators/planted`` that is one annotation's is planted into every annotation of a drawn file,
one annotation an image, without image files. Printed is the processor time (user and system) of the command, in one
process and with what starting takes, as a multiple of that of ``validate`` on the same file without the defect.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

sys.path[:0] = [str(Path(__file__).parents[1] / "tests" / "validators" / name) for name in ("", "planted")]

from coco_cases import COCO  # noqa: E402
from shapes_set import CIRCLE, ELL, HEIGHT, WIDTH, circle, data, folder_set, official  # noqa: E402

from seg2knet.cli import main  # noqa: E402
from seg2knet.validators import engine  # noqa: E402

COMMAND = ["validate", "--jobs", "1"]
Content = dict[str, Any]


class Defect(NamedTuple):
    """A file without a defect, and the same with it in each annotation."""

    code: str
    name: str
    fix: str
    clean: Content
    broken: Content


def file_of(groups: list[list[Content]], categories: Any = None) -> Content:
    """A file with a group of annotations on each image, and a clean image's objects, so that not all are alike."""
    content = data(1)
    groups = [*groups, content["annotations"]]
    size = {"width": WIDTH, "height": HEIGHT}
    images = [{"id": number, "file_name": f"{number:06d}.jpg", **size} for number in range(1, len(groups) + 1)]
    entries = [_on(entry, number) for number, group in enumerate(groups, 1) for entry in group]
    for row, entry in enumerate(entries, 1):
        if entry.get("id") == "own":
            entry["id"] = row
    return {**content, "images": images, "annotations": entries, "categories": categories or content["categories"]}


def _on(entry: Content, number: int) -> Content:
    """An annotation of the first image on another one; a reference to no image stays one."""
    image = entry.get("image_id")
    if type(image) is int:
        return {**entry, "image_id": number if image == 1 else 10**6 + number}
    return {**entry, "image_id": str(number)} if image == "1" else dict(entry)


def defects(count: int) -> Iterator[Defect]:
    for case in COCO:
        before = data(3)["annotations"]
        with tempfile.TemporaryDirectory() as folder:
            train = folder_set(Path(folder))
            case.plant(Path(folder))
            try:
                content = json.loads(train.read_text("utf-8"))
                after, categories = content["annotations"], content["categories"]
            except (ValueError, KeyError, TypeError):
                continue
        if (
            len(after) < len(before)
            or not all(isinstance(entry, dict) for entry in after)
            or "ids are" in case.name
            or case.name == "image_id true"
        ):
            continue
        rows = [row for row, (old, new) in enumerate(zip(before, after)) if json.dumps(old) != json.dumps(new)]
        twins = after[len(before) :]
        for old, new in zip(before, after):
            if new.get("id") == old["id"]:
                new["id"] = "own"
        for entry in (*before, *twins):
            entry["id"] = "own"
        if len(rows) == 1 and not twins:
            pair = [[before[rows[0]]]] * count, [[after[rows[0]]]] * count
        elif len(twins) == 1 and not rows:
            other = {**before[CIRCLE], "category_id": 3}
            pair = [[before[ELL], other]] * (count // 2), [[after[ELL], twins[0]]] * (count // 2)
        elif len(rows) > 6:
            pair = [[before[ELL]]] * count, [[after[ELL]]] * count
        else:
            continue
        yield Defect(case.code, case.name, case.fix, file_of(pair[0]), file_of(pair[1], categories))
    yield from piled(count)


def piled(count: int) -> Iterator[Defect]:
    """Objects of one class on eight images, all over one another; without defect on as many images as there are."""
    chance = random.Random(0)
    template = {**data(1)["annotations"][CIRCLE], "id": "own"}
    around = [(30 + 3 * chance.random(), 30 + 3 * chance.random(), 20 + 3 * chance.random()) for _ in range(count)]
    entries = [{**template, **official([circle(*each)])} for each in around]
    clean = file_of([[entry] for entry in entries])
    for name, classes in (("objects on one another", 1), ("objects on one another, of many classes", 3)):
        own = [{**entry, "category_id": row // 8 % classes + 1} for row, entry in enumerate(entries)]
        yield Defect("CI041", name, "unsafe", clean, file_of([own[start::8] for start in range(8)]))


def start() -> float:
    """Processor time of a command on a file of one image. This process has loaded then what the command loads."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "instances.json")
        path.write_text(json.dumps(file_of([])))
        code = "import sys; from seg2knet.validators import engine; engine.validate(sys.argv[1], jobs=1)"
        process = subprocess.Popen([sys.executable, "-c", code, str(path)])
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        for defect in defects(2):
            if defect.code in ("CI025", "CI034"):
                path.write_text(json.dumps(defect.broken))
                engine.validate(path, fix="unsafe", jobs=1)
    return usage.ru_utime + usage.ru_stime


def seconds(path: Path, *options: str) -> float:
    """Processor time of the command without what starting takes: a copy of this process runs it."""
    child = os.fork()
    if not child:
        sys.argv = ["seg2knet", *COMMAND, str(path), *options]
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            main()
        except SystemExit as end:
            os._exit(end.code if isinstance(end.code, int) else 3)
        finally:
            os._exit(3)
    _, status, usage = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 1), f"{path}: {options}: exit {code}"
    return usage.ru_utime + usage.ru_stime


def run() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--annotations", type=int, default=6000)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=(), help="codes of rules")
    parser.add_argument("--keep", type=Path, help="a folder for the fixed files")
    options = parser.parse_args()
    started = start()
    print(f"starting: {started:.2f} s\n\n| rule | every annotation has | fix | clean, s | validate | with the fix |")
    print("|---|---|---|---|---|---|")
    for defect in defects(options.annotations):
        if options.only and defect.code not in options.only:
            continue
        ways = {"clean": (defect.clean, ()), "validate": (defect.broken, ()), "safe": (defect.broken, ("--fix",))}
        ways["unsafe"] = (defect.broken, ("--fix", "--unsafe-fixes"))
        ways = {how: way for how, way in ways.items() if how in ("clean", "validate", defect.fix)}
        times: dict[str, list[float]] = {how: [] for how in ways}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "instances.json")
            for _ in range(options.repeat):
                for how, (content, more) in ways.items():
                    path.write_text(json.dumps(content, ensure_ascii=False), "utf-8")
                    times[how].append(started + seconds(path, *more))
            if options.keep and defect.fix:
                options.keep.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, options.keep / f"{defect.code} {defect.name}.json".replace("/", "-"))
        clean, *others = map(statistics.median, times.values())
        ratios = " | ".join(f"{other / clean:.2f}" for other in others)
        print(f"| {defect.code} | {defect.name} | {defect.fix} | {clean:.2f} | {ratios} |", flush=True)


if __name__ == "__main__":
    run()
