"""Pascal VOC."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from folders import VOC_PALETTE, kinds, labels, mask, masks, one, picture, read, reasons
from PIL import Image as pillow

from seg2knet.converters.readers.common.labelmap import LabelmapOptions
from seg2knet.converters.readers.voc.reader import VocReader
from seg2knet.errors import DataError

CLASSES = np.zeros((6, 8), np.uint8)
CLASSES[1:4, 1:4] = 2
CLASSES[1:4, 4] = 255
CLASSES[1:4, 5:7] = 2
OBJECTS = np.zeros((6, 8), np.uint8)
OBJECTS[1:4, 1:4] = 1
OBJECTS[1:4, 4] = 255
OBJECTS[1:4, 5:7] = 2


def xml(path: Path, *objects: str, size: tuple[int, int] = (8, 6), name: str = "a.jpg") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sides = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    path.write_text(f"<annotation><filename>{name}</filename>{sides}{''.join(objects)}</annotation>")


def boxed(name: str, *box: float, more: str = "") -> str:
    sides = "".join(f"<{tag}>{value}</{tag}>" for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), box))
    return f"<object><name>{name}</name>{more}<bndbox>{sides}</bndbox></object>"


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """One image with two bicycles that touch but for the border between them."""
    picture(tmp_path / "JPEGImages/a.jpg")
    mask(tmp_path / "SegmentationClass/a.png", CLASSES, VOC_PALETTE)
    mask(tmp_path / "SegmentationObject/a.png", OBJECTS, VOC_PALETTE)
    return tmp_path


def test_objects_have_the_class_below_them_and_the_border_is_nobodys(voc: Path) -> None:
    sample = one(VocReader(voc))
    assert labels(sample) == ["bicycle", "bicycle"]
    first, second = masks(sample)
    assert (first == (OBJECTS == 1)).all()
    assert (second == (OBJECTS == 2)).all()
    assert not sample.skips


def test_a_border_of_255_between_touching_objects_is_never_an_object(voc: Path) -> None:
    (voc / "SegmentationObject/a.png").unlink()
    first, second = masks(one(VocReader(voc)))
    assert not first[:, 4].any()
    assert not second[:, 4].any()


def test_class_masks_alone_are_taken_apart_or_one_a_class(voc: Path) -> None:
    (voc / "SegmentationObject/a.png").unlink()
    assert len(one(VocReader(voc)).objects) == 2
    (whole,) = masks(one(VocReader(voc, LabelmapOptions(instances="per-class"))))
    assert (whole == (CLASSES == 2)).all()


@pytest.mark.parametrize("mode", ["palette", "grey", "colour"])
def test_palette_grey_and_colour_say_the_same(voc: Path, mode: str) -> None:
    (voc / "SegmentationObject/a.png").unlink()
    if mode == "grey":
        mask(voc / "SegmentationClass/a.png", CLASSES)
    elif mode == "colour":
        colours = np.zeros((6, 8, 3), np.uint8)
        colours[CLASSES == 2] = (0, 128, 0)
        colours[CLASSES == 255] = (224, 224, 192)
        mask(voc / "SegmentationClass/a.png", colours)
    sample = one(VocReader(voc))
    assert labels(sample) == ["bicycle", "bicycle"]
    assert sum(each.sum() for each in masks(sample)) == (CLASSES == 2).sum()


def test_cvat_writes_colours_and_a_label_map(voc: Path) -> None:
    (voc / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\nmy car:10,20,30::\nvan:1,2,3::\n"
    )
    colours = np.zeros((6, 8, 3), np.uint8)
    colours[CLASSES == 2] = (10, 20, 30)
    mask(voc / "SegmentationClass/a.png", colours)
    objects = np.zeros((6, 8, 3), np.uint8)
    objects[OBJECTS == 1] = (128, 0, 0)
    objects[OBJECTS == 2] = (0, 128, 0)
    mask(voc / "SegmentationObject/a.png", objects)
    sample = one(VocReader(voc))
    assert labels(sample) == ["my car", "my car"]
    assert VocReader(voc).scan().classes.names == ("my car", "van")
    assert {each.sum() for each in masks(sample)} == {9, 6}


def test_a_palette_in_another_order_than_the_label_map_is_read_by_its_colours(voc: Path) -> None:
    (voc / "labelmap.txt").write_text("background:0,0,0::\nvan:0,128,0::\ncar:128,0,0::\n")
    (voc / "SegmentationObject/a.png").unlink()
    assert labels(one(VocReader(voc))) == ["van", "van"]


def test_lists_say_the_splits(voc: Path) -> None:
    for stem in ("b", "c", "d"):
        picture(voc / f"JPEGImages/{stem}.jpg")
        mask(voc / f"SegmentationClass/{stem}.png", CLASSES, VOC_PALETTE)
    lists = voc / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("\ufeff# a comment\r\n\r\na\r\n")
    (lists / "val.txt").write_text("b\n")
    (lists / "trainval.txt").write_text("a\nb\nc\n")
    scan = VocReader(voc).scan()
    assert [(handle.name, handle.split) for handle in scan.handles] == [
        ("a.jpg", "train"),
        ("b.jpg", "val"),
        ("c.jpg", None),
    ]
    assert kinds(scan) == ["in-no-list"]


def test_a_listed_image_without_a_mask_is_told(voc: Path) -> None:
    lists = voc / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    picture(voc / "JPEGImages/b.jpg")
    picture(voc / "JPEGImages/c.jpg")
    (lists / "train.txt").write_text("a\nb\n")
    (lists / "test.txt").write_text("c\n")
    scan = VocReader(voc).scan()
    assert reasons(scan) == ["listed-without-mask"]
    assert [(handle.name, handle.split) for handle in scan.handles] == [("a.jpg", "train"), ("c.jpg", "test")]
    assert not read(VocReader(voc))["test:c.jpg"].objects


def test_empty_lists_are_none(voc: Path) -> None:
    lists = voc / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("")
    assert len(VocReader(voc).scan().handles) == 1


def test_the_xml_names_what_numbers_do_not(voc: Path) -> None:
    xml(
        voc / "Annotations/a.xml",
        boxed("tractor", 2, 2, 4, 4, more="<difficult>1</difficult><pose>Left</pose>"),
        boxed("plough", 6, 2, 7, 4),
    )
    sample = one(VocReader(voc))
    assert labels(sample) == ["tractor", "plough"]
    assert sample.objects[0].attributes == {"difficult": True, "pose": "Left"}
    assert sample.objects[1].attributes is None


def test_where_mask_and_xml_differ_the_mask_is_kept_and_it_is_said(voc: Path) -> None:
    xml(voc / "Annotations/a.xml", boxed("car", 2, 2, 4, 4))
    sample = one(VocReader(voc))
    assert labels(sample) == ["bicycle", "bicycle"]
    assert kinds(sample) == ["mask-and-xml-differ"]


def test_numbers_that_are_no_class_are_told(voc: Path) -> None:
    (voc / "SegmentationObject/a.png").unlink()
    mask(voc / "SegmentationClass/a.png", np.full((6, 8), 21, np.uint8))
    sample = one(VocReader(voc))
    assert not sample.objects
    assert reasons(sample) == ["number-without-a-class"]


def test_an_object_number_over_background_is_told(voc: Path) -> None:
    mask(voc / "SegmentationClass/a.png", np.where(OBJECTS == 1, 2, 0).astype(np.uint8), VOC_PALETTE)
    sample = one(VocReader(voc))
    assert labels(sample) == ["bicycle"]
    assert reasons(sample) == ["instance-without-a-class"]


def test_class_pixels_of_no_object_are_not_lost(voc: Path) -> None:
    classes = CLASSES.copy()
    classes[5, :] = 3
    mask(voc / "SegmentationClass/a.png", classes, VOC_PALETTE)
    sample = one(VocReader(voc))
    assert labels(sample) == ["bicycle", "bicycle", "bird"]
    assert masks(sample)[2].sum() == 8
    assert kinds(sample) == ["class-without-instance"]


def test_boxes_are_refused_unless_asked_for(tmp_path: Path) -> None:
    picture(tmp_path / "JPEGImages/a.jpg")
    xml(tmp_path / "Annotations/a.xml", boxed("car", 1, 1, 3, 4, more="<difficult>1</difficult>"))
    assert reasons(one(VocReader(tmp_path))) == ["box-only"]
    sample = one(VocReader(tmp_path, LabelmapOptions(boxes="as-polygons")))
    # Counted from 1, the last pixel included: three columns, four rows.
    assert masks(sample)[0].sum() == 12
    assert masks(sample)[0][:4, :3].all()
    assert sample.objects[0].attributes == {"difficult": True}


@pytest.mark.parametrize(
    ("box", "reason"),
    [((3, 1, 2, 4), "not-a-box"), ((float("nan"), 1, 2, 4), "not-a-box"), ((1, 1, 1e300, 4), "not-a-box")],
)
def test_boxes_that_are_none(tmp_path: Path, box: tuple[float, ...], reason: str) -> None:
    picture(tmp_path / "JPEGImages/a.jpg")
    xml(tmp_path / "Annotations/a.xml", boxed("car", *box))
    assert reasons(one(VocReader(tmp_path, LabelmapOptions(boxes="as-polygons")))) == [reason]


def test_roboflows_flat_folders_with_polygons(tmp_path: Path) -> None:
    corners = {"x1": 1, "y1": 1, "x2": 5, "y2": 1, "x3": 5, "y3": 4}
    polygon = "".join(f"<{key}>{value}</{key}>" for key, value in corners.items())
    for split in ("train", "valid"):
        picture(tmp_path / split / "a.jpg")
        xml(tmp_path / split / "a.xml", f"<object><name>car</name><polygon>{polygon}</polygon></object>")
    samples = read(VocReader(tmp_path))
    assert list(samples) == ["train:a.jpg", "val:a.jpg"]
    assert samples["train:a.jpg"].objects[0].shape.parts == [[1, 1, 5, 1, 5, 4]]


def test_several_years_in_one_devkit_keep_their_names_apart(tmp_path: Path) -> None:
    for year in ("VOC2007", "VOC2012"):
        picture(tmp_path / "VOCdevkit" / year / "JPEGImages/000001.jpg")
        mask(tmp_path / "VOCdevkit" / year / "SegmentationClass/000001.png", CLASSES, VOC_PALETTE)
    names = [handle.name for handle in VocReader(tmp_path / "VOCdevkit").scan().handles]
    assert names == ["VOC2007/000001.jpg", "VOC2012/000001.jpg"]


def test_a_photo_turned_by_exif(voc: Path) -> None:
    picture(voc / "JPEGImages/a.jpg", 8, 6, orientation=6)
    sample = one(VocReader(voc))
    assert (sample.image.width, sample.image.height, sample.image.orientation) == (6, 8, 6)
    assert (masks(sample)[0] == np.rot90(OBJECTS == 1, -1)).all()


def test_a_mask_of_another_size_is_refused(voc: Path) -> None:
    mask(voc / "SegmentationClass/a.png", np.zeros((3, 4), np.uint8))
    with pytest.raises(DataError, match="different sizes"):
        read(VocReader(voc))


def test_labelmes_web_tool_is_another_format(tmp_path: Path) -> None:
    picture(tmp_path / "JPEGImages/a.jpg")
    xml(tmp_path / "Annotations/a.xml", "<object><name>car</name><polygon><pt><x>1</x><y>2</y></pt></polygon></object>")
    assert VocReader.sniff(tmp_path) is None
    with pytest.raises(DataError, match="web tool"):
        read(VocReader(tmp_path))


def test_no_voc_here(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="SegmentationClass"):
        VocReader(tmp_path).scan()


def test_labelmes_voc_export(shared: Path) -> None:
    """Every object is pixel for pixel what LabelMe's own exporter drew."""
    root = shared / "corpora/labelme+coco+voc__labelme__instance_segmentation/data_dataset_voc"
    samples = read(VocReader(root))
    assert len(samples) == 3
    for name, sample in samples.items():
        objects = np.asarray(pillow.open(root / "SegmentationObject" / name.replace(".jpg", ".png")))
        numbers = [number for number in np.unique(objects) if number]
        assert len(sample.objects) == len(numbers)
        for number, drawn in zip(numbers, masks(sample)):
            assert (drawn == (objects == number)).all()


def test_pascals_own_masks(shared: Path) -> None:
    samples = read(VocReader(shared / "corpora/voc__labelformat__semantic_pascalvoc"))
    assert list(samples) == ["2007_000032.jpg", "subdir/2007_000033.jpg"]
    assert set(labels(samples["2007_000032.jpg"])) == {"aeroplane", "person"}


def test_labelme2vocs_folders(tmp_path: Path) -> None:
    """Arrays stand in SegmentationClass, the images of them in SegmentationClassPNG."""
    picture(tmp_path / "JPEGImages/a.jpg")
    for name, drawn in (("Class", CLASSES), ("Object", OBJECTS)):
        mask(tmp_path / f"Segmentation{name}PNG/a.png", drawn, VOC_PALETTE)
        (tmp_path / f"Segmentation{name}").mkdir()
        np.save(tmp_path / f"Segmentation{name}/a.npy", drawn)
    names = ["__ignore__", "_background_", "car", "bike"]
    (tmp_path / "class_names.txt").write_text("\n".join(names))
    assert VocReader.sniff(tmp_path) is not None
    assert labels(one(VocReader(tmp_path))) == ["bike", "bike"]


def test_a_class_mask_is_not_taken_for_the_image_that_is_not_there(tmp_path: Path) -> None:
    """CVAT's export of masks without "save images"."""
    mask(tmp_path / "SegmentationClass" / "a.png", np.uint8([[0, 1], [1, 1]]))
    (tmp_path / "labelmap.txt").write_text("# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:1,1,1::\n")
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "default.txt").write_text("a\n")
    sample = one(VocReader(tmp_path))
    assert (sample.image.name, sample.image.path, labels(sample)) == ("a.jpg", None, ["car"])
