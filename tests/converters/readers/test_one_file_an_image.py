"""ISAT and SA-1B: one JSON an image. No sample of ISAT is at hand, so it is written by hand as its tool writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import labels, masks, one, picture, reasons

from seg2knet.converters.api import convert
from seg2knet.converters.readers.isat import IsatReader
from seg2knet.converters.readers.sa1b import Sa1bOptions, Sa1bReader
from seg2knet.dataset.rle import mask_to_rle
from seg2knet.dataset.sample import Polygons
from seg2knet.errors import DataError

SQUARE = [[1, 1], [9, 1], [9, 7], [1, 7]]


def isat(root: Path, *objects: Any) -> Path:
    picture(root / "a.jpg", 20, 10)
    info = {
        "description": "ISAT",
        "folder": "D:/set",
        "name": "a.jpg",
        "width": 20,
        "height": 10,
        "depth": 3,
        "note": "",
    }
    (root / "a.json").write_text(json.dumps({"info": info, "objects": list(objects)}))
    return root


def drawn(label: str = "cat", group: Any = 1, points: Any = SQUARE, **fields: Any) -> dict[str, Any]:
    return {"category": label, "group": group, "segmentation": points, "area": 48, "layer": 1.0, "bbox": [1, 1, 9, 7],
            "iscrowd": False, "note": "", **fields}  # fmt: skip


def test_isat_groups_layers_crowds(tmp_path: Path) -> None:
    far = [[12, 1], [16, 1], [16, 5], [12, 5]]
    objects = [
        drawn(),
        drawn(points=far, layer=3.0),
        drawn(group=2),
        drawn("dog", iscrowd=True, note="far"),
        drawn("__background__"),
    ]
    sample = one(IsatReader(isat(tmp_path, *objects)))
    assert [(found.label, len(found.shape.parts), found.iscrowd, found.z) for found in sample.objects] == [
        ("cat", 2, False, 3), ("cat", 1, False, 1), ("dog", 1, True, 1),
    ]  # fmt: skip
    assert sample.objects[2].attributes == {"note": "far"}
    assert [(skip.reason, skip.asked) for skip in sample.skips] == [("background", True)]


def test_isat_malformed(tmp_path: Path) -> None:
    sample = one(IsatReader(isat(tmp_path, drawn(points=None), drawn(points=[[1, 1]]), drawn(""), 7, drawn())))
    assert reasons(sample) == ["no-points", "not-a-polygon", "no-label", "malformed"]
    assert sample.objects[0].shape == Polygons([[1, 1, 9, 1, 9, 7, 1, 7]])


def test_a_name_that_leads_out_is_refused_and_its_objects_counted(tmp_path: Path) -> None:
    path = isat(tmp_path / "isat", drawn()) / "a.json"
    path.with_name("b.json").write_text(path.read_text().replace("a.jpg", ".."))
    ledger = convert("isat", path.parent, out=tmp_path / "out", images="none", split="train", jobs=1).ledger
    assert (ledger.objects_read, ledger.skips["image-bad-name"].count) == (2, 1)


def sa1b(root: Path, *annotations: Any) -> Path:
    picture(root / "sa_1.jpg", 20, 10)
    image = {"image_id": 1, "width": 20, "height": 10, "file_name": "sa_1.jpg"}
    (root / "sa_1.json").write_text(json.dumps({"image": image, "annotations": list(annotations)}))
    return root


def test_sa1b(tmp_path: Path) -> None:
    mask = np.zeros((10, 20), bool)
    mask[2:5, 3:9] = True
    code = {"size": [10, 20], "counts": mask_to_rle(mask).counts.decode()}
    broken = [
        {"size": [9, 20], "counts": "0"},
        {"size": [10, 20], "counts": "00"},
        {"size": [10, 20], "counts": "é"},
        None,
    ]
    entries = [
        {"id": number, "segmentation": each, "predicted_iou": 0.9} for number, each in enumerate([code, *broken])
    ]
    reader = Sa1bReader(sa1b(tmp_path, *entries), Sa1bOptions(class_name="thing"))
    assert reader.scan().classes.names == ("thing",)
    sample = one(reader)
    assert labels(sample) == ["thing"]
    assert (masks(sample)[0] == mask).all()
    assert reasons(sample) == ["rle-size-differs", "rle-unusable", "rle-unusable", "malformed"]


def test_another_json_is_an_error_of_its_image(tmp_path: Path) -> None:
    sa1b(tmp_path)
    (tmp_path / "b.json").write_text("[]")
    reader = Sa1bReader(tmp_path)
    handles = {handle.name: handle for handle in reader.scan().handles}
    with pytest.raises(DataError, match="not as SA-1B has it"):
        reader.read(handles["b.json"])


def test_datumaros_sa1b(shared: Path) -> None:
    root = shared / "corpora/coco-rle-sam__datumaro__segment_anything"
    handles = Sa1bReader(root).scan().handles
    assert labels(Sa1bReader(root).read(handles[0])) == ["object"]
