"""Fuzz the readers: sound sources, damaged at random, must give samples or an error of ours, and nothing else.

    python benchmarks/fuzz.py                          # every reader for a minute of processor time
    python benchmarks/fuzz.py --seconds 600 voc cvat   # those two, ten minutes each
    python benchmarks/fuzz.py --replay cvat 123456     # one case again, with its traceback

Runs in child processes with limits of memory and time, so that a crash of the interpreter, a hang and a file that
grows in memory are findings like any exception. Exits 1 if there is one.
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from seg2knet.converters.base import Reader
from seg2knet.converters.registry import readers
from seg2knet.dataset import geometry
from seg2knet.dataset.rle import mask_to_rle
from seg2knet.errors import Seg2KNetError

BATCH = 500
MEMORY = 4 << 30
PATIENCE = 20
FRAMES = 50
"""Images of a case that are read."""

TEXT = (".xml", ".txt", ".yaml", ".csv", ".ndjson")
"""Cases a child process tries, bytes it may take, seconds it may spend on one."""

TOKENS = [
    "{}", "[]", '""', '"', "'", "<", ">", "&", "&amp;", "]]>", "<!--", "<!DOCTYPE a>", "\0", "\t", "\r\n", "\\", "%s",
    "-", ":", ",", ";", "!!python/object", "*a", "&a ", "? ", "\ud7ff",
]  # fmt: skip
"""What breaks a file's grammar."""

VALUES = [
    "NaN", "nan", "Infinity", "-inf", "1e999", "1e308", "-1", "0", "-0.0", "1", "2", "255", "65536", "4294967296",
    "1e-320", "9223372036854775808", "-9223372036854775809", "9" * 40, "null", "true", "../..", "/", "C:", "é",
    "🚗", "", " ", "a b",
]  # fmt: skip
"""What stands where a number or a word stood."""

PLAIN: list[Any] = [
    None, True, False, 0, -1, 1, 2, 255, 1 << 31, 1 << 63, 10**40, 0.5, 1e308, -1e308, 1e-320, "", "a", "1", "../x",
    "\0", "é", [], {}, [[]], [1, 2], [1, 2, 3, 4, 5, 6], {"a": 1}, ["a"], [None], [[1, 1, 2, 2]],
    [[1e300, 1, 1, 9, 9, 9]],
]  # fmt: skip
"""What stands where any part of a JSON document stood."""


def drawn(path: Path, width: int = 24, height: int = 16) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width, 3), 99, np.uint8))


def numbers(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), array)


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def labels() -> np.ndarray:
    array = np.zeros((16, 24), np.uint8)
    array[2:9, 3:10], array[8:14, 9:20], array[2, 2:20] = 1, 2, 255
    return array


def labelme(root: Path) -> None:
    kinds = {
        "polygon": [[1, 1], [9, 1], [9, 9]],
        "rectangle": [[2, 2], [9, 9]],
        "circle": [[8, 8], [8, 11]],
        "line": [[1, 1], [2, 2]],
    }
    png = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACAQAAAABazTCJAAAADElEQVR4nGNoYGgAAAGEAIEJHh8NAAAAAElFTkSuQmCC"
    shapes: list[dict[str, Any]] = [
        {"label": "car", "points": points, "shape_type": kind, "group_id": 1, "flags": {}}
        for kind, points in kinds.items()
    ]
    shapes.append({"label": "car", "points": [[3, 3], [4, 4]], "shape_type": "mask", "mask": png, "group_id": None})
    drawn(root / "a.jpg")
    document = {
        "version": "5.5.0",
        "shapes": shapes,
        "imagePath": "a.jpg",
        "imageData": None,
        "imageHeight": 16,
        "imageWidth": 24,
    }
    text(root / "a.json", json.dumps(document))


def coco(root: Path) -> None:
    drawn(root / "images/a.jpg")
    drawn(root / "images/b.jpg")
    counts = mask_to_rle(labels() == 1).counts.decode()
    shapes: list[Any] = [
        [[1, 1, 9, 1, 9, 9]], {"size": [16, 24], "counts": [100, 50, 234]}, {"size": [16, 24], "counts": counts}, [],
    ]  # fmt: skip
    annotations = [
        {
            "id": i,
            "image_id": 1 + i % 2,
            "category_id": 1,
            "segmentation": shape,
            "area": 32,
            "bbox": [1, 1, 8, 8],
            "iscrowd": 0,
        }
        for i, shape in enumerate(shapes, 1)
    ]
    images = [{"id": i, "file_name": f"{name}.jpg", "width": 24, "height": 16} for i, name in ((1, "a"), (2, "b"))]
    document = {"info": {}, "images": images, "annotations": annotations, "categories": [{"id": 1, "name": "car"}]}
    text(root / "annotations.json", json.dumps(document))


def voc(root: Path) -> None:
    drawn(root / "JPEGImages/a.jpg")
    numbers(root / "SegmentationClass/a.png", labels())
    numbers(root / "SegmentationObject/a.png", labels())
    box = "<bndbox><xmin>4</xmin><ymin>3</ymin><xmax>10</xmax><ymax>9</ymax></bndbox>"
    text(
        root / "Annotations/a.xml",
        "<annotation><filename>a.jpg</filename><size><width>24</width><height>16</height></size>"
        f"<object><name>car</name><difficult>1</difficult>{box}</object></annotation>",
    )
    text(root / "labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:128,0,0::\nvan:0,128,0::\n")
    text(root / "ImageSets/Segmentation/train.txt", "# list\na\n")


def voc_boxes(root: Path) -> None:
    voc(root)
    shutil.rmtree(root / "SegmentationClass")


def cvat(root: Path) -> None:
    drawn(root / "images/a.jpg")
    shapes = (
        '<polygon label="car" points="1,1;9,1;9,9" z_order="1" group_id="2"><attribute name="x">true</attribute>'
        '</polygon><box label="car" xtl="1" ytl="2" xbr="8" ybr="9" rotation="30"/>'
        '<ellipse label="van" cx="9" cy="8" rx="4" ry="3"/>'
        '<mask label="van" rle="1, 3, 1, 1" left="4" top="2" width="3" height="2"/><points label="p" points="1,1"/>'
    )
    text(
        root / "annotations.xml",
        '<?xml version="1.0" encoding="utf-8"?><annotations><meta><task><id>1</id><labels><label><name>car</name>'
        '</label></labels></task></meta><image id="0" name="a.jpg" subset="Train" width="24" height="16">'
        f"{shapes}</image></annotations>",
    )


def cvat_video(root: Path) -> None:
    polygon = '<polygon frame="{}" outside="{}" keyframe="1" points="1,1;9,1;9,{}"></polygon>'
    frames = polygon.format(0, 0, 9) + polygon.format(3, 0, 12) + polygon.format(5, 1, 12)
    size = "<original_size><width>24</width><height>16</height></original_size>"
    text(
        root / "annotations.xml",
        f"<annotations><meta><task><id>1</id>{size}<frame_filter>step=1</frame_filter></task></meta>"
        f'<track id="0" label="car" group_id="1">{frames}</track></annotations>',
    )


def yolo(root: Path) -> None:
    drawn(root / "images/train/a.jpg")
    bridged = "0.1 0.1 0.3 0.1 0.3 0.5 0.1 0.1 0.6 0.1 0.8 0.1 0.8 0.5 0.6 0.1"
    text(root / "labels/train/a.txt", f"0 0.1 0.1 0.9 0.1 0.9 0.9\n1 0.5 0.5 0.2 0.2\n0 {bridged}\n")
    text(root / "data.yaml", "path: .\ntrain: images/train\nval: images/train\nnames:\n  0: car\n  1: van\n")


def masks(root: Path) -> None:
    drawn(root / "images/a.jpg")
    numbers(root / "masks/a.png", labels())
    text(root / "labelmap.csv", "name,r,g,b\nbackground,0,0,0\ncar,1,1,1\nvan,2,2,2\n")


def masks_deep(root: Path) -> None:
    drawn(root / "images/a.jpg")
    numbers(root / "instances/a.png", labels().astype(np.uint16) % 255 * 1000 + 1)
    meta = {
        "label_map": {"0": "void", "1": "car"},
        "segmentation_colors": [[0, 0, 0], [9, 9, 9]],
        "background_label": "0",
    }
    text(root / "dataset_meta.json", json.dumps(meta))
    text(root / "train.txt", "a\n")


def ade(root: Path) -> None:
    drawn(root / "images/training/a.jpg")
    numbers(root / "annotations/training/a.png", labels())
    text(
        root / "objectInfo150.txt",
        "Idx\tRatio\tTrain\tVal\tName\n1\t0.1\t1\t0\twall\n2\t0.1\t1\t0\tbuilding, edifice\n",
    )


SQUARE = [[1, 1], [9, 1], [9, 7], [1, 7]]
RINGS = [[{"x": x, "y": y} for x, y in SQUARE], [{"x": x + 2, "y": y + 2} for x, y in SQUARE]]


def written(name: str, content: Any, image: str = "a.jpg") -> Callable[[Path], None]:
    """A source of one JSON file and an image."""

    def make(root: Path) -> None:
        drawn(root / image)
        lines = content if isinstance(content, str) else json.dumps(content)
        text(root / name, lines)

    return make


def via() -> Any:
    shapes = [
        {"name": "polygon", "all_points_x": [1, 9, 9], "all_points_y": [1, 1, 7]},
        {"name": "ellipse", "cx": 9, "cy": 8, "rx": 4, "ry": 2, "theta": 0.5},
        {"name": "rect", "x": 1, "y": 2, "width": 5, "height": 6},
    ]
    regions = [{"shape_attributes": shape, "region_attributes": {"kind": "car"}} for shape in shapes]
    return {"a.jpg1": {"filename": "a.jpg", "size": 1, "regions": regions}}


def labelstudio() -> Any:
    stroke = [0, 0, 6, 0, 57, 27, 255, 229, 255, 255, 224, 0, 0, 0]
    values = [
        ("polygonlabels", {"points": SQUARE, "closed": True}),
        ("rectanglelabels", {"x": 10, "y": 10, "width": 20, "height": 30, "rotation": 20}),
        ("ellipselabels", {"x": 50, "y": 50, "radiusX": 20, "radiusY": 10, "rotation": 5}),
        ("brushlabels", {"format": "rle", "rle": stroke}),
    ]
    size = {"original_width": 24, "original_height": 16}
    results = [{"id": kind, "type": kind, "value": {**value, kind: ["car"]}, **size} for kind, value in values]
    return [
        {"id": 1, "data": {"image": "/data/upload/1/abcdef01-a.jpg"}, "annotations": [{"id": 1, "result": results}]}
    ]


def supervisely(root: Path) -> None:
    drawn(root / "ds/img/a.jpg")
    png = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACAQAAAABazTCJAAAADElEQVR4nGNoYGgAAAGEAIEJHh8NAAAAAElFTkSuQmCC"
    objects = [
        {"classTitle": "car", "geometryType": "polygon", "points": {"exterior": SQUARE, "interior": [SQUARE]}},
        {"classTitle": "car", "geometryType": "bitmap", "bitmap": {"origin": [3, 4], "data": png}},
    ]
    text(root / "ds/ann/a.jpg.json", json.dumps({"size": {"width": 24, "height": 16}, "objects": objects}))
    text(root / "meta.json", json.dumps({"classes": [{"title": "car", "color": "#ff0000"}], "projectType": "images"}))


def labelbox() -> str:
    objects = [
        {"name": "car", "polygon": RINGS[0]},
        {"name": "car", "bounding_box": {"left": 1, "top": 2, "width": 3, "height": 4}},
        {"feature_id": "f", "name": "car", "mask": {"url": "https://host"}},
    ]
    project = {"labels": [{"annotations": {"objects": objects}}]}
    size = {"width": 24, "height": 16}
    return json.dumps({"data_row": {"external_id": "a.jpg"}, "media_attributes": size, "projects": {"p": project}})


def darwin() -> Any:
    item = {"name": "a.jpg", "path": "/", "slots": [{"slot_name": "0", "type": "image", "width": 24, "height": 16}]}
    layer = {"dense_rle": [0, 30, 1, 20, 0, 334], "mask_annotation_ids_mapping": {"m": 1}}
    annotations = [
        {"id": "p", "name": "car", "polygon": {"paths": RINGS}},
        {"id": "e", "name": "car", "ellipse": {"center": {"x": 9, "y": 8}, "radius": {"x": 4, "y": 2}, "angle": 1}},
        {"id": "r", "name": "__raster_layer__", "raster_layer": layer},
        {"id": "m", "name": "van", "mask": {}},
    ]
    return {"version": "2.0", "item": item, "annotations": annotations}


def isat() -> Any:
    objects = [{"category": "car", "group": 1, "segmentation": SQUARE, "layer": 1.0, "iscrowd": False, "note": "x"}] * 2
    return {"info": {"description": "ISAT", "name": "a.jpg", "width": 24, "height": 16}, "objects": objects}


def sa1b() -> Any:
    code = {"size": [16, 24], "counts": mask_to_rle(labels() == 1).counts.decode()}
    image = {"image_id": 1, "width": 24, "height": 16, "file_name": "a.jpg"}
    return {"image": image, "annotations": [{"id": 1, "segmentation": code, "bbox": [1, 1, 2, 2]}]}


def openimages(root: Path) -> None:
    drawn(root / "train/a.jpg")
    numbers(root / "masks/a_m1_0.png", (labels() == 1).astype(np.uint8))
    text(root / "class-descriptions.csv", "/m/1,Car\n/m/2,Van\n")
    text(root / "train-annotations-object-segmentation.csv", "MaskPath,ImageID,LabelName,BoxID\na_m1_0.png,a,/m/1,0\n")


SOURCES: dict[str, list[Callable[[Path], None]]] = {
    "labelme": [labelme],
    "coco": [coco],
    "voc": [voc, voc_boxes],
    "cvat": [cvat, cvat_video],
    "yolo": [yolo],
    "masks": [masks, masks_deep],
    "ade": [ade],
    "via": [written("via.json", via())],
    "labelstudio": [written("project.json", labelstudio())],
    "supervisely": [supervisely],
    "labelbox": [written("export.ndjson", labelbox())],
    "darwin": [written("a.json", darwin())],
    "isat": [written("a.json", isat())],
    "sa1b": [written("a.json", sa1b())],
    "openimages": [openimages],
}
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "yolo": [{}, {"boxes": "as-polygons", "unbridge": True}],
    "cvat": [{}, {"boxes": "as-polygons", "interpolate": True}],
    "voc": [{}, {"boxes": "as-polygons", "instances": "per-class"}],
    "coco": [{}, {"boxes": "as-polygons"}],
    "masks": [
        {},
        {"encoding": "colors"},
        {"encoding": "binary"},
        {"encoding": "class*1000+instance"},
        {"encoding": "object-files"},
        {"encoding": "instances"},
    ],
    "via": [{}, {"boxes": "as-polygons", "polylines": "as-polygons"}],
    "labelstudio": [{}, {"boxes": "as-polygons", "annotator": "all", "predictions": True}],
    "labelbox": [{}, {"boxes": "as-polygons", "label": 1}],
}


def damaged(path: Path, rng: random.Random) -> None:
    """Damage a file: its values, or its grammar."""
    data = path.read_bytes()
    if path.suffix == ".json" and rng.random() < 0.7:
        data = altered(data, rng)
    elif path.suffix in TEXT and rng.random() < 0.7:
        data = replaced(data, rng)
    else:
        data = broken(data, rng)
    path.write_bytes(data)


def altered(data: bytes, rng: random.Random) -> bytes:
    """A JSON document with parts replaced, left out or doubled."""
    try:
        document = json.loads(data)
    except ValueError:  # broken already
        return broken(data, rng)
    for _ in range(rng.choice((1, 1, 2, 4))):
        places = [(holder, key) for holder in holders(document) for key in keys(holder)]
        if not places:
            break
        holder, key = rng.choice(places)
        how = rng.randrange(6)
        if how == 0:
            del holder[key]
        elif how == 1 and isinstance(holder, list):
            holder.extend(copy.deepcopy(holder[key]) for _ in range(rng.choice((1, 2, 100))))
        elif how == 2:
            other, inner = rng.choice(places)
            holder[key] = json.loads(json.dumps(other[inner]))
        else:
            holder[key] = copy.deepcopy(rng.choice(PLAIN))
    return json.dumps(document, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")


def holders(document: Any) -> Iterator[Any]:
    """All objects and lists of a document."""
    if isinstance(document, (dict, list)):
        yield document
        for part in document.values() if isinstance(document, dict) else document:
            yield from holders(part)


def keys(holder: Any) -> list[Any]:
    return list(holder) if isinstance(holder, dict) else list(range(len(holder)))


def replaced(data: bytes, rng: random.Random) -> bytes:
    """Text with numbers and words replaced, so that its grammar stays."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        found = list(re.finditer(rb"-?\d+(\.\d+)?", data) if rng.random() < 0.7 else re.finditer(rb"[A-Za-z_]+", data))
        if found:
            match = rng.choice(found)
            data = data[: match.start()] + rng.choice(VALUES).encode() + data[match.end() :]
    return data


def broken(data: bytes, rng: random.Random) -> bytes:
    """Bytes with some changes: single ones, pieces cut, doubled or moved, tokens put in."""
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        size = len(data)
        start, end = sorted((rng.randint(0, size), rng.randint(0, size)))
        end = min(end, start + rng.choice((1, 4, 16, 64, 4096)))
        token = rng.choice(TOKENS).encode("utf-8", "surrogatepass")
        how = rng.randrange(6)
        if how == 0 and size:
            at = rng.randrange(size)
            data = data[:at] + bytes((data[at] ^ 1 << rng.randrange(8),)) + data[at + 1 :]
        elif how == 1:
            data = data[:start] + data[end:]
        elif how == 2:
            data = data[:end] + data[start:end] * rng.choice((1, 2, 50)) + data[end:]
        elif how == 3:
            data = data[:start] + token + data[end:]
        elif how == 4:
            data = data[:start]
        else:
            words = list(re.finditer(rb"[A-Za-z_]+", data))
            if words:
                one, two = rng.choice(words), rng.choice(words)
                data = data[: one.start()] + two[0] + data[one.end() :]
    return data


@cache
def known() -> dict[str, type[Reader]]:
    return readers()


@cache
def sound(make: Callable[[Path], None]) -> dict[str, bytes]:
    """A sound source, file by file."""
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def case(name: str, seed: int, root: Path) -> str:
    """Try one case; what came of it: ``read``, ``refused`` or ``skipped``."""
    rng = random.Random(f"{name}-{seed}")
    for relative, content in sound(rng.choice(SOURCES[name])).items():
        path = root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    annotations = [path for path in files if path.suffix != ".jpg"] or files
    for path in rng.sample(annotations, k=min(len(annotations), rng.choice((1, 1, 2)))):
        damaged(path, rng)
    if rng.random() < 0.1:
        damaged(rng.choice(files), rng)
    kind = known()[name]
    kind.sniff(root)
    reader = kind(root, kind.Options(**rng.choice(OPTIONS.get(name, [{}]))))
    skipped = 0
    try:
        scan = reader.scan()
        for handle in scan.handles[:FRAMES]:
            sample = reader.read(handle)
            skipped += len(sample.skips)
            image = sample.image
            if image.width * image.height < 1 << 22:
                for found in sample.objects:
                    geometry.measure(found.shape, image.height, image.width)
    except Seg2KNetError:
        return "refused"
    return "skipped" if skipped + len(scan.skips) else "read"


def batch(name: str, seeds: list[int], queue: Any) -> None:
    """Cases in a child process; each reports that it begins and what came of it."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    sys.stderr.flush()
    cv2.setLogLevel(0)
    for seed in seeds:
        queue.put(("begin", seed, ""))
        signal.setitimer(signal.ITIMER_PROF, PATIENCE)
        root = Path(tempfile.mkdtemp(prefix="fuzz-"))
        try:
            queue.put(("end", seed, case(name, seed, root / "source")))
        except Exception:  # the very thing that is looked for
            queue.put(("fault", seed, traceback.format_exc()))
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            shutil.rmtree(root, ignore_errors=True)


def spent() -> float:
    """Seconds of processor time of the children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def fuzz(name: str, seconds: float, seed: int) -> tuple[Counter[str], dict[str, tuple[int, str]]]:
    """Counts of what came of the cases, and the faults by their last line."""
    counts: Counter[str] = Counter()
    faults: dict[str, tuple[int, str]] = {}
    rng = random.Random(seed)
    known()  # once, before there are children
    context = multiprocessing.get_context("fork")
    until = spent() + seconds
    while spent() < until:
        queue = context.SimpleQueue()
        child = context.Process(target=batch, args=(name, [rng.randrange(1 << 40) for _ in range(BATCH)], queue))
        child.start()
        last = 0
        while child.is_alive() or not queue.empty():
            if queue.empty():
                time.sleep(0.005)
                continue
            what, case_seed, detail = queue.get()
            last = case_seed
            if what == "end":
                counts[detail] += 1
            elif what == "fault":
                counts["FAULT"] += 1
                faults.setdefault(detail.strip().splitlines()[-1][:200], (case_seed, detail))
        child.join()
        if child.exitcode != 0:
            counts["FAULT"] += 1
            said = "it took too long" if child.exitcode == -signal.SIGPROF else f"the process died ({child.exitcode})"
            faults.setdefault(said, (last, said))
    return counts, faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader", nargs="*", help=f"of {', '.join(SOURCES)}; all by default")
    parser.add_argument("--seconds", type=float, default=60, help="of processor time for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--replay", nargs=2, metavar=("READER", "SEED"), help="one case again")
    given = parser.parse_args()
    if given.replay:
        with tempfile.TemporaryDirectory() as folder:
            print(case(given.replay[0], int(given.replay[1]), Path(folder) / "source"))
        return 0
    failed = False
    for name in given.reader or SOURCES:
        counts, faults = fuzz(name, given.seconds, given.seed)
        print(
            f"{name}: {sum(counts.values()):,} cases, {', '.join(f'{n:,} {what}' for what, n in counts.most_common())}",
            flush=True,
        )
        for line, (seed, detail) in faults.items():
            failed = True
            print(f"  {line}\n    python benchmarks/fuzz.py --replay {name} {seed}\n{detail if detail != line else ''}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
