"""YOLO-seg."""

from __future__ import annotations

from pathlib import Path

import pytest
from folders import kinds, labels, masks, one, picture, read, reasons

from seg2knet.converters.readers.yolo.reader import YoloOptions, YoloReader
from seg2knet.dataset.sample import Polygons
from seg2knet.errors import DataError

BOXES = YoloOptions(boxes="as-polygons")
TRIANGLE = "0 0.1 0.1 0.9 0.1 0.9 0.9"


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8"))
    return path


def image(root: Path, stem: str, rows: str = TRIANGLE, folder: str = "train", suffix: str = ".jpg") -> None:
    picture(root / "images" / folder / f"{stem}{suffix}", 100, 50)
    put(root / "labels" / folder / f"{stem}.txt", rows)


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    image(tmp_path, "a")
    image(tmp_path, "b", folder="val")
    put(tmp_path / "data.yaml", "path:\ntrain: images/train\nval: images/val\nnames: [car, van]\n")
    return tmp_path


def rows(tmp_path: Path, text: str, options: YoloOptions | None = None):  # type: ignore[no-untyped-def]
    image(tmp_path, "a", text)
    put(tmp_path / "data.yaml", "train: images/train\nnames: [car, van]\n")
    return one(YoloReader(tmp_path, options))


def test_fractions_become_pixels(yolo: Path) -> None:
    samples = read(YoloReader(yolo))
    assert list(samples) == ["train:a.jpg", "val:b.jpg"]
    found = samples["train:a.jpg"].objects[0]
    assert found.label == "car"
    assert found.shape == Polygons([[0.1 * 100, 0.1 * 50, 0.9 * 100, 0.1 * 50, 0.9 * 100, 0.9 * 50]])


@pytest.mark.parametrize(
    "config",
    [
        "train: images/train\nval: images/val\nnames: [car, van]",
        "path: .\ntrain: images/train\nval: images/val\nnames: {0: car, 1: van}",
        "path: ''\ntrain: ./images/train\nvalid: ./images/val\nnames: {'1': van, '0': car}",
        "path: ../nowhere\ntrain: ../images/train\nvalidation: ../images/val\nnames:\n- car\n- van",
        "train: /home/someone/set/images/train\nval: C:\\set\\images\\val\nnames: [car, van]",
        "train: [images/train]\nval: [images/val]\nnames: [car, van]\ntest:",
        "train: train.txt\nval: lists/val.txt\nnames: [car, van]",
        "train: images/train\nval: images/val\nnames: names.txt",
        "\ufefftrain: images/train\r\nval: images/val\r\nnames: [car, van]\r\n",
    ],
)
def test_data_yaml_in_all_its_forms(yolo: Path, config: str) -> None:
    put(yolo / "train.txt", "./images/train/a.jpg\n\n")
    put(yolo / "lists/val.txt", "\ufeffimages/val/b.jpg\r\n")
    put(yolo / "names.txt", "car\nvan\n")
    put(yolo / "data.yaml", config)
    reader = YoloReader(yolo)
    assert reader.scan().classes.names == ("car", "van")
    assert {key: len(sample.objects) for key, sample in read(reader).items()} == {"train:a.jpg": 1, "val:b.jpg": 1}


def test_the_path_of_the_yaml_absolute_or_relative(yolo: Path, tmp_path: Path) -> None:
    for said in (str(yolo), ".."):
        config = put(tmp_path / "elsewhere/set.yaml", f"path: {said}\ntrain: images/train\nval: images/val\nnames: [a]")
        assert len(read(YoloReader(config))) == 2


def test_several_folders_keep_their_names_apart(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        picture(tmp_path / folder / "images/a.jpg", 10, 10)
        put(tmp_path / folder / "labels/a.txt", TRIANGLE)
    picture(tmp_path / "two/images/sub/b.jpg", 10, 10)
    put(tmp_path / "data.yaml", "train: [one/images, two/images]\nnames: [car]")
    samples = read(YoloReader(tmp_path))
    assert list(samples) == ["train:one/images/a.jpg", "train:sub/b.jpg", "train:two/images/a.jpg"]


def test_roboflow_calls_a_folder_otherwise_than_it_is(tmp_path: Path) -> None:
    for split in ("train", "val"):
        picture(tmp_path / split / "images/a.jpg", 10, 10)
        put(tmp_path / split / "labels/a.txt", TRIANGLE)
    put(tmp_path / "data.yaml", "train: ../train/images\nval: ../valid/images\nnc: 1\nnames: ['car']")
    assert list(read(YoloReader(tmp_path))) == ["train:a.jpg", "val:a.jpg"]


def test_a_split_that_is_not_there(yolo: Path) -> None:
    put(yolo / "data.yaml", "train: images/train\nval: images/none\nnames: [car]")
    with pytest.raises(DataError, match="val: images/none"):
        YoloReader(yolo).scan()
    put(yolo / "data.yaml", "train: images/train\ntest: images/none\nnames: [car]")
    assert kinds(YoloReader(yolo).scan()) == ["split-not-there", "labels-not-listed"]


def test_a_bare_folder_with_classes_txt(tmp_path: Path) -> None:
    image(tmp_path, "a", "1 0.1 0.1 0.9 0.1 0.9 0.9", folder="")
    put(tmp_path / "classes.txt", "car\nvan\n")
    assert labels(one(YoloReader(tmp_path))) == ["van"]


def test_labels_beside_the_images(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg", 10, 10)
    put(tmp_path / "a.txt", TRIANGLE)
    sample = one(YoloReader(tmp_path))
    assert labels(sample) == ["0"]
    assert kinds(YoloReader(tmp_path).scan()) == ["classes-called-by-number"]


def test_the_label_is_found_at_the_last_images_in_the_path(tmp_path: Path) -> None:
    root = tmp_path / "images/set/images"
    picture(root / "sub/images2/x.v1.JPG", 10, 10)
    put(tmp_path / "images/set/labels/sub/images2/x.v1.txt", TRIANGLE)
    sample = one(YoloReader(tmp_path / "images/set"))
    assert len(sample.objects) == 1
    assert sample.image.name == "sub/images2/x.v1.JPG"


def test_an_image_without_a_label_file_has_no_objects(yolo: Path) -> None:
    picture(yolo / "images/train/c.jpg", 10, 10)
    assert not read(YoloReader(yolo))["train:c.jpg"].objects
    assert kinds(YoloReader(yolo).scan()) == ["no-label-file"]


def test_a_label_file_without_an_image_is_told(yolo: Path) -> None:
    put(yolo / "labels/train/lost.txt", TRIANGLE)
    scan = YoloReader(yolo).scan()
    assert reasons(scan) == ["label-without-image"]
    assert scan.skips[0].place.endswith("lost.txt")


def test_folders_without_any_label_are_refused(yolo: Path) -> None:
    for path in (yolo / "labels").rglob("*.txt"):
        path.unlink()
    with pytest.raises(DataError, match="none of the images has a label file"):
        YoloReader(yolo).scan()


def test_box_rows_never_cost_the_polygons(tmp_path: Path) -> None:
    text = f"0 0.5 0.5 0.2 0.4\n{TRIANGLE}\n1 0.25 0.5 0.1 0.2\n"
    sample = rows(tmp_path, text)
    assert labels(sample) == ["car"]
    assert reasons(sample) == ["box-only", "box-only"]
    sample = rows(tmp_path, text, BOXES)
    assert labels(sample) == ["car", "car", "van"]
    assert masks(sample)[0].sum() == 20 * 20
    assert not sample.skips


def test_byte_order_mark_carriage_returns_and_blank_lines(tmp_path: Path) -> None:
    sample = rows(tmp_path, f"\ufeff\r\n{TRIANGLE}\r\n\r\n  \r\n{TRIANGLE.replace('0 ', '1 ', 1)}\r\n")
    assert labels(sample) == ["car", "van"]
    assert not sample.skips


def test_an_empty_label_file(tmp_path: Path) -> None:
    assert not rows(tmp_path, "").objects


def test_a_hair_outside_is_clipped_more_is_told(tmp_path: Path) -> None:
    sample = rows(tmp_path, "0 -0.000001 0.1 1.0000012 0.1 0.9 0.9")
    assert sample.objects[0].shape.parts[0][:3] == [0.0, 5.0, 100.0]
    assert [(note.kind, note.count) for note in sample.notes] == [("clipped-to-the-image", 2)]
    assert reasons(rows(tmp_path, "0 0.1 0.1 1.2 0.1 0.9 0.9")) == ["outside-the-image"]
    assert "pixels?" in rows(tmp_path, "0 10 10 90 10 90 45").skips[0].detail


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("7 0.1 0.1 0.9 0.1 0.9 0.9", "unknown-class"),
        ("-1 0.1 0.1 0.9 0.1 0.9 0.9", "unknown-class"),
        ("0.5 0.1 0.1 0.9 0.1 0.9 0.9", "unknown-class"),
        ("nan 0.1 0.1 0.9 0.1 0.9 0.9", "unknown-class"),
        ("0 0.1 0.1 nan 0.1 0.9 0.9", "not-finite"),
        ("0 0.1 0.1 1e400 0.1 0.9 0.9", "not-finite"),
        ("0 0.1 0.1 0.9 0.1 0.9", "not-a-row"),
        ("0 0.1", "not-a-row"),
        ("0", "not-a-row"),
        ("car 0.1 0.1 0.9 0.1 0.9 0.9", "not-a-row"),
        ("0 0.5 0.5 0 0.1", "not-a-box"),
    ],
)
def test_rows_that_are_none_are_told(tmp_path: Path, row: str, reason: str) -> None:
    sample = rows(tmp_path, f"{row}\n{TRIANGLE}\n")
    assert reasons(sample) == [reason]
    assert sample.skips[0].place.endswith("a.txt: line 1")
    assert labels(sample) == ["car"]


def test_a_class_number_written_as_a_float(tmp_path: Path) -> None:
    assert labels(rows(tmp_path, "1.0 0.1 0.1 0.9 0.1 0.9 0.9")) == ["van"]


BRIDGED = "0 0.1 0.1 0.3 0.1 0.3 0.5 0.1 0.5 0.1 0.1 0.6 0.1 0.8 0.1 0.8 0.5 0.6 0.5 0.6 0.1"


def test_bridged_parts_are_restored_when_asked_for(tmp_path: Path) -> None:
    sample = rows(tmp_path, BRIDGED)
    assert len(sample.objects[0].shape.parts) == 1
    assert kinds(sample) == ["bridged-parts"]
    sample = rows(tmp_path, BRIDGED, YoloOptions(unbridge=True))
    first, second = sample.objects[0].shape.parts
    assert first == pytest.approx([10, 5, 30, 5, 30, 25, 10, 25])
    assert second == pytest.approx([60, 5, 80, 5, 80, 25, 60, 25])
    assert not sample.notes


def test_exif_fractions_are_of_the_image_as_shown(tmp_path: Path) -> None:
    image(tmp_path, "a")
    picture(tmp_path / "images/train/a.jpg", 100, 50, orientation=6)
    put(tmp_path / "data.yaml", "train: images/train\nnames: [car]")
    sample = one(YoloReader(tmp_path))
    assert (sample.image.width, sample.image.height) == (50, 100)
    assert sample.objects[0].shape.parts[0][:2] == [5, 10]


def test_two_yaml_files_are_not_guessed_between(yolo: Path) -> None:
    (yolo / "data.yaml").rename(yolo / "one.yaml")
    put(yolo / "two.yaml", (yolo / "one.yaml").read_text())
    with pytest.raises(DataError, match=r"one\.yaml, two\.yaml"):
        YoloReader(yolo).scan()
    assert len(read(YoloReader(yolo / "two.yaml"))) == 2


@pytest.mark.parametrize(
    "config", ["[1, 2]", "train: 5\nnames: [a]", "names: [a]", "train: images/train\nnames: {a: b}", ":"]
)
def test_yaml_that_is_no_data_set(yolo: Path, config: str) -> None:
    put(yolo / "data.yaml", config)
    with pytest.raises(DataError):
        YoloReader(yolo).scan()


def test_ultralytics_coco8(shared: Path) -> None:
    reader = YoloReader(shared / "corpora/yoloseg__ultralytics-hub__coco8-seg")
    samples = read(reader)
    assert len(samples) == 8
    assert sum(len(sample.objects) for sample in samples.values()) == 30
    assert len(reader.scan().classes) == 80
    parts = sum(
        len(found.shape.parts)
        for sample in read(YoloReader(reader.source, YoloOptions(unbridge=True))).values()
        for found in sample.objects
    )
    assert parts > 30


def test_labelformats_fixture_agrees_with_its_coco_twin(shared: Path) -> None:
    import json

    root = shared / "corpora/coco+yoloseg__labelformat__instance_segmentation"
    twin = json.loads((root / "COCO/instances.json").read_text())
    names = {category["id"]: category["name"] for category in twin["categories"]}
    files = {image["id"]: image["file_name"] for image in twin["images"]}
    samples = {sample.image.name: sample for sample in read(YoloReader(root / "YOLOv8")).values()}
    assert len(twin["annotations"]) == sum(len(sample.objects) for sample in samples.values())
    for name, sample in samples.items():
        theirs = [note for note in twin["annotations"] if files[note["image_id"]].endswith(name)]
        for found in sample.objects:
            (same,) = [note for note in theirs if names[note["category_id"]] == found.label]
            assert found.shape.parts[0] == pytest.approx(same["segmentation"][0], abs=1e-3)


def test_pose_is_refused(yolo: Path) -> None:
    put(yolo / "data.yaml", "train: images/train\nval: images/val\nkpt_shape: [17, 3]\nnames: [person]")
    with pytest.raises(DataError, match="keypoints"):
        YoloReader(yolo).scan()


def test_an_inline_list_of_images_and_labels_that_no_split_lists(yolo: Path) -> None:
    shown = sorted(path.relative_to(yolo).as_posix() for path in (yolo / "images/train").iterdir())
    put(yolo / "data.yaml", f"train: [{', '.join(shown)}]\nnames: [car, van]")
    scan = YoloReader(yolo).scan()
    assert [handle.split for handle in scan.handles] == ["train"] * len(shown)
    assert [(note.kind, Path(note.place).name) for note in scan.notes if note.kind == "labels-not-listed"] == [
        ("labels-not-listed", "val")
    ]
