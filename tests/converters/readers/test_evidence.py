"""``convert auto``: the evidence of each reader, on what other tools wrote."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from folders import mask, picture

from seg2knet.converters.detection import detect
from seg2knet.converters.registry import readers
from seg2knet.errors import DataError, UsageError

FORMATS = {
    "labelme+coco+voc__labelme__instance_segmentation/data_annotated": "labelme",
    "labelme+coco+voc__labelme__instance_segmentation/data_dataset_voc": "voc",
    "labelme+coco+voc__labelme__instance_segmentation/data_dataset_coco": "coco",
    "labelme__labelme__primitives_all_shapes": "labelme",
    "coco-panoptic__panopticapi__sample_data": "coco",
    "coco-roboflow__datumaro__roboflow/coco": "coco",
    "coco-roboflow__datumaro__roboflow/voc": "voc",
    "coco-roboflow__datumaro__roboflow/yolo": "yolo",
    "ade20k__sceneparsing__sampleData": "ade",
    "ade20k-full__datumaro__ade20k2017/dataset": "ade",
    "cvat-xml__datumaro__for_images": "cvat",
    "cvat-xml__datumaro__for_video": "cvat",
    "cvat-xml-rotatedbox__docling__fixtures": "cvat",
    "voc__labelformat__semantic_pascalvoc": "voc",
    "voc__datumaro__voc_dataset/voc_dataset2": "voc",
    "maskpng-binary__bubbliiiing-unet__medical": "masks",
    "maskpng-cityscapes__datumaro__cityscapes/dataset": "masks",
    "maskpng-kitti16__datumaro__kitti_segmentation": "masks",
    "maskpng-mots16__datumaro__mots": "masks",
    "maskpng-palette__mmseg-fork__pseudo_dataset": "masks",
    "maskpng__datumaro__common_semantic_segmentation/dataset": "masks",
    "yoloseg__ultralytics-hub__coco8-seg": "yolo",
    "yolo-det__datumaro__yolo_dataset/strict": "yolo",
    "coco-rle-sam__datumaro__segment_anything": "sa1b",
    "darwin2+masks__darwin-py__e2e_convert/instance_mask/from": "darwin",
    "labelbox-v2-ndjson__labelformat__object_detection": "labelbox",
    "labelstudio-json__label-studio-sdk__converter_tests": "labelstudio",
    "lvis__lvis-api__lvis_val_100_cut": "coco",
    "openimages-masks__datumaro__open_images_v6": "openimages",
    "supervisely-bitmap__supervisely-ecosystem__pascal-sample-gt-masks": "supervisely",
    "via1__FengJunJian__Dataset_Convert": "via",
}


@pytest.mark.parametrize("path", sorted(FORMATS))
def test_real_sources_are_named(shared: Path, path: str) -> None:
    name, evidence = detect([shared / "corpora" / path])
    assert name == FORMATS[path]
    assert evidence.reasons


def test_two_formats_that_fit_are_both_offered(tmp_path: Path) -> None:
    picture(tmp_path / "JPEGImages/a.jpg", 4, 3)
    mask(tmp_path / "SegmentationClass/a.png", np.ones((3, 4), np.uint8))
    shape = {"label": "a", "points": [[0, 0], [2, 0], [2, 2]], "shape_type": "polygon"}
    content = {"imagePath": "a.jpg", "imageHeight": 3, "imageWidth": 4, "imageData": None, "shapes": [shape]}
    (tmp_path / "JPEGImages/a.json").write_text(json.dumps(content))
    with pytest.raises(UsageError, match="two formats fit") as caught:
        detect([tmp_path])
    assert f"seg2knet convert labelme {tmp_path}" in str(caught.value.hint)
    assert f"seg2knet convert voc {tmp_path}" in str(caught.value.hint)


@pytest.mark.parametrize(
    "path",
    [
        "labelme+coco+voc__labelme__instance_segmentation",
        "labelme+maskpng__bubbliiiing-unet__datasets",
        "maskpng+panoptic__datumaro__mapillary_vistas",
    ],
)
def test_two_formats_in_one_folder_are_not_guessed_between(shared: Path, path: str) -> None:
    with pytest.raises(UsageError, match="two formats fit"):
        detect([shared / "corpora" / path])


@pytest.mark.parametrize(
    "path",
    [
        "ade20k-odgt__CSAIL-semseg__lists",
        "images-exif__opencv-cvat__exif_rotated",
        "coco-results-rle__cocoapi__fakesegm100",
    ],
)
def test_what_is_no_data_set_is_of_no_format(shared: Path, path: str) -> None:
    with pytest.raises(DataError, match="unknown format"):
        detect([shared / "corpora" / path])


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("coco-results-rle__cocoapi__fakesegm100", "COCO results"),
        ("images-exif__opencv-cvat__exif_rotated", "images alone"),
    ],
)
def test_what_is_known_and_not_read_is_named(shared: Path, path: str, seen: str) -> None:
    with pytest.raises(DataError, match=seen):
        detect([shared / "corpora" / path])


@pytest.mark.parametrize(
    ("name", "content", "seen"),
    [
        ("a.json", '[{"image": "a.jpg", "annotations": [{"label": "b", "coordinates": {"x": 1}}]}]', "CreateML"),
        ("a.xml", "<annotation><object><polygon><pt><x>1</x></pt></polygon></object></annotation>", "old web tool"),
        ("a.mat", "", "MATLAB"), ("a.doc", "", "1 .doc"),
    ],
)  # fmt: skip
def test_what_to_export_instead(tmp_path: Path, name: str, content: str, seen: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=seen) as caught:
        detect([tmp_path])
    assert caught.value.hint


def test_an_ade_folder_without_its_table(tmp_path: Path) -> None:
    picture(tmp_path / "images/training/a.jpg", 4, 3)
    mask(tmp_path / "annotations/training/a.png", np.ones((3, 4), np.uint8))
    assert detect([tmp_path])[0] == "ade"


def test_images_and_masks(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.jpg", 4, 3)
    mask(tmp_path / "masks/a.png", np.ones((3, 4), np.uint8))
    name, evidence = detect([tmp_path])
    assert name == "masks"
    assert any("8-bit" in reason for reason in evidence.reasons)


@pytest.mark.parametrize("name", sorted(readers()))
def test_nothing_is_evidence_of_nothing(tmp_path: Path, name: str) -> None:
    kind = readers()[name]
    assert kind.sniff(tmp_path) is None
    assert kind.sniff(tmp_path / "none") is None
    (tmp_path / "a.txt").write_text("hello")
    assert kind.sniff(tmp_path / "a.txt") is None
