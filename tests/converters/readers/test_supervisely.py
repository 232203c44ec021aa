"""Supervisely projects."""

from __future__ import annotations

import base64
import io
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import labels, masks, one, picture, read, reasons
from PIL import Image as pillow

from seg2knet.converters.base import ReaderOptions
from seg2knet.converters.readers.supervisely import SuperviselyReader
from seg2knet.dataset.sample import Polygons
from seg2knet.errors import DataError

SQUARE = [[1, 1], [9, 1], [9, 7], [1, 7]]


def entry(kind: str, label: str = "cat", **fields: Any) -> dict[str, Any]:
    return {"classTitle": label, "geometryType": kind, "tags": [], **fields}


def polygon(*holes: Any) -> dict[str, Any]:
    return entry("polygon", points={"exterior": SQUARE, "interior": list(holes)})


def coded(mask: np.ndarray, mode: str, compressed: bool = True) -> str:
    out = io.BytesIO()
    if mode == "P":
        image = pillow.fromarray(mask.astype(np.uint8)).convert("P")
        image.putpalette([0, 0, 0, 255, 255, 255])
        image.save(out, "PNG", transparency=0, bits=1)
    elif mode == "RGBA":
        pillow.fromarray(np.dstack([np.full(mask.shape, 9, np.uint8)] * 3 + [mask.astype(np.uint8) * 200])).save(
            out, "PNG"
        )
    else:
        pillow.fromarray(mask.astype(np.uint8) * 255).save(out, "PNG")
    return base64.b64encode(zlib.compress(out.getvalue()) if compressed else out.getvalue()).decode()


def project(root: Path, *objects: Any, dataset: str = "ds", name: str = "a.jpg.json") -> Path:
    picture(root / dataset / "img/a.jpg", 20, 10)
    (root / dataset / "ann").mkdir(exist_ok=True)
    document = {"description": "", "tags": [], "size": {"height": 10, "width": 20}, "objects": list(objects)}
    (root / dataset / "ann" / name).write_text(json.dumps(document))
    classes = [
        {"title": "dog", "shape": "any", "color": "#FF0080"},
        {"title": "cat", "shape": "any", "color": "#00FF00"},
    ]
    (root / "meta.json").write_text(json.dumps({"classes": classes, "tags": [], "projectType": "images"}))
    return root


def test_polygons_stay_and_holes_make_masks(tmp_path: Path) -> None:
    hole = [[3, 3], [6, 3], [6, 5], [3, 5]]
    sample = one(SuperviselyReader(project(tmp_path, polygon(), polygon(hole))))
    assert sample.objects[0].shape == Polygons([[1, 1, 9, 1, 9, 7, 1, 7]])
    whole, holed = masks(sample)
    assert whole[4, 4]
    assert not holed[4, 4]
    assert holed.sum() == whole.sum() - 6
    assert sample.image.name == "ds/a.jpg"


@pytest.mark.parametrize("mode", ["P", "RGBA", "L"])
@pytest.mark.parametrize("compressed", [True, False])
def test_bitmaps(tmp_path: Path, mode: str, compressed: bool) -> None:
    drawn = np.array([[0, 1, 1], [1, 0, 1]], bool)
    bitmap = entry("bitmap", bitmap={"origin": [18, 4], "data": coded(drawn, mode, compressed)})
    (mask,) = masks(one(SuperviselyReader(project(tmp_path, bitmap))))
    assert mask.sum() == 2  # the last column lies outside
    assert (mask[4:6, 18:] == drawn[:, :2]).all()


def test_a_rectangle_holds_its_last_pixel(tmp_path: Path) -> None:
    root = project(tmp_path, entry("rectangle", points={"exterior": [[2, 3], [5, 4]], "interior": []}))
    assert reasons(one(SuperviselyReader(root))) == ["box-only"]
    (mask,) = masks(one(SuperviselyReader(root, ReaderOptions(boxes="as-polygons"))))
    assert mask.sum() == 8


def test_what_has_no_area_and_what_is_malformed(tmp_path: Path) -> None:
    objects = [entry("point"), entry("polyline"), entry("graph"), entry("cuboid_2d"), entry("blob"), entry("polygon"),
               entry("bitmap", bitmap={"origin": [0, 0], "data": "@@"}), polygon()]  # fmt: skip
    sample = one(SuperviselyReader(project(tmp_path, *objects)))
    assert reasons(sample) == [
        "point-has-no-area", "line-has-no-area", "skeleton-has-no-area", "cuboid-has-no-area", "unknown-shape-type",
        "malformed", "mask-unreadable",
    ]  # fmt: skip


def test_classes_and_splits(tmp_path: Path) -> None:
    for dataset in ("train", "val"):
        project(tmp_path, polygon(), dataset=dataset)
    reader = SuperviselyReader(tmp_path)
    classes = reader.scan().classes
    assert classes.names == ("dog", "cat")
    assert classes[0].color == (255, 0, 128)
    assert list(read(reader)) == ["train:a.jpg", "val:a.jpg"]


def test_old_names_of_annotations(tmp_path: Path) -> None:
    assert one(SuperviselyReader(project(tmp_path, polygon(), name="a.json"))).image.path is not None


def test_a_project_of_videos_is_refused(tmp_path: Path) -> None:
    root = project(tmp_path, polygon())
    (root / "meta.json").write_text(json.dumps({"classes": [], "projectType": "videos"}))
    with pytest.raises(DataError, match="videos"):
        SuperviselyReader(root).scan()


def test_bitmaps_are_vocs_masks(shared: Path) -> None:
    """The author drew Pascal's masks: outside of the border every pixel is equal."""
    root = shared / "corpora/supervisely-bitmap__supervisely-ecosystem__pascal-sample-gt-masks"
    voc = shared / "corpora/voc__labelformat__semantic_pascalvoc/SegmentationClass"
    samples = read(SuperviselyReader(root))
    names = list(SuperviselyReader(root).scan().classes.names)
    order = [name for name in names if name != "neutral"]
    compared = 0
    for sample in samples.values():
        for path in voc.rglob(f"{Path(sample.image.name).stem}.png"):
            drawn = np.asarray(pillow.open(path))
            ours = np.zeros_like(drawn)
            for label, mask in zip(labels(sample), masks(sample)):
                ours[mask] = 255 if label == "neutral" else order.index(label) + 1
            assert (ours == drawn).all()
            compared += 1
    assert compared == 2


def test_polygons_of_the_real_tool(shared: Path) -> None:
    samples = read(SuperviselyReader(shared / "corpora/supervisely-polygon__supervisely-ecosystem__roads-annotated"))
    assert [labels(sample) for sample in samples.values()] == [["road"]] * 10
