"""VIA 1 and 2: JSON, project files, CSV."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import kinds, labels, masks, one, picture, read, reasons

from seg2knet.converters.readers.coco.reader import CocoOptions, CocoReader
from seg2knet.converters.readers.common import json_reader
from seg2knet.converters.readers.darwin import DarwinReader
from seg2knet.converters.readers.via import ViaOptions, ViaReader
from seg2knet.dataset.sample import Polygons
from seg2knet.errors import UsageError

SQUARE = {"name": "polygon", "all_points_x": [1, 5, 5, 1], "all_points_y": [1, 1, 4, 4]}


def region(shape: dict[str, Any] = SQUARE, **attributes: Any) -> dict[str, Any]:
    return {"shape_attributes": shape, "region_attributes": attributes}


def document(*regions: Any, name: str = "a.jpg", **entries: Any) -> dict[str, Any]:
    return {f"{name}123": {"filename": name, "size": 123, "regions": list(regions), "file_attributes": {}}, **entries}


def via(root: Path, content: Any, name: str = "via_region_data.json") -> Path:
    picture(root / "a.jpg", 20, 10)
    (root / name).write_text(json.dumps(content))
    return root


def reader(root: Path, **options: Any) -> ViaReader:
    return ViaReader(root, ViaOptions(**options))


def test_polygons_keep_their_numbers(tmp_path: Path) -> None:
    sample = one(reader(via(tmp_path, document(region(kind="cat")))))
    assert labels(sample) == ["cat"]
    assert sample.objects[0].shape == Polygons([[1, 1, 5, 1, 5, 4, 1, 4]])
    assert (sample.image.name, sample.image.width) == ("a.jpg", 20)


def test_regions_of_via_1_and_project_files(tmp_path: Path) -> None:
    first = document()
    first["a.jpg123"]["regions"] = {"0": region(kind="cat"), "1": region(kind="dog")}
    for content in (first, {"_via_settings": {}, "_via_img_metadata": first, "_via_attributes": {}}):
        assert labels(one(reader(via(tmp_path, content)))) == ["cat", "dog"]


def test_rectangles_circles_ellipses(tmp_path: Path) -> None:
    shapes = [
        {"name": "rect", "x": 2, "y": 2, "width": 4, "height": 3},
        {"name": "circle", "cx": 10, "cy": 5, "r": 4},
        {"name": "ellipse", "cx": 10, "cy": 5, "rx": 6, "ry": 2, "theta": math.pi / 2},
        {"name": "point", "cx": 1, "cy": 1},
        {"name": "polyline", "all_points_x": [1, 5, 5], "all_points_y": [1, 1, 4]},
    ]
    root = via(tmp_path, document(*[region(shape, kind="a") for shape in shapes]))
    sample = one(reader(root))
    assert reasons(sample) == ["box-only", "point-has-no-area", "line-has-no-area"]
    circle, ellipse = masks(sample)
    assert circle.sum() == pytest.approx(math.pi * 16, rel=0.1)
    ys, xs = np.nonzero(ellipse)
    assert np.ptp(ys) > np.ptp(xs)
    sample = one(reader(root, boxes="as-polygons", polylines="as-polygons"))
    assert len(sample.objects) == 4
    assert masks(sample)[0].sum() == 12


@pytest.mark.parametrize(
    ("value", "label"), [("cat", "cat"), (7, "7"), ({"cat": True, "dog": False}, "cat"), ({"cat": 1, "dog": 1}, None),
                         ("", None), ({}, None)],
)  # fmt: skip
def test_the_class_is_an_attribute(tmp_path: Path, value: Any, label: Any) -> None:
    sample = one(reader(via(tmp_path, document(region(kind=value)))))
    assert labels(sample) == ([label] if label else [])
    assert len(sample.skips) == (label is None)


def test_options_stand_for_names(tmp_path: Path) -> None:
    attributes = {"region": {"kind": {"type": "dropdown", "options": {"1": "cat", "2": "dog"}}}}
    content = {"_via_img_metadata": document(region(kind="2")), "_via_attributes": attributes}
    assert labels(one(reader(via(tmp_path, content)))) == ["dog"]


def test_several_attributes_are_asked_about(tmp_path: Path) -> None:
    root = via(tmp_path, document(region(kind="cat", colour="red")))
    with pytest.raises(UsageError, match="--class-attribute"):
        reader(root).scan()
    assert labels(one(reader(root, class_attribute="colour"))) == ["red"]
    with pytest.raises(UsageError, match=r"expected: .*colour"):
        reader(root, class_attribute="size").scan()


def test_no_attribute_at_all_is_one_class(tmp_path: Path) -> None:
    found = reader(via(tmp_path, document(region())), class_name="balloon")
    assert labels(one(found)) == ["balloon"]
    assert kinds(found.scan()) == ["one-class"]


def test_csv_says_the_same_and_is_read_where_there_is_no_json(tmp_path: Path) -> None:
    root = via(tmp_path, document(region(kind="cat"), region(kind="dog")))
    before = one(reader(root))
    rows = [[f"{part}" for part in ("filename", "file_size", "file_attributes", "region_count", "region_id",
             "region_shape_attributes", "region_attributes")]]  # fmt: skip
    for index, kind in enumerate(("cat", "dog")):
        rows.append(["a.jpg", "123", "{}", "2", str(index), json.dumps(SQUARE), json.dumps({"kind": kind})])
    rows.append(["b.jpg", "9", "{}", "0", "0", "{}", "{}"])
    picture(root / "b.jpg", 20, 10)
    with open(root / "via_export_csv.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    assert list(read(reader(root))) == ["a.jpg"]
    (root / "via_region_data.json").unlink()
    samples = read(reader(root))
    assert samples["a.jpg"].objects == before.objects
    assert not samples["b.jpg"].objects


def test_splits_by_folder_and_urls_as_names(tmp_path: Path) -> None:
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        via(tmp_path / split, document(region(kind="cat"), name="https://example.org/some/a.jpg?size=9"))
    assert list(read(reader(tmp_path))) == ["train:a.jpg", "val:a.jpg"]


@pytest.mark.parametrize("shape", [None, 7, {}, {"name": "polygon"}, {"name": "polygon", "all_points_x": ["a"]},
                                   {**SQUARE, "all_points_x": [1, 2]}, {"name": "rect", "x": None}])  # fmt: skip
def test_malformed_shapes_are_told(tmp_path: Path, shape: Any) -> None:
    sample = one(reader(via(tmp_path, document(region(shape, kind="cat"), region(kind="cat")))))
    assert len(sample.objects) == len(sample.skips) == 1


def test_real_export_agrees_with_its_coco(shared: Path) -> None:
    root = shared / "corpora/via2+coco__nsy0328-VIA__tutorial"
    sample = one(reader(root, class_attribute="name"))
    twin = one(CocoReader(root / "sample_coco.json"))
    assert [found.shape for found in sample.objects] == [found.shape for found in twin.objects]
    assert labels(sample) == labels(twin)


def test_three_exports_of_one_project_agree(shared: Path, tmp_path: Path) -> None:
    root = shared / "corpora/via2-json+csv+coco__egutierrezc93__receipts_rect"
    coco = CocoReader(root / "via_export_coco.json", CocoOptions(boxes="as-polygons"))
    twins = read(coco)
    for name, sample in twins.items():
        picture(tmp_path / name, sample.image.width, sample.image.height)
    for export in ("via_export_json.json", "via_export_csv.csv"):
        found = read(reader(root / export, images=tmp_path, boxes="as-polygons"))
        assert found.keys() == twins.keys()
        for name, sample in found.items():
            assert labels(sample) == labels(twins[name])
            pairs = zip(masks(sample), masks(twins[name]))
            assert all((one == two).all() for one, two in pairs)
    assert "flat-polygon" in {note.kind for sample in twins.values() for note in sample.notes}


def test_via_1_of_the_real_tool(shared: Path, tmp_path: Path) -> None:
    root = shared / "corpora/via1__FengJunJian__Dataset_Convert"
    for entry in json.loads((root / "via_region_data.json").read_text()).values():
        picture(tmp_path / entry["filename"], 2048, 2048)
    samples = read(reader(root, images=tmp_path))
    assert (len(samples), sum(len(sample.objects) for sample in samples.values())) == (12, 36)


def test_polylines_of_the_real_tool(shared: Path, tmp_path: Path) -> None:
    root = shared / "corpora/via2-polyline+labelme__yichun-hub__Labelme2VIA"
    picture(tmp_path / "G549.png", 1920, 1080)
    assert reasons(one(reader(root / "via_region_data.json", images=tmp_path))) == ["line-has-no-area"] * 4
    closed = one(reader(root / "via_region_data.json", images=tmp_path, polylines="as-polygons"))
    assert len(closed.objects) == 4


def test_a_large_file_is_told_by_its_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody parses half a gigabyte fifteen times for a guess."""
    path = via(tmp_path, document(region(kind="cat"))) / "via_region_data.json"
    monkeypatch.setattr(json_reader, "_LARGE", 10)
    monkeypatch.setattr(ViaReader, "load", lambda path: pytest.fail("parsed"))
    assert ViaReader.sniff(path) is not None
    assert DarwinReader.sniff(path) is None
