"""Small sets by Hypothesis, written as each tool writes them, read back: the same classes and the same pixels."""

from __future__ import annotations

import base64
import json
import tempfile
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import labels, mask, masks, picture, read
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image as pillow

from seg2knet.converters.registry import reader
from seg2knet.dataset import geometry
from seg2knet.dataset.rle import mask_to_rle, rle_to_mask

WIDTH, HEIGHT = 20, 10
CLASSES = ("cat", "dog é", "a-b c")
Ring = list[tuple[float, float]]
Objects = list[tuple[str, Any]]
"""Class, and a ring or a ``(HEIGHT, WIDTH)`` bool mask."""

coordinates = st.tuples(st.integers(0, 4 * WIDTH), st.integers(0, 4 * HEIGHT)).map(lambda at: (at[0] / 4, at[1] / 4))
rings = st.lists(coordinates, min_size=3, max_size=6)
bitmaps = arrays.arrays(bool, (HEIGHT, WIDTH)).filter(np.any)


def sets(shapes: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Objects]]:
    """The objects of one to three images."""
    objects = st.lists(st.tuples(st.sampled_from(CLASSES), shapes), min_size=1, max_size=4)
    return st.lists(objects, min_size=1, max_size=3)


def pixels(shape: Any) -> np.ndarray:
    if isinstance(shape, np.ndarray):
        return shape
    return rle_to_mask(geometry.polygons_to_rle([[number for point in shape for number in point]], HEIGHT, WIDTH))


def png(bitmap: np.ndarray) -> bytes:
    out = BytesIO()
    pillow.fromarray(bitmap.astype(np.uint8) * 255).save(out, format="PNG")
    return out.getvalue()


def via(root: Path, images: dict[str, Objects]) -> None:
    def region(label: str, ring: Ring) -> dict[str, Any]:
        xs, ys = zip(*ring)
        shape = {"name": "polygon", "all_points_x": xs, "all_points_y": ys}
        return {"shape_attributes": shape, "region_attributes": {"class": label}}

    entries = {f"{name}9": {"filename": name, "size": 9, "regions": [region(*one) for one in objects]}
               for name, objects in images.items()}  # fmt: skip
    (root / "via_region_data.json").write_text(json.dumps(entries))


def labelstudio(root: Path, images: dict[str, Objects]) -> None:
    def item(number: int, label: str, ring: Ring) -> dict[str, Any]:
        points = [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in ring]
        value = {"points": points, "closed": True, "polygonlabels": [label]}
        return {"id": f"r{number}", "type": "polygonlabels", "value": value, "original_width": WIDTH,
                "original_height": HEIGHT}  # fmt: skip

    tasks = []
    for number, (name, objects) in enumerate(images.items()):
        results = [item(index, *one) for index, one in enumerate(objects)]
        data = {"image": f"/data/upload/1/0a1b2c3d-{name}"}
        tasks.append({"id": number, "data": data, "annotations": [{"id": number, "result": results}]})
    (root / "project.json").write_text(json.dumps(tasks))


def supervisely(root: Path, images: dict[str, Objects]) -> None:
    (root / "meta.json").write_text(json.dumps({"classes": [{"title": name} for name in CLASSES]}))
    (root / "set" / "ann").mkdir(parents=True)
    for name, objects in images.items():
        entries: list[dict[str, Any]] = []
        for label, shape in objects:
            entry: dict[str, Any] = {"classTitle": label, "geometryType": "polygon"}
            if isinstance(shape, np.ndarray):
                code = base64.b64encode(zlib.compress(png(shape))).decode()
                entry.update(geometryType="bitmap", bitmap={"data": code, "origin": [0, 0]})
            else:
                entry["points"] = {"exterior": shape, "interior": []}
            entries.append(entry)
        document = {"size": {"height": HEIGHT, "width": WIDTH}, "objects": entries}
        (root / "set" / "ann" / f"{name}.json").write_text(json.dumps(document))


def labelbox(root: Path, images: dict[str, Objects]) -> None:
    rows = []
    for number, (name, objects) in enumerate(images.items()):
        found = [{"feature_id": f"f{number}-{index}", "name": label, "polygon": [{"x": x, "y": y} for x, y in ring]}
                 for index, (label, ring) in enumerate(objects)]  # fmt: skip
        project = {"name": "p", "labels": [{"annotations": {"objects": found}}]}
        row = {"data_row": {"id": str(number), "external_id": name}, "projects": {"p1": project},
               "media_attributes": {"width": WIDTH, "height": HEIGHT}}  # fmt: skip
        rows.append(json.dumps(row))
    (root / "export.ndjson").write_text("\n".join(rows))


def darwin(root: Path, images: dict[str, Objects]) -> None:
    for name, objects in images.items():
        item = {"name": name, "path": "/", "slots": [{"type": "image", "slot_name": "0", "width": WIDTH,
                "height": HEIGHT, "source_files": [{"file_name": name}]}]}  # fmt: skip
        entries = [
            {"id": str(index), "name": label, "polygon": {"paths": [[{"x": x, "y": y} for x, y in ring]]}}
            for index, (label, ring) in enumerate(objects)
        ]
        document = {"version": "2.0", "item": item, "annotations": entries}
        (root / f"{name}.json").write_text(json.dumps(document))


def isat(root: Path, images: dict[str, Objects]) -> None:
    for name, objects in images.items():
        entries = [{"category": label, "group": number, "segmentation": ring, "layer": float(number), "iscrowd": False,
                    "note": ""} for number, (label, ring) in enumerate(objects, 1)]  # fmt: skip
        info = {"description": "ISAT", "name": name, "width": WIDTH, "height": HEIGHT}
        (root / name).with_suffix(".json").write_text(json.dumps({"info": info, "objects": entries}))


def sa1b(root: Path, images: dict[str, Objects]) -> None:
    for name, objects in images.items():
        codes = [{"size": [HEIGHT, WIDTH], "counts": mask_to_rle(shape).counts.decode()} for _, shape in objects]
        entries = [{"id": number, "segmentation": code} for number, code in enumerate(codes)]
        image = {"file_name": name, "width": WIDTH, "height": HEIGHT}
        (root / name).with_suffix(".json").write_text(json.dumps({"image": image, "annotations": entries}))


def openimages(root: Path, images: dict[str, Objects]) -> None:
    rows = ["MaskPath,ImageID,LabelName"]
    for name, objects in images.items():
        for number, (label, shape) in enumerate(objects):
            path = f"{Path(name).stem}_{number}.png"
            mask(root / "masks" / path, shape)
            rows.append(f"{path},{Path(name).stem},/m/{CLASSES.index(label)}")
    (root / "annotations-object-segmentation.csv").write_text("\n".join(rows) + "\n")
    names = [f"/m/{number},{name}" for number, name in enumerate(CLASSES)]
    (root / "class-descriptions.csv").write_text("\n".join(names) + "\n")


def lvis(root: Path, images: dict[str, Objects]) -> None:
    rows, annotations = [], []
    for number, (name, objects) in enumerate(images.items()):
        url = f"http://images.cocodataset.org/train2017/{name}"
        rows.append({"id": number, "coco_url": url, "width": WIDTH, "height": HEIGHT, "neg_category_ids": [2]})
        for label, ring in objects:
            segmentation = [[value for point in ring for value in point]]
            annotations.append({"id": len(annotations), "image_id": number, "category_id": CLASSES.index(label) + 1,
                                "segmentation": segmentation})  # fmt: skip
    categories = [{"id": index, "name": name, "synset": f"{name}.n.01", "frequency": "c"}
                  for index, name in enumerate(CLASSES, 1)]  # fmt: skip
    document = {"images": rows, "annotations": annotations, "categories": categories}
    (root / "lvis_v1_train.json").write_text(json.dumps(document))


FORMATS: list[tuple[Callable[[Path, dict[str, Objects]], None], str, Any]] = [
    (via, "via", rings),
    (labelstudio, "labelstudio", rings),
    (supervisely, "supervisely", rings | bitmaps),
    (labelbox, "labelbox", rings),
    (darwin, "darwin", rings),
    (isat, "isat", rings),
    (sa1b, "sa1b", bitmaps),
    (openimages, "openimages", bitmaps),
    (lvis, "coco", rings),
]


@pytest.mark.parametrize(("write", "format", "shapes"), FORMATS, ids=[write.__name__ for write, _, _ in FORMATS])
def test_what_the_tool_wrote_is_what_is_read(write: Callable[..., None], format: str, shapes: Any) -> None:
    @settings(max_examples=12, deadline=None)
    @given(sets(shapes))
    def round_trip(objects: list[Objects]) -> None:
        images = {f"im{number}.jpg": found for number, found in enumerate(objects)}
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            write(root, images)
            for name in images:
                below = {"supervisely": "set/img"}.get(format, "")
                picture(root / below / name, WIDTH, HEIGHT)
            samples = {name.rpartition(":")[2]: sample for name, sample in read(reader(format)(root)).items()}
            assert {Path(name).name for name in samples} == images.keys()
            for name, sample in samples.items():
                expected = images[Path(name).name]
                assert not sample.skips
                if format != "sa1b":
                    assert labels(sample) == [label for label, _ in expected]
                assert [(drawn == pixels(shape)).all() for drawn, (_, shape) in zip(masks(sample), expected)] == [
                    True
                ] * len(expected)

    round_trip()
