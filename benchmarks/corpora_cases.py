"""What ``corpora.py`` converts, and what the authors of each folder published to compare the results with."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from seg2knet.converters.api import convert

Expected = Callable[[Path, dict[str, Path]], str]


class Differs(Exception):
    """A result is not what its author expected."""


@dataclass
class Case:
    """One source.

    Attributes:
        path: below the corpora.
        format: how it is converted; ``None`` for what ``auto`` says.
        options: of the reader.
        expected: compares the results, by target, with what the author published; returns what to say of it.
        note: what is special.
    """

    path: str
    format: Optional[str] = None
    options: dict[str, Any] = field(default_factory=dict)
    expected: Optional[Expected] = None
    note: str = ""


def annotations(folder: Path, split: str = "*") -> list[dict[str, Any]]:
    """All annotations of a COCO result, each with its image's ``file_name``, size and its category's name."""
    found = []
    for path in sorted(folder.glob(f"annotations/instances_{split}.json")):
        document = json.loads(path.read_text())
        images = {image["id"]: image for image in document["images"]}
        names = {category["id"]: category["name"] for category in document["categories"]}
        for note in document["annotations"]:
            found.append({**note, "image": images[note["image_id"]], "name": names[note["category_id"]]})
    return found


def decoded(note: dict[str, Any], image: dict[str, Any]) -> np.ndarray:
    """The mask of an annotation, as pycocotools decodes it."""
    shape, size = note["segmentation"], (image["height"], image["width"])
    if isinstance(shape, list):
        shape = coco_mask.merge(coco_mask.frPyObjects(shape, *size))
    elif isinstance(shape["counts"], list):
        shape = coco_mask.frPyObjects(shape, *size)
    return coco_mask.decode(shape).astype(bool)


def overlap(one: np.ndarray, two: np.ndarray) -> float:
    union = (one | two).sum()
    return float((one & two).sum() / union) if union else 1.0


def demand(true: bool, said: str) -> None:
    if not true:
        raise Differs(said)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def panopticapi(source: Path, folders: dict[str, Path]) -> str:
    """Areas, boxes and RLEs of all segments."""
    theirs = json.loads((source / "panoptic_examples.json").read_text())
    by_name = {note["file_name"]: note for note in theirs["annotations"]}
    ours = [
        note
        for path in sorted(folders["panoptic"].glob("annotations/panoptic_*.json"))
        for note in json.loads(path.read_text())["annotations"]
    ]
    count = 0
    names = {category["id"]: category["name"] for category in theirs["categories"]}
    for note in ours:
        mine = sorted((segment["area"], tuple(segment["bbox"])) for segment in note["segments_info"])
        same = sorted(
            (segment["area"], tuple(segment["bbox"])) for segment in by_name[note["file_name"]]["segments_info"]
        )
        demand(mine == same, f"{note['file_name']}: areas or boxes differ")
        count += len(mine)
    detection = json.loads((source / "panoptic_coco_detection_format.json").read_text())
    sizes = {image["id"]: image for image in theirs["images"]}
    expected = {
        (sizes[note["image_id"]]["file_name"], names[note["category_id"]], note["segmentation"]["counts"])
        for note in detection["annotations"]
    }
    got = {
        (note["image"]["file_name"].rpartition("/")[2], note["name"], note["segmentation"]["counts"])
        for note in annotations(folders["coco"])
    }
    demand(got == expected, f"{len(got & expected)} of {len(expected)} RLEs agree")
    return f"exact: areas and boxes of {count} segments, {len(got)} RLEs bit for bit"


def ade_masks(source: Path, folders: dict[str, Path]) -> str:
    """The challenge's masks come back pixel for pixel."""
    found = sorted(folders["ade"].glob("annotations/*/*.png"))
    for path in found:
        demand((pixels(path) == pixels(source / "sampleData/annotations" / path.name)).all(), f"{path.name} differs")
    demand(len(found) == 3, f"{len(found)} masks")
    return f"exact: {len(found)} masks pixel for pixel; {_challenge_mask(source)}"


def _challenge_mask(source: Path) -> str:
    """The authors' raw mask, converted, is their challenge mask once it is as small."""
    raw = Image.open(source / "convertFromADE/ADE_train_00000970_raw.png")
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "set/training"
        folder.mkdir(parents=True)
        raw.save(folder / "a_seg.png")
        Image.new("RGB", raw.size).save(folder / "a.jpg")
        options = {"map_from_ade": source / "convertFromADE/mapFromADE.txt", "labelmap": source / "objectInfo150.txt"}
        out = Path(work) / "out"
        convert("ade", folder.parent, to="ade", out=out, jobs=1, validate=False, reader_options=options)
        made = Image.open(out / "annotations/training/a.png")
    theirs = Image.open(source / "convertFromADE/ADE_train_00000970_challenge.png")
    same = np.asarray(made.resize(theirs.size, Image.Resampling.NEAREST)) == np.asarray(theirs)
    demand(bool(same.all()), f"{int((~same).sum())} pixels of the challenge mask differ")
    return "the challenge mask from the raw one likewise"


def labelformat(source: Path, folders: dict[str, Path]) -> str:
    """The COCO twin's polygons, as far as six decimals of a fraction say them."""
    twin = json.loads((source.parent / "COCO/instances.json").read_text())
    images = {image["id"]: image for image in twin["images"]}
    names = {category["id"]: category["name"] for category in twin["categories"]}
    worst, least = 0.0, 1.0
    for note in annotations(folders["coco"]):
        name = note["image"]["file_name"].rpartition("/")[2]
        (same,) = [
            other
            for other in twin["annotations"]
            if images[other["image_id"]]["file_name"].endswith(name) and names[other["category_id"]] == note["name"]
        ]
        mine, theirs = np.array(note["segmentation"][0]), np.array(same["segmentation"][0])
        demand(mine.shape == theirs.shape, "another number of points")
        worst = max(worst, float(np.abs(mine - theirs).max()))
        least = min(least, overlap(decoded(note, note["image"]), decoded(same, note["image"])))
    demand(worst < 5e-4 and least == 1.0, f"off by {worst} px, IoU {least}")
    return f"polygons within {worst:.1g} px (YOLO's six decimals), IoU {least:g}"


def coco_polygons(source: Path, folders: dict[str, Path]) -> str:
    """COCO to COCO: number for number."""
    theirs = [note["segmentation"] for note in json.loads(source.read_text())["annotations"]]
    mine = [note["segmentation"] for note in annotations(folders["coco"])]
    demand(sorted(map(str, mine)) == sorted(map(str, theirs)), "polygons differ")
    return f"exact: {len(mine)} polygons number for number"


def voc_objects(source: Path, folders: dict[str, Path]) -> str:
    """Every object of SegmentationObject, pixel for pixel."""
    count = 0
    for path in sorted((source / "SegmentationObject").glob("*.png")):
        drawn = pixels(path)
        mine = [note for note in annotations(folders["coco"]) if Path(note["image"]["file_name"]).stem == path.stem]
        got = {decoded(note, note["image"]).tobytes() for note in mine}
        demand(got == {(drawn == number).tobytes() for number in np.unique(drawn) if number}, f"{path.name} differs")
        count += len(got)
    return f"exact: {count} objects pixel for pixel"


def labelme_voc(source: Path, folders: dict[str, Path]) -> str:
    """LabelMe's own VOC export draws outlines too, pycocotools does not: IoU of each class in the ADE masks."""
    voc = source.parent / "data_dataset_voc"
    names = (voc / "class_names.txt").read_text().split("\n")
    table = (folders["ade"] / "objectInfo.txt").read_text().splitlines()[1:]
    numbers = {line.split("\t")[-1]: int(line.split("\t")[0]) for line in table}
    worst = 1.0
    for path in sorted((voc / "SegmentationClass").glob("*.png")):
        (made,) = folders["ade"].glob(f"annotations/*/{path.name}")
        drawn, mine = pixels(path), pixels(made)
        for number in np.unique(drawn):
            if number not in (0, 255):
                worst = min(worst, overlap((mine == numbers[names[number]]) & (drawn != 255), drawn == number))
    demand(worst >= 0.93, f"IoU {worst:.3f}")
    return f"IoU of each class with LabelMe's own export at least {worst:.3f} (it draws the outline too)"


def labelme_coco(source: Path, folders: dict[str, Path]) -> str:
    """The COCO peer: its polygons; its areas hold the outline, ours are what the polygons decode to."""
    peer = json.loads((source.parent / "data_dataset_coco/annotations.json").read_text())
    images = {image["id"]: image for image in peer["images"]}
    names = {category["id"]: category["name"] for category in peer["categories"]}
    mine = [note for note in annotations(folders["coco"]) if not note["iscrowd"]]
    values = []
    for note in mine:
        theirs = [
            decoded(other, images[other["image_id"]])
            for other in peer["annotations"]
            if names[other["category_id"]] == note["name"]
            and Path(images[other["image_id"]]["file_name"]).name == Path(note["image"]["file_name"]).name
        ]
        values.append(max(overlap(decoded(note, note["image"]), each) for each in theirs))
    demand(len(mine) == len(peer["annotations"]) and min(values) >= 0.93, f"IoU {min(values):.3f}, {len(mine)} objects")
    areas = [note["area"] / decoded(note, note["image"]).sum() for note in mine]
    demand(set(areas) == {1.0}, "areas are not the masks'")
    return f"{len(mine)} objects, IoU {min(values):.3f}; areas are those of the decoded polygons, as the peer's are not"


def one_mask(mask: str, least: float) -> Expected:
    """The union of all objects, class by class, with a mask image."""

    def compare(source: Path, folders: dict[str, Path]) -> str:
        drawn = pixels(source.parent / mask if (source.parent / mask).is_file() else source / mask)
        notes = annotations(folders["coco"])
        union = np.any([decoded(note, note["image"]) for note in notes], axis=0)
        value = overlap(union, drawn > 0)
        demand(value >= least, f"IoU {value:.4f}")
        return f"IoU with {Path(mask).name} {value:.4f}"

    return compare


def mapillary(source: Path, folders: dict[str, Path]) -> str:
    """Instances and the panoptic PNG say the same regions."""
    count = 0
    for note_file in source.glob("*/v2.0/panoptic/*.json"):
        for note in json.loads(note_file.read_text())["annotations"]:
            drawn = pixels(note_file.parent / note["file_name"]).astype(np.int64) @ np.array([1, 256, 65536])
            stem = Path(note["file_name"]).stem
            mine = [each for each in annotations(folders["coco"]) if Path(each["image"]["file_name"]).stem == stem]
            got = {decoded(each, each["image"]).tobytes() for each in mine}
            demand(got == {(drawn == number).tobytes() for number in np.unique(drawn) if number}, f"{stem} differs")
            count += len(got)
    return f"exact: {count} regions as in the panoptic PNG"


def counted(images: int, objects: int) -> Expected:
    """As many as the index says."""

    def compare(source: Path, folders: dict[str, Path]) -> str:
        notes = annotations(folders["coco"])
        files = list(folders["coco"].glob("annotations/instances_*.json"))
        shown = sum(len(json.loads(path.read_text())["images"]) for path in files)
        demand((shown, len(notes)) == (images, objects), f"{shown} images, {len(notes)} objects")
        return f"{shown} images and {len(notes)} objects, as the index says"

    return compare


BOXES = {"boxes": "as-polygons"}
COLORS = (
    "Archway=192,0,128;Bicyclist=0,128,192;Child=192,128,64;Animal=64,128,64;Road=128,64,128;SignSymbol=128,128,128"
)
CAMVID = {"colors": f"{COLORS};Wall=64,192,0;MotorcycleScooter=192,0,192;Tree=128,128,0;Tunnel=0,128,64"}

INVALID = "coco-invalid+labelme__labelme2coco__tests_data"

CASES = [
    Case("labelme+coco+voc__labelme__instance_segmentation", note="three formats in one folder"),
    Case("labelme+coco+voc__labelme__instance_segmentation/data_annotated", expected=labelme_coco),
    Case("labelme+coco+voc__labelme__instance_segmentation/data_dataset_voc", expected=voc_objects),
    Case("labelme+coco+voc__labelme__instance_segmentation/data_dataset_coco"),
    Case("labelme+voc__labelme__semantic_segmentation/data_annotated", expected=labelme_voc),
    Case("labelme+voc__labelme__semantic_segmentation/data_dataset_voc"),
    Case("labelme+vocdet__labelme__bbox_detection/data_annotated", options=BOXES, note="`--boxes as-polygons`"),
    Case("labelme+vocdet__labelme__bbox_detection/data_dataset_voc", options=BOXES, note="`--boxes as-polygons`"),
    Case("labelme__labelme__primitives_all_shapes", options=BOXES, note="`--boxes as-polygons`; every kind of shape"),
    Case(
        "labelme+maskpng__labelme__tutorial_embedded_imagedata", "labelme",
        expected=one_mask("labelme+maskpng__labelme__tutorial_embedded_imagedata/apc2016_obj3/label.png", 0.97),
        note="the image is embedded",
    ),
    Case("coco+yoloseg__labelformat__instance_segmentation/YOLOv8", expected=labelformat),
    Case(
        "coco+yoloseg__labelformat__instance_segmentation/COCO/instances.json", None, {"images": "../YOLOv8/images"},
        coco_polygons, "`--images-dir`",
    ),
    Case("coco-panoptic__panopticapi__sample_data", "coco", {"annotations": "panoptic"}, panopticapi),
    Case("ade20k__sceneparsing__sampleData", expected=ade_masks),
    Case("ade20k-instance__placeschallenge__metadata", note="no annotations"),
    Case("ade20k-odgt__CSAIL-semseg__lists", note="lists without images"),
    Case("cvat-xml__datumaro__for_images/export_project", None, BOXES, counted(6, 6), "`--boxes as-polygons`"),
    Case("cvat-xml__datumaro__for_images/export_task", options=BOXES, note="`--boxes as-polygons`"),
    Case("cvat-xml__datumaro__for_video", options=BOXES, note="`--boxes as-polygons`; tracks"),
    Case("cvat-xml__Coral-Imaging__coral", note="no images"),
    Case("cvat-xml-rotatedbox__docling__fixtures", options=BOXES, note="`--boxes as-polygons`; one image"),
    Case("coco__datumaro__coco_dataset/coco_instances"),
    Case("coco__datumaro__coco_dataset/coco_panoptic"),
    Case("coco__datumaro__coco_dataset/coco_roboflow"),
    Case("coco__datumaro__coco_dataset/coco_stuff", note="every object is marked `iscrowd`, which is taken back"),
    Case("coco__datumaro__coco_dataset/coco_person_keypoints"),
    Case("coco__datumaro__coco_dataset/coco_image_info"),
    Case("coco__datumaro__coco_dataset/coco_captions"),
    Case("coco__datumaro__coco_dataset/coco_labels"),
    Case("coco__datumaro__coco_dataset/mmdet_coco"),
    Case("coco__datumaro__coco_dataset/coco"),
    Case("coco-roboflow__datumaro__roboflow/coco", options=BOXES, note="`--boxes as-polygons`"),
    Case("coco-roboflow__datumaro__roboflow/voc", options=BOXES, note="`--boxes as-polygons`"),
    Case("coco-roboflow__datumaro__roboflow/yolo", options=BOXES, note="`--boxes as-polygons`"),
    Case("coco-roboflow__datumaro__roboflow/yolo", note="boxes, as they come"),
    Case("coco-rle-sam__datumaro__segment_anything", note="one JSON an image, not COCO's layout"),
    Case("relaxed-layouts__datumaro__kaggle/image_mask"),
    Case("relaxed-layouts__datumaro__kaggle/image_mask_with_labelmap"),
    Case("relaxed-layouts__datumaro__kaggle/relaxed_coco", options=BOXES, note="`--boxes as-polygons`"),
    Case("relaxed-layouts__datumaro__kaggle/relaxed_voc1", options=BOXES, note="`--boxes as-polygons`"),
    Case("relaxed-layouts__datumaro__kaggle/relaxed_voc2", options=BOXES, note="`--boxes as-polygons`"),
    Case("relaxed-layouts__datumaro__kaggle/relaxed_yolo", options=BOXES, note="`--boxes as-polygons`"),
    Case("coco-results-rle__cocoapi__fakesegm100", note="results, not annotations"),
    Case("coco-det__labelformat__weird_names/COCO", options=BOXES, note="`--boxes as-polygons`"),
    Case("coco-det__labelformat__weird_names/YOLOv8", options=BOXES, note="`--boxes as-polygons`"),
    Case("coco+vocdet__mmdet-fork__tests_data/VOCdevkit", options=BOXES, note="`--boxes as-polygons`; two years"),
    Case("coco+vocdet__mmdet-fork__tests_data/coco_sample.json", note="no images"),
    Case(
        "labelme+maskpng__bubbliiiing-unet__datasets", "labelme",
        expected=one_mask("labelme+maskpng__bubbliiiing-unet__datasets/SegmentationClass/1.png", 0.99),
    ),
    Case("maskpng-binary__bubbliiiing-unet__medical"),
    Case("labelme__labelme-rs__fixtures", options=BOXES, note="`--boxes as-polygons`; four JSON files without image"),
    Case(f"{INVALID}/coco_true_0.json"),
    Case(f"{INVALID}/coco_true_1.json"),
    *(
        Case(f"{INVALID}/coco_false_{number}.json", "coco", note="broken on purpose")
        for number in range(17)
    ),
    Case("labelme-xml__datumaro__labelme_dataset", "voc", note="LabelMe's old web tool"),
    Case("voc__labelformat__semantic_pascalvoc"),
    Case("voc__datumaro__voc_dataset/voc_dataset1"),
    Case("voc__datumaro__voc_dataset/voc_dataset2", note="no images"),
    Case("voc__datumaro__voc_dataset/voc_dataset3", options=BOXES, note="`--boxes as-polygons`"),
    Case("maskpng-palette__mmseg-fork__pseudo_dataset", expected=counted(5, 5)),
    Case("maskpng__datumaro__common_semantic_segmentation/dataset"),
    Case("maskpng__datumaro__common_semantic_segmentation/non_standard_dataset"),
    Case("maskpng-color__datumaro__camvid", "masks", CAMVID, note="`--colors`"),
    Case("maskpng-cityscapes__datumaro__cityscapes/dataset"),
    Case("maskpng-cityscapes__datumaro__cityscapes/train_dataset"),
    Case("maskpng-kitti16__datumaro__kitti_segmentation"),
    Case("maskpng-mots16__datumaro__mots", note="masks and images of different sizes"),
    Case(
        "maskpng+panoptic__datumaro__mapillary_vistas", "masks", {"masks": "v2.0/instances"}, mapillary,
        note="`--masks v2.0/instances`",
    ),
    Case("yoloseg__ultralytics-hub__coco8-seg", expected=counted(8, 30)),
    Case("yolo-det__datumaro__yolo_dataset/strict", options=BOXES, note="`--boxes as-polygons`"),
    Case("yolo-det__datumaro__yolo_dataset/labels", options=BOXES, note="`--boxes as-polygons`"),
    Case("yolo-det__datumaro__yolo_dataset/annotations", note="labels where no rule looks for them"),
    Case("ade20k-full__datumaro__ade20k2017/dataset"),
    Case("ade20k-full__datumaro__ade20k2020/dataset"),
    Case("via1__FengJunJian__Dataset_Convert", note="no images, and VIA says no sizes"),
    Case("via2+coco__nsy0328-VIA__tutorial", "via", {"class_attribute": "name"}, note="`--class-attribute name`"),
    Case("via2-json+csv+coco__egutierrezc93__receipts_rect/via_export_coco.json", options=BOXES, note="VIA's own COCO"),
    Case("via2-polyline+labelme__yichun-hub__Labelme2VIA", "labelme", note="no images"),
    Case("labelstudio-json__label-studio-sdk__converter_tests/polygon.json"),
    Case("labelstudio-json__label-studio-sdk__converter_tests/rotated_rectangles.json"),
    Case("labelstudio-json__label-studio-sdk__converter_tests/rectangles_several_tasks.json"),
    Case("labelstudio+brush__label-studio-ml-backend__yolo_predictions", note="lists of results without their tasks"),
    Case("labelstudio+brush__label-studio-frontend__image_tools", note="a task apart from its annotation"),
    Case("coco-labelstudio-brush__Cuillereasoupe__algae", note="Label Studio's COCO of brush strokes"),
    Case("coco-roboflow-seg__a-hwang__building_facade", note="a placeholder category"),
    Case("supervisely-bitmap__supervisely-ecosystem__pascal-sample-gt-masks", note="no images"),
    Case("supervisely-polygon__supervisely-ecosystem__roads-annotated", note="no images"),
    Case("labelbox__labelbox-python__tests_data/v1/image_export.json", options=BOXES, note="no image, no size"),
    Case("labelbox-v2-ndjson__labelformat__object_detection", options=BOXES, note="`--boxes as-polygons`"),
    Case("darwin2+masks__darwin-py__e2e_convert/complex_polygons", expected=counted(1, 1)),
    Case("darwin2+masks__darwin-py__e2e_convert/instance_mask/from", note="no images"),
    Case("darwin2+masks__darwin-py__e2e_convert/semantic_mask/from", note="a raster layer"),
    Case("lvis__lvis-api__lvis_val_100_cut", note="no images"),
    Case("openimages-masks__datumaro__open_images_v6", expected=counted(1, 1)),
    Case("voc-cvatmask__guimoll__river", note="CVAT's masks in another folder, no images"),
    Case("images-exif__opencv-cvat__exif_rotated", note="images alone"),
]  # fmt: skip
