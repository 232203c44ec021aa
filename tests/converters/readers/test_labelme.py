"""LabelMe in all its versions, and what people do to its files."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn import mask_shape, picture, polygon
from PIL import Image as pillow

from seg2knet.converters.readers.labelme import LabelMeOptions, LabelMeReader
from seg2knet.dataset import geometry
from seg2knet.dataset.rle import rle_bbox, rle_to_mask
from seg2knet.dataset.sample import Polygons, Rle, Sample
from seg2knet.errors import DataError

Make = Callable[..., Path]


def read(root: Path, **options: Any) -> list[Sample]:
    reader = LabelMeReader(root, LabelMeOptions(**options))
    return [reader.read(handle) for handle in reader.scan().handles]


def area(sample: Sample, index: int = 0) -> int:
    return geometry.measure(sample.objects[index].shape, sample.image.height, sample.image.width)[0]


def test_polygon_keeps_its_numbers(labelme: Make) -> None:
    points = [1, 2.5, 10.123456789012345, 3, 7, 20]
    (sample,) = read(labelme(shapes=[polygon("car", *points)]))
    assert sample.objects[0].shape == Polygons([points])
    assert [type(number) for number in sample.objects[0].shape.parts[0]] == [int, float, float, int, int, int]
    assert (sample.image.name, sample.image.width, sample.image.height) == ("a.jpg", 40, 30)


@pytest.mark.parametrize("corners", [[[5, 6], [15, 26]], [[15, 26], [5, 6]], [[15, 6], [5, 26]]])
def test_rectangle_from_any_two_corners(labelme: Make, corners: list[list[int]]) -> None:
    shape = {"label": "car", "points": corners, "shape_type": "rectangle"}
    (sample,) = read(labelme(shapes=[shape]), boxes="as-polygons")
    assert area(sample) == 10 * 20


def test_rectangles_are_boxes(labelme: Make) -> None:
    """As in every format: skipped unless asked for; one that is turned is an outline."""
    upright = {"label": "car", "points": [[5, 6], [15, 26]], "shape_type": "rectangle"}
    corners = {"label": "car", "points": [[5, 6], [15, 6], [15, 26], [5, 26]], "shape_type": "rectangle"}
    turned = {"label": "car", "points": [[10, 0], [20, 10], [10, 20], [0, 10]], "shape_type": "rectangle"}
    root = labelme(shapes=[upright, corners, turned])
    (sample,) = read(root)
    assert [found.place for found in sample.objects] == ["shape 2"]
    assert [skip.reason for skip in sample.skips] == ["box-only", "box-only"]
    assert len(read(root, boxes="as-polygons")[0].objects) == 3


@pytest.mark.parametrize("kind", ["rectangle", "oriented_rectangle", "rotation"])
def test_rectangle_of_four_corners(labelme: Make, kind: str) -> None:
    corners = [[10, 0], [20, 10], [10, 20], [0, 10]]
    (sample,) = read(labelme(shapes=[{"label": "car", "points": corners, "shape_type": kind}]))
    assert area(sample) == pytest.approx(200, abs=12)


def test_circle_and_ellipse_have_their_areas(labelme: Make) -> None:
    circle = {"label": "car", "points": [[20, 15], [30, 15]], "shape_type": "circle"}
    ellipse = {"label": "car", "points": [[5, 10], [35, 20]], "shape_type": "ellipse"}
    (sample,) = read(labelme(shapes=[circle, ellipse]))
    assert area(sample, 0) == pytest.approx(np.pi * 100, rel=0.02)
    assert area(sample, 1) == pytest.approx(np.pi * 15 * 5, rel=0.03)


@pytest.mark.parametrize("values", [1, 255])
def test_mask_lies_at_the_floor_of_its_corner(labelme: Make, values: int) -> None:
    mask = np.zeros((4, 5), np.uint8)
    mask[1:3, 1:4] = values
    mask[2, 2] = 0
    (sample,) = read(labelme(shapes=[mask_shape("ring", mask, 7.8, 3.2)]))
    expected = np.zeros((30, 40), bool)
    expected[3:7, 7:12] = mask > 0
    assert isinstance(sample.objects[0].shape, Rle)
    assert np.array_equal(rle_to_mask(sample.objects[0].shape), expected)


def test_mask_that_stands_out_is_cut_at_the_edge(labelme: Make) -> None:
    (sample,) = read(labelme(shapes=[mask_shape("ring", np.ones((10, 10)), 35.0, -4.0)]))
    assert area(sample) == 5 * 6


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ({"label": "a", "points": [[1, 2]], "shape_type": "point"}, "point-has-no-area"),
        ({"label": "a", "points": [[1, 2]]}, "point-has-no-area"),
        ({"label": "a", "points": [[1, 2], [3, 4]], "shape_type": "points"}, "points-has-no-area"),
        ({"label": "a", "points": [[1, 2], [3, 4]], "shape_type": "line"}, "line-has-no-area"),
        ({"label": "a", "points": [[1, 2], [3, 4], [5, 9]], "shape_type": "linestrip"}, "linestrip-has-no-area"),
        ({"label": "a", "points": [[1, 2], [3, 4]], "shape_type": "polygon"}, "polygon-too-few-points"),
        ({"label": "a", "points": [[1, 2], [3, 4]], "shape_type": "cuboid"}, "unknown-shape-type"),
        ({"label": "a", "points": [[1, 2]], "shape_type": "circle"}, "circle-without-radius"),
        ({"label": "a", "points": [[1, None], [3, 4], [5, 6]]}, "no-points"),
        ({"label": "a", "points": "1,2"}, "no-points"),
        ({"label": "a", "points": [[1, 2]], "shape_type": "mask", "mask": "@@@"}, "mask-unreadable"),
        ({"label": " ", "points": [[1, 2], [3, 4], [5, 9]]}, "no-label"),
        ({"points": [[1, 2], [3, 4], [5, 9]]}, "no-label"),
        (["a"], "not-a-shape"),
    ],
)
def test_what_is_no_object_is_a_skip(labelme: Make, shape: Any, reason: str) -> None:
    (sample,) = read(labelme(shapes=[shape, polygon("car")]))
    assert [found.label for found in sample.objects] == ["car"]
    assert [(skip.reason, skip.asked) for skip in sample.skips] == [(reason, False)]
    assert "shape 0" in sample.skips[0].place


def test_nan_is_not_json_and_huge_numbers_do_not_crash(labelme: Make) -> None:
    root = labelme(shapes=[polygon("car", 0, 0, 1e300, 0, 5, 5)])
    (sample,) = read(root)
    assert [skip.reason for skip in sample.skips] == ["polygon-unusable"]
    (root / "a.json").write_text((root / "a.json").read_text().replace("1e+300", "NaN"))
    with pytest.raises(DataError, match="not JSON"):
        read(root)


def test_oldest_files_have_neither_type_nor_size_nor_version(labelme: Make) -> None:
    root = labelme()
    shape = {"label": "car", "points": [[5, 5], [15, 5], [15, 15]], "line_color": None}
    (root / "a.json").write_text(json.dumps({"shapes": [shape], "imagePath": "a.jpg", "imageData": None}))
    (sample,) = read(root)
    assert sample.objects[0].label == "car"
    assert (sample.image.width, sample.image.height) == (40, 30)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_and_windows_line_ends(labelme: Make, encoding: str) -> None:
    root = labelme(shapes=[polygon("Straße")])
    text = json.dumps(json.loads((root / "a.json").read_text()), indent=1, ensure_ascii=False).replace("\n", "\r\n")
    (root / "a.json").write_bytes(text.encode(encoding))
    assert read(root)[0].objects[0].label == "Straße"


def test_group_joins_parts_of_one_label(labelme: Make) -> None:
    shapes = [
        polygon("pair", 0, 0, 5, 0, 5, 5, group_id=1),
        polygon("other", 0, 0, 9, 0, 9, 9, group_id=1),
        polygon("pair", 20, 0, 25, 0, 25, 5, group_id=1),
        polygon("pair", 30, 0, 35, 0, 35, 5),
        polygon("pair", 30, 9, 35, 9, 35, 14),
    ]
    (sample,) = read(labelme(shapes=shapes))
    assert [(found.label, len(found.shape.parts)) for found in sample.objects] == [
        ("pair", 2), ("other", 1), ("pair", 1), ("pair", 1),
    ]  # fmt: skip
    assert [note.kind for note in sample.notes] == ["parts-joined"]


def test_group_of_polygon_and_mask_is_their_union(labelme: Make) -> None:
    mask = mask_shape("pair", np.ones((3, 3)), 20, 20)
    shapes = [polygon("pair", 0, 0, 4, 0, 4, 4, 0, 4, group_id=2), {**mask, "group_id": 2}]
    (sample,) = read(labelme(shapes=shapes))
    assert len(sample.objects) == 1
    assert area(sample) == 16 + 9


def test_instance_numbers_in_labels(labelme: Make) -> None:
    shapes = [polygon("person-1"), polygon("person-2"), polygon("person-1", 20, 0, 25, 0, 25, 5), polygon("tree")]
    root = labelme(shapes=shapes)
    assert [found.label for found in read(root)[0].objects] == ["person-1", "person-2", "person-1", "tree"]
    (sample,) = read(root, strip_instance_suffix=True)
    assert [found.label for found in sample.objects] == ["person", "person", "tree"]
    assert len(sample.objects[0].shape.parts) == 2
    shapes = [polygon("crack1"), polygon("crack10"), polygon("crack1"), polygon("7"), polygon("a-1-2")]
    (sample,) = read(labelme(shapes=shapes), strip_instance_suffix=True)
    assert [found.label for found in sample.objects] == ["crack", "crack", "7", "a-1"]


def test_ignore_is_a_crowd_and_background_is_none(labelme: Make) -> None:
    (sample,) = read(labelme(shapes=[polygon("__ignore__"), polygon("_background_"), polygon("car")]))
    assert [(found.label, found.iscrowd) for found in sample.objects] == [("__ignore__", True), ("car", False)]
    assert [(skip.reason, skip.asked) for skip in sample.skips] == [("background", True)]
    assert [note.kind for note in sample.notes] == ["ignored-region"]


@pytest.mark.parametrize(
    "said",
    [
        "a.jpg", "..\\pictures\\a.jpg", "C:\\Users\\me\\a.jpg", "/home/someone/else/a.jpg", "gone.jpg", "a.json", "",
        None, 7, "../../a.jpg",
    ],
)  # fmt: skip
def test_the_image_is_found_whatever_the_path_says(labelme: Make, said: Any) -> None:
    (sample,) = read(labelme(imagePath=said))
    assert sample.image.name == "a.jpg"
    assert Path(sample.image.path or "").name == "a.jpg"


def test_image_in_another_folder_of_the_source(labelme: Make, tmp_path: Path) -> None:
    root = labelme("json/a.jpg", imagePath="..\\images\\a.png", with_picture=False)
    picture(root / "images" / "a.png")
    (sample,) = read(root)
    assert sample.image.name == "images/a.png"
    assert sample.image.path == str(root / "images" / "a.png")


def test_image_in_a_folder_that_is_named(labelme: Make, tmp_path: Path) -> None:
    root = labelme("b.jpg", with_picture=False)
    picture(tmp_path / "elsewhere" / "b.jpg")
    (sample,) = read(root, images=tmp_path / "elsewhere")
    assert sample.image.path == str(tmp_path / "elsewhere" / "b.jpg")
    assert sample.image.name == "b.jpg"


def test_embedded_image(labelme: Make, tmp_path: Path) -> None:
    data = picture(tmp_path / "x.png").read_bytes()
    root = labelme(with_picture=False, imagePath="a.json", imageData=base64.b64encode(data).decode())
    (sample,) = read(root)
    assert sample.image.data == data
    assert (sample.image.name, sample.image.path) == ("a.png", None)


def test_missing_image_leaves_the_declared_size(labelme: Make) -> None:
    (sample,) = read(labelme("b.jpg", with_picture=False))
    assert (sample.image.path, sample.image.width, sample.image.height) == (None, 40, 30)


def test_missing_image_without_size_is_an_error(labelme: Make) -> None:
    with pytest.raises(DataError, match="neither the image nor its size"):
        read(labelme("b.jpg", with_picture=False, imageWidth=None))


def turned_picture(path: Path, orientation: int) -> None:
    exif = pillow.Exif()
    exif[0x0112] = orientation
    pillow.fromarray(np.zeros((30, 40, 3), np.uint8)).save(path, exif=exif)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_coordinates_of_the_stored_image_are_turned(labelme: Make, orientation: int) -> None:
    square = polygon("car", 0, 0, 10, 0, 10, 5, 0, 5)
    root = labelme(shapes=[square], size=(40, 30))
    turned_picture(root / "a.jpg", orientation)
    (sample,) = read(root)
    assert (sample.image.width, sample.image.height, sample.image.orientation) == (30, 40, orientation)
    mask = rle_to_mask(geometry.shape_to_rle(sample.objects[0].shape, 40, 30))
    stored = np.zeros((30, 40), np.uint8)
    stored[0:5, 0:10] = 255
    exif = pillow.Exif()
    exif[0x0112] = orientation
    from PIL import ImageOps

    shown = pillow.fromarray(stored)
    shown.getexif()[0x0112] = orientation
    assert np.array_equal(mask, np.asarray(ImageOps.exif_transpose(shown)) > 0)


def test_coordinates_of_the_shown_image_stay(labelme: Make) -> None:
    root = labelme(size=(30, 40))
    turned_picture(root / "a.jpg", 6)
    (sample,) = read(root)
    assert (sample.image.width, sample.image.height) == (30, 40)
    assert sample.objects[0].shape == Polygons([[5, 5, 15, 5, 15, 15, 5, 15]])
    assert not sample.notes


def test_annotation_of_the_image_at_another_scale_is_no_annotation_of_it(labelme: Make) -> None:
    (sample,) = read(labelme(imageWidth=80, imageHeight=60))
    assert not sample.objects
    assert [skip.reason for skip in sample.skips] == ["size-differs"]


def test_natural_order_and_sub_folders(labelme: Make) -> None:
    for name in ("img10.jpg", "img2.jpg", "b/img1.jpg", "B.x.y.JPG", "día 1/ñ.jpg"):
        root = labelme(name)
    names = [sample.image.name for sample in read(root)]
    assert names == ["B.x.y.JPG", "b/img1.jpg", "día 1/ñ.jpg", "img2.jpg", "img10.jpg"]


def test_splits_by_folder(labelme: Make) -> None:
    for name in ("train/a.jpg", "Validation/b.jpg", "test/c.jpg"):
        root = labelme(name)
    assert [(sample.image.name, sample.split) for sample in read(root)] == [
        ("train/a.jpg", "train"), ("Validation/b.jpg", "val"), ("test/c.jpg", "test"),
    ]  # fmt: skip


def test_labels_file_gives_the_classes(labelme: Make) -> None:
    root = labelme()
    (root / "labels.txt").write_text("__ignore__\n_background_\nzebra\ncar\n")
    classes = LabelMeReader(root).scan().classes
    assert classes is not None
    assert classes.names == ("zebra", "car")


def test_flags_and_descriptions_are_kept(labelme: Make) -> None:
    shape = polygon("car", description="red", flags={"occluded": True}, attributes={"age": 3})
    (sample,) = read(labelme(shapes=[shape], flags={"night": True}))
    assert sample.objects[0].attributes == {"flags": {"occluded": True}, "description": "red", "age": 3}
    assert sample.image.extra == {"flags": {"night": True}}


def test_sniff_says_why(labelme: Make, tmp_path: Path) -> None:
    evidence = LabelMeReader.sniff(labelme())
    assert evidence is not None
    assert evidence.score == 1.0
    assert "shapes" in evidence.reasons[0]
    assert LabelMeReader.sniff(tmp_path / "nothing") is None


@pytest.mark.parametrize("text", ["{}", '{"shapes": {}}', "[]", '"x"', "", '{"shapes": ' + "[" * 100_000])
def test_other_json_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=r"a\.json"):
        read(tmp_path)


def test_folder_without_annotations_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='"shapes" and "imagePath"'):
        read(tmp_path)


def test_links_that_loop_end(labelme: Make) -> None:
    root = labelme()
    (root / "again").symlink_to(root)
    (root / "self.json").symlink_to(root / "self.json")
    assert len(read(root)) == 1


def test_every_shape_kind_of_the_real_tool(shared: Path) -> None:
    (sample,) = read(shared / "corpora" / "labelme__labelme__primitives_all_shapes", boxes="as-polygons")
    assert {skip.reason for skip in sample.skips} == {"line-has-no-area", "point-has-no-area", "linestrip-has-no-area"}
    assert len(sample.objects) == 5
    mask = next(found for found in sample.objects if isinstance(found.shape, Rle))
    x, y, width, height = rle_bbox(mask.shape)
    assert (x >= 417, y >= 305, x + width <= 517, y + height <= 405) == (True,) * 4


def test_embedded_image_of_the_real_tool(shared: Path) -> None:
    (sample,) = read(shared / "corpora" / "labelme+maskpng__labelme__tutorial_embedded_imagedata" / "apc2016_obj3.json")
    assert (sample.image.width, sample.image.height) == (1210, 907)
    assert len(sample.objects) == 4


UNUSUAL: list[dict[str, Any]] = [
    {"points": [[5, 5, 0.9], [15, 5, 0.9], [15, 15.5, 0.9]]},
    {"flags": {"far": 1}},
    {"description": 7},
    {"attributes": {"size": 2**70}},
    {"points": [[10**30, 1], [2, 2], [3, 1]]},
    {"points": [[10**300, 1], [2, 2], [3, 1]]},
]


@pytest.mark.parametrize("extra", UNUSUAL)
def test_what_is_unusual_in_one_shape_changes_no_other(labelme: Make, extra: dict[str, Any]) -> None:
    usual = [polygon("car", 1, 2.5, 20, 3, 7, 20), polygon("tree", description="tall", flags={"far": True})]
    (alone,) = read(labelme(shapes=usual))
    (beside,) = read(labelme(shapes=[*usual, {**polygon("odd"), **extra}]))
    assert beside.objects[:2] == alone.objects
    assert [type(number) for number in beside.objects[0].shape.parts[0]] == [int, float, int, int, int, int]
    assert len(beside.objects) + len(beside.skips) == 3
    json.dumps([found.attributes for found in beside.objects])


@pytest.mark.parametrize("width", [40.0, 10**30, "40", None, True, -1])
def test_declared_sizes_of_any_kind(labelme: Make, width: Any) -> None:
    root = labelme()
    document = json.loads((root / "a.json").read_text())
    (root / "a.json").write_text(json.dumps({**document, "imageWidth": width}))
    (sample,) = read(root)
    assert (sample.image.width, sample.image.height) == (40, 30)
    assert len(sample.objects) + len(sample.skips) == 1
