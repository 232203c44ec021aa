"""Input that means harm, or looks like it: refused with an error of ours, nothing written outside the target."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn import picture, polygon

from seg2knet.converters.api import convert
from seg2knet.converters.detection import detect
from seg2knet.converters.pipeline import Result
from seg2knet.converters.registry import readers
from seg2knet.dataset.rle import mask_to_rle
from seg2knet.errors import Seg2KNetError

SQUARE = [1, 1, 9, 1, 9, 9, 1, 9]
LAUGHS = (
    '<!DOCTYPE a [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {two} "{f"&{one};" * 10}">' for one, two in zip("abcdefghi", "bcdefghij"))
    + "]>"
)
SECRET = '<!DOCTYPE a [<!ENTITY j SYSTEM "file:///etc/passwd">]>'


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Convert ``source`` into ``out``: what came of it, an error of ours included. Nothing else may have changed."""

    def go(format: str, source: Path, **options: Any) -> Result | Seg2KNetError:
        try:
            return convert(format, source, out=tmp_path / "out", jobs=1, validate=False, **options)
        except Seg2KNetError as error:
            return error

    yield go
    # Only what a test made itself, the target, and what a run keeps beside it while it works.
    assert {path.name for path in tmp_path.iterdir()} <= {"source", "out", ".out.seg2knet", "secret.jpg", "away"}
    assert {path.name for path in (tmp_path / "away").rglob("*")} <= {"kept.jpg"}


def coco(source: Path, name: str = "a.jpg", **annotation: Any) -> None:
    picture(source / "images/a.jpg")
    document = {
        "images": [{"id": 1, "file_name": name, "width": 40, "height": 30}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [SQUARE], "area": 64, "bbox": [1, 1, 8, 8],
             "iscrowd": 0, **annotation}
        ],
        "categories": [{"id": 1, "name": "car"}],
    }  # fmt: skip
    (source / "annotations.json").write_text(json.dumps(document))


def labelme(source: Path, **fields: Any) -> None:
    picture(source / "a.jpg")
    document = {"version": "5.0.1", "shapes": [polygon("car")], "imagePath": "a.jpg", "imageData": None, **fields}
    (source / "a.json").write_text(json.dumps(document))


def cvat(source: Path, name: str = "a.jpg", shape: str = "", head: str = "") -> None:
    picture(source / "a.jpg")
    shape = shape or '<polygon label="car" points="1,1;9,1;9,9"/>'
    image = f'<image id="0" name="{name}" width="40" height="30">{shape}</image>'
    (source / "annotations.xml").write_text(f'<?xml version="1.0"?>{head}<annotations>{image}</annotations>')


def voc(source: Path, head: str = "", name: str = "car") -> None:
    picture(source / "JPEGImages/a.jpg")
    (source / "Annotations").mkdir()
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    text = f'<?xml version="1.0"?>{head}<annotation><object><name>{name}</name>{box}</object></annotation>'
    (source / "Annotations/a.xml").write_text(text)


def yolo(source: Path, config: str = "train: images\nnames: [car]\n") -> None:
    picture(source / "images/a.jpg")
    (source / "labels").mkdir()
    (source / "labels/a.txt").write_text("0 0.1 0.1 0.9 0.1 0.9 0.9\n")
    (source / "data.yaml").write_text(config)


def masks(source: Path) -> None:
    import cv2

    picture(source / "images/a.jpg")
    (source / "masks").mkdir()
    cv2.imwrite(str(source / "masks/a.png"), np.ones((30, 40), np.uint8))


def ade(source: Path) -> None:
    import cv2

    picture(source / "images/training/a.jpg")
    (source / "annotations/training").mkdir(parents=True)
    cv2.imwrite(str(source / "annotations/training/a.png"), np.ones((30, 40), np.uint8))


def via(source: Path, name: str = "a.jpg") -> None:
    picture(source / "a.jpg")
    shape = {"name": "polygon", "all_points_x": SQUARE[::2], "all_points_y": SQUARE[1::2]}
    region = {"shape_attributes": shape, "region_attributes": {"kind": "car"}}
    document = {"a.jpg1": {"filename": name, "size": 1, "regions": [region]}}
    (source / "via.json").write_text(json.dumps(document))


def labelstudio(source: Path, name: str = "a.jpg") -> None:
    picture(source / "a.jpg")
    value = {"points": [[1, 1], [9, 1], [9, 9]], "polygonlabels": ["car"]}
    result = {"type": "polygonlabels", "value": value, "original_width": 40, "original_height": 30}
    task = {"id": 1, "data": {"image": f"/{name}"}, "annotations": [{"result": [result]}]}
    (source / "project.json").write_text(json.dumps([task]))


def supervisely(source: Path) -> None:
    picture(source / "ds/img/a.jpg")
    (source / "ds/ann").mkdir()
    shape = {"classTitle": "car", "geometryType": "polygon", "points": {"exterior": [[1, 1], [9, 1], [9, 9]]}}
    document = {"size": {"width": 40, "height": 30}, "objects": [shape]}
    (source / "ds/ann/a.jpg.json").write_text(json.dumps(document))


def labelbox(source: Path, name: str = "a.jpg") -> None:
    picture(source / "a.jpg")
    polygon = {"name": "car", "polygon": [{"x": 1, "y": 1}, {"x": 9, "y": 1}, {"x": 9, "y": 9}]}
    row = {"data_row": {"external_id": name, "row_data": ""}, "media_attributes": {"width": 40, "height": 30},
           "projects": {"p": {"labels": [{"annotations": {"objects": [polygon]}}]}}}  # fmt: skip
    (source / "a.ndjson").write_text(json.dumps(row))


def darwin(source: Path, name: str = "a.jpg") -> None:
    picture(source / "a.jpg")
    path = [{"x": 1, "y": 1}, {"x": 9, "y": 1}, {"x": 9, "y": 9}]
    item = {"name": name, "path": "/", "slots": [{"width": 40, "height": 30}]}
    document = {"version": "2.0", "item": item, "annotations": [{"name": "car", "polygon": {"paths": [path]}}]}
    (source / "a.json").write_text(json.dumps(document))


def isat(source: Path, name: str = "a.jpg") -> None:
    picture(source / "a.jpg")
    info = {"name": name, "width": 40, "height": 30}
    shape = {"category": "car", "group": 1, "segmentation": [[1, 1], [9, 1], [9, 9]]}
    (source / "a.json").write_text(json.dumps({"info": info, "objects": [shape]}))


def sa1b(source: Path, name: str = "a.jpg") -> None:
    picture(source / "a.jpg")
    code = {"size": [30, 40], "counts": mask_to_rle(np.ones((30, 40), np.uint8)).counts.decode()}
    image = {"file_name": name, "width": 40, "height": 30}
    (source / "a.json").write_text(json.dumps({"image": image, "annotations": [{"id": 1, "segmentation": code}]}))


def openimages(source: Path) -> None:
    import cv2

    picture(source / "train/a.jpg")
    (source / "masks").mkdir()
    cv2.imwrite(str(source / "masks/a_m1_0.png"), np.ones((30, 40), np.uint8))
    table = "MaskPath,ImageID,LabelName,BoxID\na_m1_0.png,a,/m/1,0\n"
    (source / "train-annotations-object-segmentation.csv").write_text(table)


MAKERS: dict[str, Callable[[Path], None]] = {
    "coco": coco, "labelme": labelme, "cvat": cvat, "voc": voc, "yolo": yolo, "masks": masks, "ade": ade, "via": via,
    "labelstudio": labelstudio, "supervisely": supervisely, "labelbox": labelbox, "darwin": darwin, "isat": isat,
    "sa1b": sa1b, "openimages": openimages,
}  # fmt: skip


def huge_png(path: Path, side: int = 100_000) -> None:
    """A picture of ``side`` by ``side`` in some bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(30_000_000), 9)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    assert path.stat().st_size < 40_000


def lost(result: Result | Seg2KNetError) -> bool:
    """Whether a run refused, or counts what it left out."""
    return isinstance(result, Seg2KNetError) or bool(result.ledger.unasked)


def test_every_format_is_tried_here() -> None:
    assert set(MAKERS) == set(readers())


@pytest.mark.parametrize(
    "name", ["../away/x.jpg", "../../x.jpg", "images/../../secret.jpg", "C:\\x.jpg", "a\0.jpg", ""]
)
@pytest.mark.parametrize("make", [coco, cvat, via, labelstudio, labelbox, darwin, isat, sa1b])
def test_names_that_leave_the_folder(source: Path, run: Any, make: Any, name: str) -> None:
    picture(source.parent / "secret.jpg")
    picture(source.parent / "away/kept.jpg")
    if make is cvat and "\0" in name:
        pytest.skip("no XML can hold it")
    make(source, name)
    for images in ("link", "copy"):
        assert lost(run(make.__name__, source, images=images, overwrite=True))


@pytest.mark.parametrize("name", ["/etc/passwd", "\\\\server\\share\\x.jpg"])
@pytest.mark.parametrize("make", [coco, cvat])
def test_absolute_names_stay_in_the_folder_or_are_refused(source: Path, run: Any, make: Any, name: str) -> None:
    make(source, name)
    assert lost(run(make.__name__, source))


@pytest.mark.parametrize("said", ["../../../../etc/passwd", "/etc/passwd", "..\\..\\x.jpg", "a\0b.jpg"])
def test_labelmes_image_path_leads_nowhere_else(source: Path, tmp_path: Path, run: Any, said: str) -> None:
    labelme(source, imagePath=said)
    result = run("labelme", source)
    assert isinstance(result, Result)
    assert [path.name for path in (tmp_path / "out/train2017").iterdir()] == ["a.jpg"]


@pytest.mark.parametrize("head", [LAUGHS, SECRET])
def test_xml_that_declares_entities(source: Path, run: Any, head: str) -> None:
    voc(source, head, "&j;")
    result = run("voc", source, reader_options={"boxes": "as-polygons"})
    assert lost(result)
    assert "root:" not in str(result)


@pytest.mark.parametrize("head", [LAUGHS, SECRET])
def test_cvat_that_declares_entities(source: Path, run: Any, head: str) -> None:
    cvat(source, shape='<polygon label="&j;" points="1,1;9,1;9,9"/>', head=head)
    error = run("cvat", source)
    assert "document type or entities" in str(error)


def test_entities_that_nobody_declared(source: Path, run: Any) -> None:
    cvat(source, shape='<polygon label="&j;" points="1,1;9,1;9,9"/>')
    assert lost(run("cvat", source))


@pytest.mark.parametrize(
    "config",
    [
        "train: images\nnames: !!python/object/apply:os.system ['touch pwned']",
        "!!python/object/new:os.system ['touch pwned']",
        "train: images\nnames: [&a [x], " + ", ".join(["*a"] * 2000) + "]",
        "a: &a [x]\n" + "".join(f"k{i}: &k{i} [{', '.join([f'*k{i - 1}' if i else '*a'] * 9)}]\n" for i in range(9)),
        "[" * 100_000,
        "train: images\nnames: {? [1] : a}",
        "train: images\nnames: 2001-99-99",
        "\x00\x01",
    ],
)
def test_yaml_that_is_more_than_data(source: Path, tmp_path: Path, run: Any, config: str) -> None:
    yolo(source, config)
    here = set(os.listdir())
    assert lost(run("yolo", source))
    assert set(os.listdir()) == here


@pytest.mark.parametrize("format", sorted(MAKERS))
def test_an_image_of_ten_billion_pixels_in_40_kb(source: Path, run: Any, format: str) -> None:
    MAKERS[format](source)
    (shown,) = source.rglob("*.jpg")
    huge_png(shown)
    result = run(format, source)
    assert lost(result)


@pytest.mark.parametrize("format", ["masks", "ade", "openimages"])
def test_a_mask_of_ten_billion_pixels_in_40_kb(source: Path, run: Any, format: str) -> None:
    MAKERS[format](source)
    (drawn,) = source.rglob("*.png")
    huge_png(drawn)
    assert lost(run(format, source))
    if format == "masks":
        assert lost(run(format, source, reader_options={"encoding": "classes"}))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"images":' + "[" * 100_000 + "]" * 100_000 + "}"])
@pytest.mark.parametrize(
    "format", ["coco", "labelme", "masks", "via", "labelstudio", "supervisely", "darwin", "isat", "sa1b"]
)
def test_json_nested_100_000_deep(source: Path, run: Any, format: str, text: str) -> None:
    MAKERS[format](source)
    path = source / "dataset_meta.json" if format == "masks" else next(source.rglob("*.json"))
    path.write_text(text)
    assert isinstance(run(format, source), Seg2KNetError)


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [1_000_000, 1_000_000], "counts": [1_000_000_000_000]},
        {"size": [1_000_000, 1_000_000], "counts": "0"},
        {"size": [30, 40], "counts": [10**30]},
        {"size": [30, 40], "counts": "oooooooooooooooo0"},
        {"size": [30, 40], "counts": [-1, 1201]},
        {"size": [30, 40], "counts": "\x7f\x80"},
        {"size": [10**30, 40], "counts": "0"},
        [[1, 1, 1e308, 1e308, -1e308, 5]],
    ],
)
def test_run_lengths_of_a_trillion_pixels(source: Path, run: Any, segmentation: Any) -> None:
    coco(source, segmentation=segmentation)
    assert lost(run("coco", source))


@pytest.mark.parametrize(
    "said",
    [
        'rle="1000000000000" width="1000000" height="1000000"',
        'rle="0,1000000000000" width="10" height="10"',
        'rle="1e3" width="10" height="10"',
        'rle="0,1" width="1e300" height="10"',
        'rle="0,1" width="inf" height="nan"',
        'rle="' + "1," * 100_000 + '1" width="2" height="2"',
    ],
)
def test_cvats_run_lengths_of_a_trillion_pixels(source: Path, run: Any, said: str) -> None:
    cvat(source, shape=f'<mask label="car" left="0" top="0" {said}/>')
    assert lost(run("cvat", source))


def test_a_cvat_image_of_a_trillion_pixels(source: Path, run: Any) -> None:
    cvat(source)
    path = source / "annotations.xml"
    path.write_text(
        path.read_text().replace('width="40"', 'width="999999999"').replace('height="30"', 'height="999999999"')
    )
    assert lost(run("cvat", source))
    (source / "a.jpg").unlink()
    assert lost(run("cvat", source, images="none"))


@pytest.mark.parametrize("format", sorted(MAKERS))
def test_links_that_loop(source: Path, run: Any, format: str) -> None:
    MAKERS[format](source)
    for folder in [source, *(path for path in source.rglob("*") if path.is_dir())]:
        (folder / "up").symlink_to(source, target_is_directory=True)
        (folder / "self").symlink_to("self")
        (folder / "itself.jpg").symlink_to("itself.jpg")
    run(format, source, reader_options={"boxes": "as-polygons"} if format == "voc" else {})
    with contextlib.suppress(Seg2KNetError):
        detect([source])


LONG = {
    "coco": "annotations.json",
    "labelme": "a.json",
    "cvat": "annotations.xml",
    "voc": "Annotations/a.xml",
    "yolo": "labels/a.txt",
}


@pytest.mark.slow
@pytest.mark.parametrize("start", [b"", b"{", b'{"images": [', b"<annotations>", b"<annotation>", b"0 0.1 "])
@pytest.mark.parametrize("format", sorted(LONG))
def test_a_line_of_two_gigabytes(source: Path, run: Any, format: str, start: bytes) -> None:
    MAKERS[format](source)
    path = source / LONG[format]
    with open(path, "wb") as file:  # sparse: it costs no disk
        file.write(start)
        file.truncate(2 << 30)
    assert lost(run(format, source))


@pytest.mark.parametrize("format", sorted(MAKERS))
@pytest.mark.parametrize("content", [b"", b"\0" * 1000, b"\xff" * 1000, b"\xef\xbb\xbf", b"null", b"<", b"[]", b"{}"])
def test_files_that_are_nothing(source: Path, run: Any, format: str, content: bytes) -> None:
    MAKERS[format](source)
    for path in source.rglob("*"):
        if path.is_file() and path.suffix != ".jpg":
            path.write_bytes(content)
    run(format, source, reader_options={"boxes": "as-polygons"} if format == "voc" else {})
    for kind in readers().values():
        kind.sniff(source)


@pytest.mark.parametrize("format", sorted(MAKERS))
def test_a_folder_where_a_file_was_expected(source: Path, run: Any, format: str) -> None:
    MAKERS[format](source)
    for path in list(source.rglob("*")):
        if path.is_file() and path.suffix != ".jpg":
            path.unlink()
            path.mkdir()
    assert lost(run(format, source))
