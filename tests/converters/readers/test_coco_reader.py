"""COCO as its tools write it: numbers kept, and what is no object said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn import picture

import seg2knet
from seg2knet.converters.base import Scan
from seg2knet.converters.readers.coco.reader import CocoOptions, CocoReader
from seg2knet.converters.splitting.names import safe
from seg2knet.dataset.layout import LEDGER
from seg2knet.dataset.rle import areas_and_boxes, as_json, mask_to_rle, rle_runs, rle_to_mask
from seg2knet.dataset.sample import Polygons, Rle, Sample
from seg2knet.errors import DataError

Make = Callable[..., Path]
IMAGE = {"id": 7, "file_name": "a.jpg", "width": 40, "height": 30}
SQUARE = [[5, 5, 15, 5, 15, 15.25, 5, 15]]


def annotation(segmentation: Any = SQUARE, **fields: Any) -> dict[str, Any]:
    return {"id": 3, "image_id": 7, "category_id": 1, "segmentation": segmentation, "iscrowd": 0, **fields}


def read(source: Path, **options: Any) -> tuple[Scan, list[Sample]]:
    reader = CocoReader(source, CocoOptions(**options))
    scan = reader.scan()
    return scan, [reader.read(handle) for handle in scan.handles]


def one(source: Path, **options: Any) -> Sample:
    (sample,) = read(source, **options)[1]
    return sample


def test_polygons_number_for_number(coco: Make) -> None:
    parts = [[1, 2.5, 10.123456789012345, 3, 7, 20], [20, 20, 30, 20, 30, 29.0]]
    sample = one(coco([IMAGE], [annotation(parts)]))
    assert sample.objects[0].shape == Polygons(parts)
    assert [type(number) for number in sample.objects[0].shape.parts[0][:2]] == [int, float]


MASK = np.zeros((30, 40), np.uint8)
MASK[3:20, 4:30] = 1
MASK[5:9, 10:15] = 0
RLE = mask_to_rle(MASK)


@pytest.mark.parametrize("form", ["string", "bytes", "list"])
def test_run_length_codes_bit_for_bit(coco: Make, form: str) -> None:
    counts: Any = RLE.counts.decode()
    if form == "bytes":
        counts = str(RLE.counts)
    elif form == "list":
        counts = rle_runs(RLE.counts).tolist()
    sample = one(coco([IMAGE], [annotation({"size": [30, 40], "counts": counts}, iscrowd=1)]), crowd="keep")
    assert sample.objects[0].shape == RLE
    assert sample.objects[0].iscrowd


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"segmentation": {"size": [40, 30], "counts": RLE.counts.decode()}}, "rle-size-differs"),
        ({"segmentation": {"size": [30, 40], "counts": "0000"}}, "rle-unusable"),
        ({"segmentation": {"size": [30, 40], "counts": "日本"}}, "rle-unusable"),
        ({"segmentation": {"size": [30, 40], "counts": [10, -1, 1191]}}, "rle-unusable"),
        ({"segmentation": {"size": [30, 40], "counts": 5}}, "rle-unusable"),
        ({"segmentation": {"size": [10**6, 10**6], "counts": [10**12]}}, "rle-size-differs"),
        ({"segmentation": [[1, 2, 3, 4]]}, "polygon-unusable"),
        ({"segmentation": [[1, 2, 3, 4, 5]]}, "polygon-unusable"),
        ({"segmentation": [[1, 2, 3, 4, 5, None]]}, "polygon-unusable"),
        ({"segmentation": [[1, 2, 3, 4, 5, 1e300]]}, "polygon-unusable"),
        ({"segmentation": [{"x": 1}]}, "polygon-unusable"),
        ({"segmentation": [[[1, 2], [3, 4], [5, 6]]]}, "polygon-unusable"),
        ({"segmentation": "polygon"}, "segmentation-unusable"),
        ({"segmentation": [], "bbox": [1, 2, 3, 4]}, "box-only"),
        ({"segmentation": None}, "no-segmentation"),
        ({"category_id": 99}, "unknown-category"),
    ],
)
def test_what_is_no_object_is_a_skip(coco: Make, fields: dict[str, Any], reason: str) -> None:
    sample = one(coco([IMAGE], [annotation(**fields), annotation(id=4)]))
    assert [(skip.reason, skip.asked) for skip in sample.skips] == [(reason, False)]
    assert "annotation 3" in sample.skips[0].place
    assert [found.place for found in sample.objects] == ["annotation 4"]


def test_boxes_as_polygons(coco: Make) -> None:
    sample = one(coco([IMAGE], [annotation([], bbox=[1, 2, 10, 4])]), boxes="as-polygons")
    assert sample.objects[0].shape == Polygons([[1, 2, 11, 2, 11, 6, 1, 6]])


def test_bad_part_of_a_good_object_is_left_out_and_said(coco: Make) -> None:
    sample = one(coco([IMAGE], [annotation([[1, 2, 3, 4], *SQUARE])]))
    assert sample.objects[0].shape == Polygons(SQUARE)
    assert [note.kind for note in sample.notes] == ["part-left-out"]


def test_flat_list_is_one_polygon_and_said(coco: Make) -> None:
    sample = one(coco([IMAGE], [annotation(SQUARE[0])]))
    assert sample.objects[0].shape == Polygons(SQUARE)
    assert [note.kind for note in sample.notes] == ["flat-polygon"]


def test_annotation_of_no_image_is_a_skip(coco: Make) -> None:
    scan, _ = read(coco([IMAGE], [annotation(), annotation(image_id=8), annotation(image_id=None)]))
    assert [(skip.reason, skip.count) for skip in scan.skips] == [("unknown-image", 2)]


def test_what_the_source_says_besides_is_kept(coco: Make) -> None:
    image = {**IMAGE, "license": 3, "date_captured": "2020", "my key": [1]}
    path = coco([image], [annotation(attributes={"occluded": True})], info={"year": 2020}, licenses=[{"id": 3}])
    scan, (sample,) = read(path)
    assert sample.image.extra == {"license": 3, "date_captured": "2020", "my key": [1]}
    assert sample.objects[0].attributes == {"occluded": True}
    assert scan.meta == {"info": {"year": 2020}, "licenses": [{"id": 3}]}


def category(number: Any, name: Any, parent: str = "") -> dict[str, Any]:
    return {"id": number, "name": name, "supercategory": parent}


def test_unused_background_is_left_out_and_unused_classes_stay(coco: Make) -> None:
    categories = [category(0, "_background_"), category(5, "zebra"), category(1, "car"), category(9, "unused")]
    scan, (sample,) = read(coco([IMAGE], [annotation()], categories))
    assert scan.classes is not None
    assert scan.classes.names == ("zebra", "car", "unused")
    assert sample.objects[0].label == "car"
    assert [note.kind for note in scan.notes] == ["category-left-out"]


def test_background_that_is_used_stays(coco: Make) -> None:
    scan, _ = read(coco([IMAGE], [annotation()], [category(1, "background"), category(2, "car")]))
    assert scan.classes is not None
    assert scan.classes.names == ("background", "car")


def test_parent_category_of_roboflow_is_left_out(coco: Make) -> None:
    categories = [category(0, "parts", "none"), category(1, "car", "parts")]
    scan, _ = read(coco([IMAGE], [annotation()], categories))
    assert scan.classes is not None
    assert scan.classes.names == ("car",)


def test_images_of_several_files_in_natural_order(tmp_path: Path) -> None:
    """Entries of one name, in a file, are one image with the annotations of both, wherever the file stands."""
    for number, names in enumerate([["b10.jpg", "a.jpg", "b10.jpg"], ["b9.jpg", "c.jpg"]]):
        images = [{**IMAGE, "id": f"n{place}", "file_name": name} for place, name in enumerate(names)]
        annotations = [annotation([[5, 5, 9, 5, 9, 9 + i]], image_id=f"n{i % len(names)}") for i in range(5)]
        data = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "car"}]}
        (tmp_path / f"part{number}_train.json").write_text(json.dumps(data))
    scan, samples = read(tmp_path)
    assert [handle.name for handle in scan.handles] == ["a.jpg", "b9.jpg", "b10.jpg", "c.jpg"]
    heights = [[shape.shape.parts[0][5] for shape in sample.objects] for sample in samples]
    assert heights == [[10, 13], [9, 11, 13], [9, 12, 11], [10, 12]]
    assert [note.kind for note in scan.notes] == ["image-listed-twice"]


def test_two_images_with_one_id(coco: Make) -> None:
    other = {**IMAGE, "id": 8, "file_name": "b.jpg"}
    with pytest.raises(DataError, match=r"c\.jpg.*two images with one id"):
        read(coco([IMAGE, other, {**IMAGE, "file_name": "c.jpg"}], []))


def test_a_file_is_told_by_its_lists(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'{"images": [], "annotations": [], "categories": []}')
    (tmp_path / "b.json").write_bytes(b'{"images": [], "categories": []}')
    (tmp_path / "c.json").write_bytes(b"")
    assert CocoReader.sniff(tmp_path / "a.json") is not None
    assert CocoReader.sniff(tmp_path / "b.json") is None
    assert CocoReader.sniff(tmp_path / "c.json") is None


def test_entries_of_one_file_are_one_image(coco: Make) -> None:
    images = [IMAGE, {**IMAGE, "id": 8}]
    scan, (sample,) = read(coco(images, [annotation(), annotation(image_id=8, id=4)]))
    assert [found.place for found in sample.objects] == ["annotation 3", "annotation 4"]
    assert [note.kind for note in scan.notes] == ["image-listed-twice"]


@pytest.mark.parametrize("name", ["../../out.jpg", "a/../../out.jpg", "..\\out.jpg"])
def test_name_that_leaves_the_folder_is_refused(coco: Make, name: str) -> None:
    path = coco([IMAGE], [annotation()])
    path.write_text(path.read_text().replace("a.jpg", name.replace("\\", "\\\\")))
    (path.parent.parent / "out.jpg").write_bytes((path.parent / "images" / "a.jpg").read_bytes())
    _, (sample,) = read(path)
    assert sample.image.path is None
    with pytest.raises(DataError, match="leads out"):
        safe(sample.image.name)


@pytest.mark.parametrize("name", ["/data/old machine/a.jpg", "C:\\data\\a.jpg"])
def test_absolute_names_are_found_by_their_tail(coco: Make, name: str) -> None:
    path = coco([IMAGE], [annotation()])
    path.write_text(path.read_text().replace("a.jpg", name.replace("\\", "\\\\")))
    scan, (sample,) = read(path)
    assert sample.image.name == "a.jpg"
    assert sample.image.path is not None
    assert [note.kind for note in scan.notes] == ["absolute-name"]


@pytest.mark.parametrize(
    ("file", "pictures"),
    [
        ("annotations.json", ""),
        ("annotations.json", "JPEGImages"),
        ("annotations/instances_default.json", "images"),
        ("annotations/instances_default.json", "images/default"),
        ("annotations/instances_train2017.json", "train2017"),
        ("annotations/instances_train.json", "images/train"),
        ("train/_annotations.coco.json", "train"),
        ("deep/er/some.json", "pictures/of/mine"),
    ],
)
def test_images_where_tools_put_them(coco: Make, file: str, pictures: str) -> None:
    path = coco([IMAGE], [annotation()], file=file, pictures=pictures or ".")
    sample = one(path.parents[len(Path(file).parts) - 1])
    assert sample.image.path is not None
    assert sample.split == ("train" if "train" in file else None)


def test_an_image_is_the_same_whatever_was_read_before(coco: Make) -> None:
    path = coco([{**IMAGE, "id": number, "file_name": f"{name}.jpg"} for number, name in enumerate("ab")], [])
    picture(path.parent / "data/a.jpg")
    (path.parent / "images/b.jpg").rename(path.parent / "data/b.jpg")
    reader = CocoReader(path)
    first, second = reader.scan().handles
    paths = [reader.read(handle).image.path for handle in (first, second, first)]
    assert None not in paths
    assert paths[0] == paths[2]


def test_a_folder_with_splits(coco: Make) -> None:
    for split in ("train", "valid", "test"):
        image = {**IMAGE, "file_name": f"{split}.jpg"}
        path = coco([image], [annotation()], file=f"{split}/_annotations.coco.json", pictures=split)
    _, samples = read(path.parents[1])
    assert [(sample.image.name, sample.split) for sample in samples] == [
        ("train.jpg", "train"), ("valid.jpg", "val"), ("test.jpg", "test"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"annotations": None}, "no 'annotations'"),
        ({"images": {}}, "'images' is no list"),
        ({"categories": {"a": 1}}, "'categories' is no list"),
        ({"categories": [{"name": "car"}]}, "a category without an id"),
        ({"categories": [{"id": 1}]}, "a category without a name"),
        ({"categories": [category(1, "a"), category(1, "b")]}, "two categories with one id"),
        ({"images": [{"file_name": "a.jpg"}]}, "an image without an id"),
        ({"images": [{"id": 1}]}, "an image without a file name"),
        ({"images": [IMAGE, IMAGE]}, "two images with one id"),
        ({"images": [{"id": [1], "file_name": "a.jpg"}]}, "not as COCO has it"),
        ({"annotations": [annotation(), annotation(category_id=[1])]}, r"/annotations/1/category_id: not as COCO"),
        ({"annotations": [1, 2]}, "not as COCO has it"),
        ({"annotations": [annotation(), {"segments_info": [], "image_id": 7}]}, "both instance and panoptic"),
    ],
)
def test_a_file_that_is_not_coco_is_refused(coco: Make, change: dict[str, Any], said: str) -> None:
    path = coco([IMAGE], [annotation()])
    document = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))
    with pytest.raises(DataError, match=said):
        read(path)


def test_missing_comma_and_deep_nesting_are_errors(coco: Make) -> None:
    path = coco([IMAGE], [annotation(), annotation()])
    text = path.read_text()
    path.write_text(text.replace("}, {", "} {"))
    with pytest.raises(DataError, match="expected ','"):
        read(path)
    path.write_text(text.replace('"iscrowd": 0', '"iscrowd": ' + "[" * 100_000 + "]" * 100_000))
    with pytest.raises(DataError):
        read(path)


def test_panoptic_segments_are_their_pixels(coco: Make) -> None:
    segments = [
        {"id": 258, "category_id": 1, "iscrowd": 0, "area": 0, "bbox": [0, 0, 0, 0]},
        {"id": 70000, "category_id": 2, "iscrowd": 1},
        {"id": 9, "category_id": 1},
    ]
    categories = [{**category(1, "car"), "isthing": 1}, {**category(2, "sky"), "isthing": 0, "color": [1, 2, 3]}]
    path = coco(
        [IMAGE],
        [{"image_id": 7, "file_name": "a.png", "segments_info": segments}],
        categories,
        file="panoptic_val.json",
    )
    pixels = np.zeros((30, 40, 3), np.uint8)
    pixels[:5, :10] = (0, 1, 2)  # BGR of 258
    pixels[10:, 3:] = (1, 17, 112)  # of 70000 = 112 + 17 * 256 + 65536
    pixels[6, 0] = (0, 0, 77)
    import cv2

    folder = path.with_suffix("")
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), pixels)
    scan, (sample,) = read(path)
    assert scan.classes is not None
    assert (scan.classes.things, scan.classes.stuff) == (("car",), ("sky",))
    assert [(found.label, found.iscrowd) for found in sample.objects] == [("car", False), ("sky", True)]
    masks = [rle_to_mask(found.shape) for found in sample.objects if isinstance(found.shape, Rle)]
    assert np.array_equal(masks[0], pixels[..., 1] == 1)
    assert np.array_equal(masks[1], pixels[..., 1] == 17)
    assert [skip.reason for skip in sample.skips] == ["segment-not-in-png"]
    assert [note.kind for note in sample.notes] == ["pixels-without-segment"]
    assert sample.split == "val"


def test_panopticapis_own_data(shared: Path) -> None:
    root = shared / "corpora" / "coco-panoptic__panopticapi__sample_data"
    reader = CocoReader(root / "panoptic_examples.json")
    samples = [reader.read(handle) for handle in reader.scan().handles]
    detection = json.loads((root / "panoptic_coco_detection_format.json").read_text())
    panoptic = json.loads((root / "panoptic_examples.json").read_text())
    truth = [
        (segment["area"], tuple(segment["bbox"]))
        for entry in sorted(panoptic["annotations"], key=lambda entry: entry["file_name"])
        for segment in entry["segments_info"]
    ]
    shapes = [found.shape for sample in samples for found in sample.objects if isinstance(found.shape, Rle)]
    assert list(zip(*areas_and_boxes(shapes))) == truth
    codes = {entry["segmentation"]["counts"] for entry in detection["annotations"]}
    assert {shape.counts.decode() for shape in shapes} == codes


def test_car_parts_survive(shared: Path) -> None:
    folder = shared / "data" / "carparts" / "testset"
    reader = CocoReader(folder)
    scan = reader.scan()
    source = json.loads((folder / "annotations.json").read_text())
    names = {entry["id"]: entry["name"] for entry in source["categories"]}
    by_image: dict[str, list[Any]] = {entry["file_name"]: [] for entry in source["images"]}
    files = {entry["id"]: entry["file_name"] for entry in source["images"]}
    for entry in source["annotations"]:
        by_image[files[entry["image_id"]]].append((names[entry["category_id"]], entry["segmentation"]))
    for handle in scan.handles:
        found = reader.read(handle)
        assert [(each.label, each.shape.parts) for each in found.objects] == by_image[handle.name]
    assert len(scan.handles) == 100
    assert scan.classes is not None
    assert len(scan.classes) == 18


@pytest.mark.parametrize("number", range(17))
def test_corpus_that_is_broken_on_purpose(shared: Path, tmp_path: Path, number: int) -> None:
    said = {
        0: "no 'annotations'", 1: None, 2: "without an id", 3: "an image without an id", 4: None, 5: None,
        6: "without a file name", 7: "without a name", 8: None, 9: "no 'images'", 10: "no 'annotations'",
        11: "no 'categories'", 12: "'annotations' is no list", 13: "'categories' is no list", 14: "'images' is no list",
        15: "no 'images'", 16: "no 'categories'",
    }[number]  # fmt: skip
    folder = shared / "corpora" / "coco-invalid+labelme__labelme2coco__tests_data"
    path = Path(shutil.copy(folder / f"coco_false_{number}.json", tmp_path))
    if said is not None:
        with pytest.raises(DataError, match=said):
            CocoReader(path).scan()
        return
    document = json.loads(path.read_text())
    for image in document["images"]:
        picture(tmp_path / Path(image["file_name"]).with_suffix(".png"), 1100, 1200)
        image["file_name"] = str(Path(image["file_name"]).with_suffix(".png"))
    path.write_text(json.dumps(document))
    scan, samples = read(path)
    reasons = {skip.reason for sample in samples for skip in sample.skips} | {skip.reason for skip in scan.skips}
    kinds = {note.kind for sample in samples for note in sample.notes}
    expected = {1: "flat-polygon", 4: "no-category", 5: "unknown-image", 8: "no-segmentation"}[number]
    assert expected in reasons | kinds


def test_masks_that_cvat_marks_as_crowds_are_objects(coco: Make) -> None:
    rle = {"size": [30, 40], "counts": RLE.counts.decode()}
    brushed = annotation(rle, iscrowd=1, attributes={"occluded": False})
    path = coco([IMAGE], [brushed, annotation(id=4)])
    scan, (sample,) = read(path)
    assert [found.iscrowd for found in sample.objects] == [False, False]
    assert [note.kind for note in scan.notes] == ["crowd-taken-as-object"]
    assert "--crowd keep" in scan.notes[0].detail
    _, (sample,) = read(path, crowd="keep")
    assert [found.iscrowd for found in sample.objects] == [True, False]


def test_cocos_own_crowds_stay_crowds(coco: Make) -> None:
    rle = {"size": [30, 40], "counts": RLE.counts.decode()}
    scan, (sample,) = read(coco([IMAGE], [annotation(rle, iscrowd=1), annotation(id=4)]))
    assert [found.iscrowd for found in sample.objects] == [True, False]
    assert not scan.notes


def test_images_in_several_folders(coco: Make, tmp_path: Path) -> None:
    names = ["a/x.jpg", "a/y.jpg", "a/z.jpg", "b/u.jpg", "c/d/v.jpg"]
    images = [{**IMAGE, "id": number, "file_name": name} for number, name in enumerate(names)]
    path = coco(images, [annotation(image_id=4)], pictures="photos")
    document = path.read_text()
    for name in names:
        document = document.replace(name, name.rpartition("/")[2])
    path.write_text(document)
    for source, options in ((path.parent, {}), (path, {"images": tmp_path / "source"})):
        _, samples = read(source, **options)
        assert all(sample.image.path is not None for sample in samples)
    picture(tmp_path / "source/photos/b/v.jpg")
    picture(tmp_path / "source/photos/a/v.jpg")
    reader = CocoReader(path.parent)
    with pytest.raises(DataError, match="several images of that name"):
        [reader.read(handle) for handle in reader.scan().handles]


def test_ids_as_text_and_codes_in_a_list(coco: Make) -> None:
    rle = {"size": [30, 40], "counts": RLE.counts.decode()}
    scan, (sample,) = read(coco([IMAGE], [annotation([rle], image_id="7", category_id="1"), annotation(id=4)]))
    assert [found.place for found in sample.objects] == ["annotation 3", "annotation 4"]
    assert sample.objects[0].shape == RLE
    assert [note.kind for note in (*scan.notes, *sample.notes)] == ["id-as-text", "rle-in-a-list"]


def test_a_key_that_is_not_utf8_is_no_traceback(coco: Make) -> None:
    path = coco([IMAGE], [annotation()])
    path.write_bytes(path.read_bytes().replace(b'{"', b'{"inf\xe5": 1, "', 1))
    assert len(read(path)[1]) == 1


def test_nan_is_read_the_lenient_way(coco: Make) -> None:
    path = coco([IMAGE], [annotation(id=4), annotation(), annotation(id=5, image_id=8)])
    path.write_text(path.read_text().replace("15.25", "NaN", 1).replace('"supercategory": ""', '"score": Infinity'))
    scan, (sample,) = read(path)
    assert [found.place for found in sample.objects] == ["annotation 3"]
    assert [skip.reason for skip in sample.skips] == ["polygon-unusable"]
    assert [note.kind for note in scan.notes] == ["not-quite-json"]
    assert [skip.reason for skip in scan.skips] == ["unknown-image"]


def test_a_category_that_is_repeated_for_every_use(coco: Make) -> None:
    scan, _ = read(coco([IMAGE], [annotation()], [category(1, "car"), category(1, "car")]))
    assert scan.classes is not None
    assert scan.classes.names == ("car",)


def test_lvis_has_a_url_in_place_of_a_name(coco: Make, tmp_path: Path) -> None:
    path = coco([IMAGE], [annotation()], pictures="train2017", file="lvis_v1_val.json")
    picture(tmp_path / "source/val2017/a.jpg")
    url = '"coco_url": "http://images.cocodataset.org/train2017/a.jpg"'
    path.write_text(path.read_text().replace('"file_name": "a.jpg"', url))
    sample = one(path.parent)
    assert (sample.image.name, sample.split) == ("a.jpg", "val")
    assert Path(sample.image.path or "").parent.name == "train2017"


def test_an_image_that_cannot_be_read_keeps_its_annotations(coco: Make, tmp_path: Path) -> None:
    path = coco([IMAGE], [annotation()])
    (tmp_path / "source/images/a.jpg").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    sample = one(path)
    assert (sample.image.path, sample.image.width, len(sample.objects)) == (None, 40, 1)
    assert [note.kind for note in sample.notes] == ["image-unreadable"]


def test_makesenses_name_of_a_file(coco: Make) -> None:
    path = coco([IMAGE], [annotation()], file="labels_my-project-name_2026-01-02-03-04-05.json")
    assert len(one(path.parent).objects) == 1


def test_a_folder_a_split_below_images_and_annotations(coco: Make) -> None:
    for split in ("train", "val"):
        path = coco([IMAGE], [annotation()], file=f"annotations/{split}/instances.json", pictures=f"images/{split}")
    _, samples = read(path.parents[2])
    assert [(sample.split, Path(sample.image.path or "").parent.name) for sample in samples] == [
        ("train", "train"), ("val", "val"),
    ]  # fmt: skip


def results(folder: Path) -> Path:
    """What ``predict --format coco`` leaves, of two images and one object."""
    images = [{"id": 1, "file_name": "a.jpg", "width": 40, "height": 30}, {"id": 2, "file_name": "b.jpg"}]
    for image in images:
        picture(folder / "photos" / str(image["file_name"]))
    listed = {"images": images, "categories": [{"id": 1, "name": "car"}, {"id": 3, "name": "tree"}]}
    (folder / "images.json").write_text(json.dumps(listed))
    mask = np.zeros((30, 40), bool)
    mask[5:15, 5:25] = True
    found = [{"image_id": 1, "category_id": 3, "segmentation": as_json(mask_to_rle(mask)), "score": 0.75}]
    (folder / "predictions.json").write_text(json.dumps(found))
    return folder


@pytest.mark.parametrize("format", ["coco", "auto"])
@pytest.mark.parametrize("source", ["", "predictions.json"])
def test_results_are_a_data_set_with_scores(tmp_path: Path, format: str, source: str) -> None:
    root = results(tmp_path / "found")
    given = {"images": root / "photos"}
    result = seg2knet.convert(format, root / source, out=tmp_path / "out", split="train", jobs=1, reader_options=given)
    assert (result.ledger.images_written, result.ledger.written) == (2, {"coco": 1})
    document = json.loads((tmp_path / "out" / "annotations" / "instances_train2017.json").read_text())
    assert [entry["name"] for entry in document["categories"]] == ["car", "tree"]
    (annotation,) = document["annotations"]
    assert (annotation["category_id"], annotation["attributes"], annotation["area"]) == (2, {"score": 0.75}, 200)


def test_results_whose_images_are_not_known(tmp_path: Path) -> None:
    root = results(tmp_path / "found")
    (root / "images.json").rename(tmp_path / "truth.json")
    with pytest.raises(DataError, match=r"(?s)without their images and categories.*--results-of"):
        CocoReader(root / "predictions.json").scan()
    reader = CocoReader(root / "predictions.json", CocoOptions(results_of=tmp_path / "truth.json"))
    assert [handle.name for handle in reader.scan().handles] == ["a.jpg", "b.jpg"]
    (root / "predictions.json").write_text('[{"image_id": 1}, 2]')
    with pytest.raises(DataError, match="not COCO results"):
        reader.scan()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[:-40].encode(), "not JSON"),
        (lambda text: text[:60].encode(), "not JSON"),
        (lambda text: text.replace('"', "'").encode(), "not JSON"),
        (lambda text: text.replace('"categories"', '"classes"').encode(), "no 'categories'"),
        (lambda text: b"", "cannot be read"),
        (lambda text: b'{"images": [], "annotations": []}', "no 'categories'"),
    ],
)
@pytest.mark.parametrize("name", ["instances_train2017.json", "train.json"])
def test_a_damaged_file_beside_a_sound_one_is_refused(
    coco: Make, damage: Callable[[str], bytes], said: str, name: str
) -> None:
    """It was passed over: half of the data set was missing, and the ledger was balanced."""
    path = coco([IMAGE], [annotation()], file=f"annotations/{name}")
    text = path.read_text()
    (path.parent / "instances_val2017.json").write_text(text)
    path.write_bytes(damage(text))
    with pytest.raises(DataError, match=said) as raised:
        read(path.parents[1])
    assert name in str(raised.value)


def test_utf16_beside_utf8(coco: Make) -> None:
    path = coco([IMAGE], [annotation()], file="annotations/instances_train2017.json")
    (path.parent / "instances_val2017.json").write_text(path.read_text())
    path.write_text(path.read_text(), encoding="utf-16")
    assert [sample.split for sample in read(path.parents[1])[1]] == ["train", "val"]


def test_instances_in_a_file_that_is_called_panoptic_are_instances(coco: Make) -> None:
    """As in panopticapi's own samples: both files were read, and every object was there twice."""
    path = coco([IMAGE], [annotation()], file="panoptic_detection_format.json")
    content = json.loads(path.read_text())
    content["annotations"] = [{"image_id": 7, "file_name": "a.png", "segments_info": [{"id": 1, "category_id": 1}]}]
    (path.parent / "panoptic_examples.json").write_text(json.dumps(content))
    scan, _ = read(path.parent)
    assert [Path(handle.where[0]).name for handle in scan.handles] == ["panoptic_detection_format.json"]


def test_json_that_is_not_coco_is_named(coco: Make) -> None:
    path = coco([IMAGE], [annotation()], file="annotations/instances_train2017.json")
    for name in ("notes.json", "captions_train2017.json", LEDGER, "train_settings.json"):
        (path.parent / name).write_text("{  // speed")
    scan, _ = read(path.parents[1])
    (note,) = scan.notes
    assert (note.kind, Path(note.place).name, note.detail) == (
        "json-not-read",
        "notes.json",
        "not COCO annotations; 1 more",
    )


@pytest.mark.parametrize("swapped", [True, False])
def test_polygons_that_are_not_in_their_boxes_are_named(coco: Make, swapped: bool) -> None:
    """With x and y swapped all masks are wrong, which nothing but the stated boxes tells."""
    polygon = [4, 20, 10, 20, 10, 28, 4, 28]
    parts = [polygon[at ^ 1] for at in range(8)] if swapped else polygon
    scan, _ = read(coco([IMAGE], [annotation([parts], id=number, bbox=[4, 20, 6, 8]) for number in range(5)]))
    assert [note.kind for note in scan.notes] == ["box-elsewhere"] * swapped


def test_text_that_is_not_utf8_in_an_annotation_is_an_error(coco: Make) -> None:
    """Comparing boxes with polygons decoded it, and ended in a traceback."""
    path = coco([IMAGE], [annotation(bbox=[5, 5, 10, 10], note="ab")])
    path.write_bytes(path.read_bytes().replace(b'"ab"', b'"t\xfcr"'))
    with pytest.raises(DataError, match="not JSON"):
        read(path)


def test_an_empty_object_under_cocos_name_is_refused(coco: Make) -> None:
    path = coco([IMAGE], [annotation()], file="annotations/instances_train2017.json")
    (path.parent / "instances_val2017.json").write_text("{}")
    with pytest.raises(DataError, match="no lists at all"):
        read(path.parents[1])
