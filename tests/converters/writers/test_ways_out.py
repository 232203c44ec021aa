"""Every way out, read again by its own reader: the same masks, and in the ledger what could not be said."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Optional

import cv2
import numpy as np
import pytest
from drawn import picture
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import seg2knet
from seg2knet.converters.base import Reader
from seg2knet.converters.registry import reader
from seg2knet.dataset import geometry
from seg2knet.dataset.images import decode_labels
from seg2knet.dataset.rle import as_json, mask_to_rle, rle_runs, rle_to_mask
from seg2knet.dataset.sample import Polygons, Rle
from seg2knet.errors import DataError, UsageError

HEIGHT, WIDTH = 40, 60
RING = np.zeros((HEIGHT, WIDTH), bool)
RING[5:25, 5:30] = True
RING[10:18, 10:20] = False
PARTS = [[32.5, 3, 40, 3, 40, 12, 32.5, 12], [44, 20.25, 55, 20.25, 55, 36, 44, 36]]
SQUARE = [[2, 28, 12, 28, 12, 38, 2, 38]]


def coco(root: Path, *outlines: Any, crowd: bool = False, attributes: Optional[dict[str, Any]] = None) -> Path:
    """A COCO set of one image; outlines are masks or lists of polygons, of the classes car and tree in turn."""
    picture(root / "images" / "day 1" / "ä.png", WIDTH, HEIGHT)
    annotations = [
        {
            "id": number + 1, "image_id": 1, "category_id": number % 2 + 1, "iscrowd": 0,
            "segmentation": as_json(mask_to_rle(outline)) if isinstance(outline, np.ndarray) else outline,
            **({"attributes": attributes} if attributes else {}),
        }
        for number, outline in enumerate(outlines)
    ]  # fmt: skip
    if crowd:
        code = as_json(mask_to_rle(np.eye(HEIGHT, WIDTH, dtype=bool)))
        annotations.append({"id": 99, "image_id": 1, "category_id": 1, "iscrowd": 1, "segmentation": code})
    images = [{"id": 1, "file_name": "day 1/ä.png", "width": WIDTH, "height": HEIGHT}]
    categories = [{"id": 1, "name": "car"}, {"id": 2, "name": 'tree "<&>"'}]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations.json").write_text(json.dumps(document))
    return root


def out(source: Path, target: str, **options: Any) -> Any:
    return seg2knet.convert("coco", source, to=target, out=source.parent / target, split="train", jobs=1, **options)


def masks(root: Path, format: str, **options: Any) -> Counter[tuple[str, bytes]]:
    """Label and pixels of every object that the format's reader finds."""
    kind: type[Reader] = reader(format)
    opened = kind(root, kind.Options(**options))
    samples = [opened.read(handle) for handle in opened.scan().handles]
    assert all(sample.image.path is not None for sample in samples)
    shapes = [(item.label, geometry.shape_to_rle(item.shape, HEIGHT, WIDTH)) for s in samples for item in s.objects]
    return Counter((label, rle.counts) for label, rle in shapes)


@pytest.mark.parametrize("target", ["cvat", "labelme", "labelstudio", "voc", "yolo"])
def test_the_same_masks_come_back(tmp_path: Path, target: str) -> None:
    source = coco(tmp_path / "set", RING, PARTS, SQUARE)
    result = out(source, target)
    assert result.problems == {}
    assert result.ledger.unasked == 0
    assert masks(tmp_path / target, target) == masks(source, "coco")
    kind = reader(target)(tmp_path / target)
    classes = kind.scan().classes
    if classes is not None:
        assert classes.names == ("car", 'tree "<&>"')


outlines = st.lists(
    st.one_of(
        st.integers(0, 2**32 - 1),
        st.lists(
            st.lists(st.tuples(st.integers(0, 4 * WIDTH), st.integers(0, 4 * HEIGHT)), min_size=3, max_size=7),
            min_size=1,
            max_size=3,
        ),
    ),
    min_size=1,
    max_size=4,
)


def drawn(item: Any) -> Any:
    if isinstance(item, int):
        rng = np.random.default_rng(item)
        small = rng.random((HEIGHT // 4, WIDTH // 4)) < 0.4
        return np.kron(small, np.ones((4, 4), bool)).astype(bool)
    return [[number / 4 for point in ring for number in point] for ring in item]


@pytest.mark.parametrize("target", ["cvat", "labelme", "labelstudio", "yolo"])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(items=outlines)
def test_whatever_is_drawn_comes_back_or_is_in_the_ledger(
    tmp_path_factory: pytest.TempPathFactory, target: str, items: list[Any]
) -> None:
    source = coco(tmp_path_factory.mktemp("set") / "coco", *map(drawn, items))
    result = out(source, target, allow_skips=True, images="symlink")
    assert result.problems == {}
    before, after = masks(source, "coco"), masks(source.parent / target, target)
    lost = sum(tally.count for tally in result.ledger.skips.values())
    changed = result.ledger.notes.get("pixels-changed-by-bridges")
    empty = sum(count for (_, counts), count in before.items() if not pixels(counts))
    assert sum(before.values()) - empty == sum(after.values())
    assert lost == empty
    if changed is None:
        assert Counter({key: n for key, n in before.items() if pixels(key[1])}) == after
    elif sum(before.values()) == 1:
        (old,), (new,) = ([rle_to_mask(Rle(code, HEIGHT, WIDTH)) for _, code in found] for found in (before, after))
        assert int((old != new).sum()) <= changed.count


def pixels(counts: bytes) -> int:
    return int(rle_runs(counts)[1::2].sum())


@pytest.mark.parametrize("target", ["cvat", "labelme", "labelstudio", "masks", "voc", "yolo"])
def test_crowds_are_in_the_ledger_and_lossless_refuses(tmp_path: Path, target: str) -> None:
    source = coco(tmp_path / "set", SQUARE, crowd=True)
    if target != "masks":
        result = out(source, target)
        assert result.ledger.target_skips[target]["crowd"].count == 1
        assert result.ledger.imbalance() is None
    else:
        source = coco(tmp_path / "set", SQUARE, PARTS, [[40, 30, 42, 30, 42, 38]])
    with pytest.raises(UsageError, match="without a loss"):
        out(source, target, lossless=True, overwrite=True)


@pytest.mark.parametrize("target", ["cvat", "labelme", "yolo"])
def test_lossless_takes_what_loses_nothing(tmp_path: Path, target: str) -> None:
    outlines = [RING, SQUARE] if target == "yolo" else [RING, PARTS, SQUARE]
    out(coco(tmp_path / "set", *outlines), target, lossless=True)


def test_the_pixels_of_a_bridge_are_in_the_ledger(tmp_path: Path) -> None:
    parts = [[10, 10, 20, 10, 20, 20, 10, 20], [26, 24, 36, 24, 36, 34, 26, 34]]  # six columns and four rows apart
    source = coco(tmp_path / "set", parts)
    assert out(source, "yolo").ledger.notes["pixels-changed-by-bridges"].count == 6
    with pytest.raises(UsageError, match=r"(?s)without a loss.*pixels-changed-by-bridges"):
        out(source, "yolo", lossless=True)


def test_scores_go_with_predictions(tmp_path: Path) -> None:
    source = coco(tmp_path / "set", SQUARE, RING, attributes={"score": 0.75})
    out(source, "cvat")
    xml = (tmp_path / "cvat" / "annotations.xml").read_text(encoding="utf-8")
    assert xml.count('<attribute name="score">0.75</attribute>') == 2
    labels = json.loads((tmp_path / "cvat" / "labels.json").read_text(encoding="utf-8"))
    assert [entry["name"] for entry in labels[0]["attributes"]] == ["score"]
    out(source, "labelstudio", predictions=True)
    (task,) = json.loads((tmp_path / "labelstudio" / "train.json").read_text())
    assert "annotations" not in task
    assert task["predictions"][0]["score"] == 0.75
    assert [region["score"] for region in task["predictions"][0]["result"]] == [0.75, 0.75]
    out(source, "labelme")
    shapes = json.loads((tmp_path / "labelme" / "train" / "day 1" / "ä.json").read_text())["shapes"]
    assert [shape["description"] for shape in shapes] == ["score: 0.75"] * 2


def test_labelme_opens_what_is_written(tmp_path: Path) -> None:
    labelme = pytest.importorskip("labelme", exc_type=ImportError)
    out(coco(tmp_path / "set", RING, PARTS, SQUARE, attributes={"score": 0.75}), "labelme")
    opened = labelme.LabelFile(str(tmp_path / "labelme" / "train" / "day 1" / "ä.json"))
    assert [shape["shape_type"] for shape in opened.shapes] == ["mask", "polygon", "polygon", "polygon"]
    assert [shape["group_id"] for shape in opened.shapes] == [None, 2, 2, None]
    assert {shape["description"] for shape in opened.shapes} == {"score: 0.75"}
    (left, top), (right, bottom) = np.array(opened.shapes[0]["points"], int)
    assert np.array_equal(opened.shapes[0]["mask"], RING[top : bottom + 1, left : right + 1])


def test_yolo_boxes_only(tmp_path: Path) -> None:
    result = out(coco(tmp_path / "set", SQUARE), "yolo", boxes_only=True)
    assert result.problems == {}
    row = (tmp_path / "yolo" / "labels" / "train" / "day 1" / "ä.txt").read_text().split()
    assert [float(value) for value in row] == pytest.approx([0, 7 / WIDTH, 33 / HEIGHT, 10 / WIDTH, 10 / HEIGHT])


def test_yolo_keeps_the_order_of_classes_and_says_no_path(tmp_path: Path) -> None:
    out(coco(tmp_path / "set", SQUARE), "yolo")
    text = (tmp_path / "yolo" / "data.yaml").read_text()
    assert text == 'train: images/train\nnc: 2\nnames:\n  0: "car"\n  1: "tree \\"<&>\\""\n'


def test_masks_of_each_kind(tmp_path: Path) -> None:
    source = coco(tmp_path / "set", SQUARE, PARTS, [[40, 30, 42, 30, 42, 38, 40, 38]])
    result = out(source, "masks", mask_kinds=("index", "instances", "colors"))
    assert result.problems == {}
    folders = [tmp_path / "masks" / kind / "train" / "day 1" for kind in ("masks", "instanceIds", "colors")]
    index, ids, colors = (decode_labels(folder / "ä.png") for folder in folders)
    assert (index[30, 5], index[25, 50], index[0, 0], index.dtype) == (1, 2, 0, np.uint8)
    assert (ids[30, 5], ids[25, 50], ids[33, 41], ids.dtype) == (1000, 2000, 1001, np.uint16)
    assert (colors[0, 0] == 0).all()
    assert (colors[30, 5] != colors[25, 50]).any()
    again = masks(tmp_path / "masks", "masks", masks="instanceIds", encoding="class*1000+instance")
    assert again == masks(source, "coco")


@pytest.mark.parametrize("target", ["cvat", "labelme", "labelstudio", "masks", "voc", "yolo"])
def test_images_of_one_name_in_two_folders(tmp_path: Path, target: str) -> None:
    source = coco(tmp_path / "set", SQUARE, [[32.5, 3, 40, 3, 40, 12, 32.5, 12]])
    picture(source / "images" / "day 2" / "ä.png", WIDTH, HEIGHT)
    document = json.loads((source / "annotations.json").read_text())
    document["images"].append({**document["images"][0], "id": 2, "file_name": "day 2/ä.png"})
    document["annotations"][1]["image_id"] = 2
    (source / "annotations.json").write_text(json.dumps(document))
    assert out(source, target).problems == {}
    assert masks(tmp_path / target, target) == masks(source, "coco")


@pytest.mark.parametrize("target", ["cvat", "labelme", "labelstudio", "masks", "yolo"])
def test_three_hundred_classes(tmp_path: Path, target: str) -> None:
    source = coco(tmp_path / "set", SQUARE)
    document = json.loads((source / "annotations.json").read_text())
    document["categories"] = [{"id": number, "name": f"class {number}"} for number in range(1, 301)]
    document["annotations"][0]["category_id"] = 300
    (source / "annotations.json").write_text(json.dumps(document))
    assert out(source, target).problems == {}
    assert masks(tmp_path / target, target) == masks(source, "coco")


def test_masks_of_no_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="kind of mask image"):
        out(coco(tmp_path / "set", SQUARE), "masks", mask_kinds=())


def test_cityscapes_names_have_cityscapes_numbers(tmp_path: Path) -> None:
    source = coco(tmp_path / "set", SQUARE, RING)
    out(source, "masks", mask_kinds=("instances",), mapping={'tree "<&>"': "road"}, stuff=["road"])
    ids = decode_labels(tmp_path / "masks" / "instanceIds" / "train" / "day 1" / "ä.png")
    assert (ids[30, 5], ids[6, 6]) == (26_000, 7)


def test_too_many_objects_for_voc_are_a_skip(tmp_path: Path) -> None:
    tiny = [[[x, y, x + 2, y, x + 2, y + 2, x, y + 2]] for x in range(0, 58, 3) for y in range(0, 38, 3)]
    with pytest.raises(DataError, match=r"(?s)too many objects for a VOC mask; 255.*image-unreadable: 255"):
        out(coco(tmp_path / "set", *tiny[:255]), "voc")


@pytest.mark.parametrize("target", ["cvat", "labelme", "labelstudio", "masks", "voc", "yolo"])
def test_the_same_bytes_for_any_number_of_workers(tmp_path: Path, target: str) -> None:
    source = coco(tmp_path / "set", RING, PARTS, SQUARE)
    trees = []
    for jobs in (1, 3):
        folder = tmp_path / f"{target}{jobs}"
        seg2knet.convert("coco", source, to=target, out=folder, split="train", jobs=jobs)
        trees.append({p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()})
    assert trees[0] == trees[1]


def test_a_bridged_ring_is_what_ultralytics_fills(tmp_path: Path) -> None:
    """Ultralytics cuts coordinates to whole pixels and fills with OpenCV (``ops.polygon2mask``)."""
    out(coco(tmp_path / "set", RING), "yolo")
    row = (tmp_path / "yolo" / "labels" / "train" / "day 1" / "ä.txt").read_text().split()[1:]
    ring = np.array(row, np.float32).reshape(-1, 2) * [WIDTH, HEIGHT]
    filled = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillPoly(filled, [ring.astype(np.int32)], 1)
    assert np.array_equal(filled.astype(bool), RING)
    assert np.array_equal(rle_to_mask(geometry.shape_to_rle(Polygons([ring.ravel().tolist()]), HEIGHT, WIDTH)), RING)
