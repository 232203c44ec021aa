"""There and back: nothing changes on the way. Random data by Hypothesis."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import seg2knet
from seg2knet.dataset import geometry
from seg2knet.dataset.rle import areas_and_boxes, mask_to_rle, rle_to_mask
from seg2knet.dataset.sample import Rle

EXAMPLES = settings(max_examples=25, deadline=None)
SIZE = st.tuples(st.integers(1, 14), st.integers(1, 14))
names = st.text(alphabet=st.sampled_from("ab é日-._ "), min_size=1, max_size=6).map(lambda text: f"x{text.strip()}y")


@contextmanager
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp())
    try:
        yield path
    finally:
        shutil.rmtree(path)


CROWDS = {"reader_options": {"crowd": "keep"}}


def convert(format: str, source: Path, out: Path, to: str, **options: Any) -> Any:
    return seg2knet.convert(format, source, out=out, to=to, split="train", jobs=1, validate=False, **options)


def picture(path: Path, height: int, width: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(path.name.encode())
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    path.write_bytes(cv2.imencode(".jpg", pixels)[1].tobytes())


numbers = (
    st.integers(-3, 40) | st.floats(-3, 40, allow_nan=False).map(lambda number: round(number, 3)) | st.floats(0, 30)
)
outlines = st.lists(numbers, min_size=6, max_size=20).map(lambda flat: flat[: len(flat) // 2 * 2])
polygons = st.lists(outlines, min_size=1, max_size=3)


@st.composite
def coco_files(draw: st.DrawFn) -> dict[str, Any]:
    classes = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    ids = draw(st.lists(st.integers(0, 10**12), min_size=len(classes), max_size=len(classes), unique=True))
    images = [
        {"id": draw(st.integers(0, 10**6)) * 10 + index, "file_name": f"{draw(names)}{index}.jpg", "width": 30,
         "height": 20, "license": index}
        for index in range(draw(st.integers(1, 3)))
    ]  # fmt: skip
    annotations = []
    for index in range(draw(st.integers(0, 6))):
        if draw(st.booleans()):
            outline: Any = draw(polygons)
        else:
            mask = draw(arrays.arrays(bool, (20, 30)))
            outline = {"size": [20, 30], "counts": mask_to_rle(mask).counts.decode()}
        annotation = {
            "id": 100 - index,
            "image_id": draw(st.sampled_from(images))["id"],
            "category_id": draw(st.sampled_from(ids)),
            "segmentation": outline,
            "iscrowd": draw(st.integers(0, 1)),
            "attributes": {"n": index},
        }
        annotations.append(annotation)
    categories = [{"id": number, "name": name, "supercategory": "s"} for number, name in zip(ids, classes)]
    return {"info": {"v": 1}, "images": images, "annotations": annotations, "categories": categories}


def readable(document: dict[str, Any]) -> list[Any]:
    """Annotations without ids, in an order that conversion does not decide."""
    files = {image["id"]: image["file_name"] for image in document["images"]}
    classes = {category["id"]: category["name"] for category in document["categories"]}
    return sorted(
        json.dumps(
            [files[a["image_id"]], a["attributes"]["n"], classes[a["category_id"]], a["segmentation"], a["iscrowd"]]
        )
        for a in document["annotations"]
    )


def has_pixels(annotation: dict[str, Any]) -> bool:
    outline = annotation["segmentation"]
    rle = (
        geometry.polygons_to_rle(outline, 20, 30)
        if isinstance(outline, list)
        else Rle(outline["counts"].encode(), 20, 30)
    )
    return areas_and_boxes([rle])[0] != [0]


@EXAMPLES
@given(coco_files())
def test_coco_to_coco(document: dict[str, Any]) -> None:
    with folder() as root:
        for image in document["images"]:
            picture(root / "in" / "images" / image["file_name"], 20, 30)
        (root / "in" / "annotations.json").write_text(json.dumps(document))
        result = convert("coco", root / "in", root / "out", "coco", allow_skips=True, **CROWDS)
        back = json.loads((root / "out" / "annotations" / "instances_train2017.json").read_text())
        kept = {**document, "annotations": [each for each in document["annotations"] if has_pixels(each)]}
        assert readable(back) == readable(kept)
        assert back["info"] == document["info"]
        assert [c["name"] for c in back["categories"]] == [c["name"] for c in document["categories"]]
        assert {i["file_name"]: i["license"] for i in back["images"]} == {
            i["file_name"]: i["license"] for i in document["images"]
        }
        assert result.ledger.imbalance() is None
        convert("coco", root / "out", root / "again", "coco", allow_skips=True, **CROWDS)
        again = (root / "again" / "annotations" / "instances_train2017.json").read_bytes()
        assert again == (root / "out" / "annotations" / "instances_train2017.json").read_bytes()


@EXAMPLES
@given(SIZE.flatmap(lambda size: arrays.arrays(np.uint8, size, elements=st.integers(0, 4))))
def test_panoptic_to_coco_to_panoptic_keeps_every_pixel(labels: np.ndarray) -> None:
    with folder() as root:
        ids = np.array([0, 7, 300, 70_000, 9_000_001])[labels]
        present = [number for number in np.unique(ids).tolist() if number]
        segments = [{"id": number, "category_id": index % 2 + 1, "iscrowd": 0} for index, number in enumerate(present)]
        document = {
            "images": [{"id": 1, "file_name": "a.jpg", "width": labels.shape[1], "height": labels.shape[0]}],
            "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": segments}],
            "categories": [{"id": 1, "name": "one", "isthing": 1}, {"id": 2, "name": "two", "isthing": 1}],
        }
        (root / "in" / "panoptic").mkdir(parents=True)
        picture(root / "in" / "images" / "a.jpg", *labels.shape)
        pixels = np.stack([ids >> 16, ids >> 8 & 255, ids & 255], axis=2).astype(np.uint8)
        cv2.imwrite(str(root / "in" / "panoptic" / "a.png"), pixels)
        (root / "in" / "panoptic.json").write_text(json.dumps(document))
        convert("coco", root / "in", root / "coco", "coco")
        convert("coco", root / "coco", root / "back", "panoptic")
        back = cv2.imread(str(root / "back" / "annotations" / "panoptic_train2017" / "a.png"), cv2.IMREAD_UNCHANGED)
        found = back.astype(int) @ [65536, 256, 1]
        pairs = {(old, new) for old, new in zip(ids.ravel().tolist(), found.ravel().tolist())}
        assert len(pairs) == len(np.unique(ids)) == len(np.unique(found))
        assert (0, 0) in pairs or 0 not in ids


def label_images() -> st.SearchStrategy[np.ndarray]:
    return SIZE.flatmap(lambda size: arrays.arrays(np.uint8, size, elements=st.integers(0, 3)))


@EXAMPLES
@given(label_images())
def test_masks_to_coco_to_masks(labels: np.ndarray) -> None:
    """Holes, touching objects, objects of one pixel: the mask of each class comes back as it was."""
    with folder() as root:
        picture(root / "in" / "images" / "a.jpg", *labels.shape)
        (root / "in" / "masks").mkdir()
        cv2.imwrite(str(root / "in" / "masks" / "a.png"), labels)
        (root / "in" / "classes.txt").write_text("background\none\ntwo\nthree\n")
        convert("masks", root / "in", root / "coco", "coco", reader_options={"encoding": "classes"})
        document = json.loads((root / "coco" / "annotations" / "instances_train2017.json").read_text())
        numbers = {c["id"]: ["background", "one", "two", "three"].index(c["name"]) for c in document["categories"]}
        back = np.zeros_like(labels)
        for entry in document["annotations"]:
            rle = entry["segmentation"]
            mask = rle_to_mask(Rle(rle["counts"].encode(), *rle["size"]))
            assert not back[mask].any()
            back[mask] = numbers[entry["category_id"]]
            assert len(geometry.mask_to_rings(mask)) == 1
        assert np.array_equal(back, labels)


@EXAMPLES
@given(label_images())
def test_ade_to_ade(labels: np.ndarray) -> None:
    with folder() as root:
        source = root / "in"
        picture(source / "images" / "training" / "a.jpg", *labels.shape)
        (source / "annotations" / "training").mkdir(parents=True)
        cv2.imwrite(str(source / "annotations" / "training" / "a.png"), labels)
        lines = ["Idx\tRatio\tTrain\tVal\tName", "1\t0\t0\t0\tone", "2\t0\t0\t0\ttwo", "3\t0\t0\t0\tthree"]
        (source / "objectInfo.txt").write_text("\n".join(lines) + "\n")
        convert("ade", source, root / "out", "ade")
        back = cv2.imread(str(root / "out" / "annotations" / "training" / "a.png"), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(back, labels)
