"""Predictions as files: LabelMe JSON that gives the masks back, COCO results, and which images are meant."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from seg2knet.dataset import geometry
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.drawing import save, write_labels
from seg2knet.dataset.rle import rle_to_mask
from seg2knet.dataset.sample import Rle
from seg2knet.errors import DataError, UsageError
from seg2knet.trainer.predict import drawing
from seg2knet.trainer.predict.files import PredictionWriter, find_images, labelme, segmented
from seg2knet.trainer.predict.prediction import Prediction

CLASSES = ClassList.of(["bolt", "nut größe"])
H, W = 60, 80


def mask(*boxes: tuple[int, int, int, int], without: tuple[int, int, int, int] | None = None) -> np.ndarray:
    found = np.zeros((H, W), bool)
    for x, y, right, bottom in boxes:
        found[y:bottom, x:right] = True
    if without is not None:
        x, y, right, bottom = without
        found[y:bottom, x:right] = False
    return found


def prediction(path: Path, *masks: np.ndarray, labels: list[int] | None = None) -> Prediction:
    count = len(masks)
    stacked = np.stack(masks) if masks else np.zeros((0, H, W), bool)
    return Prediction(
        path, W, H, np.array(labels or [0] * count), np.linspace(0.9, 0.4, count, dtype=np.float32), stacked
    )  # fmt: skip


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "a b.jpg"
    path.parent.mkdir()
    cv2.imwrite(str(path), np.full((H, W, 3), 90, np.uint8))
    return path


def iou(one: np.ndarray, two: np.ndarray) -> float:
    return (one & two).sum() / (one | two).sum()


def test_one_piece_is_a_polygon_that_gives_the_mask_back(photo: Path, tmp_path: Path) -> None:
    disc = np.zeros((H, W), np.uint8)
    cv2.circle(disc, (40, 30), 20, 1, -1)
    found = json.loads(labelme(prediction(photo, disc.astype(bool)), CLASSES, tmp_path / "out"))
    (shape,) = found["shapes"]
    assert (shape["shape_type"], shape["label"]) == ("polygon", "bolt")
    assert 6 <= len(shape["points"]) <= 40, "few enough corners to be moved by hand"
    flat = [number for point in shape["points"] for number in point]
    again = rle_to_mask(geometry.polygons_to_rle([flat], H, W))
    assert iou(again, disc > 0) > 0.95
    assert (found["imageHeight"], found["imageWidth"], found["imageData"]) == (H, W, None)
    assert found["imagePath"] == "../in/a b.jpg"


def test_pieces_share_a_group_and_holes_stay(photo: Path, tmp_path: Path) -> None:
    pieces = mask((2, 2, 20, 20), (40, 30, 60, 50))
    ring = mask((10, 10, 50, 50), without=(20, 20, 40, 40))
    shapes = json.loads(labelme(prediction(photo, pieces, ring, labels=[0, 1]), CLASSES, tmp_path))["shapes"]
    assert [shape["shape_type"] for shape in shapes] == ["polygon", "polygon", "mask"]
    assert shapes[0]["group_id"] == shapes[1]["group_id"] is not None
    (left, top), (right, bottom) = shapes[2]["points"]
    png = cv2.imdecode(np.frombuffer(base64.b64decode(shapes[2]["mask"]), np.uint8), cv2.IMREAD_UNCHANGED)
    again = np.zeros((H, W), bool)
    again[top : bottom + 1, left : right + 1] = png > 0
    assert (again == ring).all()


def test_labelme_reads_back_through_our_own_reader(photo: Path) -> None:
    from seg2knet.converters.registry import reader

    ring, box = mask((10, 10, 50, 50), without=(20, 20, 40, 40)), mask((60, 5, 75, 30))
    writer = PredictionWriter(photo.parent, CLASSES, "instance", ["labelme"])
    writer.write(prediction(photo, ring, box, labels=[1, 0]), Path(photo.name))
    writer.close()
    labelme_reader = reader("labelme")(photo.parent)
    (handle,) = labelme_reader.scan().handles
    sample = labelme_reader.read(handle)
    assert [each.label for each in sample.objects] == ["nut größe", "bolt"]
    assert (sample.image.width, sample.image.height) == (W, H)
    for each, true in zip(sample.objects, (ring, box)):
        assert (rle_to_mask(geometry.shape_to_rle(each.shape, H, W)) == true).all()


def test_coco_results_have_the_masks_bit_for_bit(photo: Path) -> None:
    ring = mask((10, 10, 50, 50), without=(20, 20, 40, 40))
    (result,) = prediction(photo, ring, labels=[1]).to_coco(7)
    assert (result["image_id"], result["category_id"], result["bbox"]) == (7, 2, [10, 10, 40, 40])
    code = result["segmentation"]
    assert (rle_to_mask(Rle(code["counts"].encode(), *code["size"])) == ring).all()


def test_the_writer_names_images_apart(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    writer = PredictionWriter(out, CLASSES, "instance", ["overlay", "coco", "labelme"])
    writer.write(prediction(photo, mask((1, 1, 30, 30))), Path("sub/a.jpg"))
    writer.write(prediction(photo), Path("sub/a.png"))
    writer.close()
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert names == [
        "images.json", "predictions.json", "sub/a.jpg", "sub/a.json", "sub/a.png.json", "sub/a.png.png"
    ]  # fmt: skip
    listed = json.loads((out / "images.json").read_text())
    assert [image["file_name"] for image in listed["images"]] == ["sub/a.jpg", "sub/a.png"]
    assert [category["id"] for category in listed["categories"]] == [1, 2]
    with pytest.raises(UsageError, match="overlay"):
        PredictionWriter(out, CLASSES, "instance", ["pdf"])


def test_labels_that_stand_there_are_kept(photo: Path) -> None:
    mine = photo.with_suffix(".json")
    mine.write_text('{"shapes": []}')
    failures: list[DataError] = []
    model = SimpleNamespace(task="semantic", classes=CLASSES)
    model.many = lambda paths, *_: iter([prediction(path, mask((1, 1, 30, 30))) for path in paths])
    writer = PredictionWriter(photo.parent, CLASSES, "instance", ["labelme"])
    images = find_images([photo])
    assert not list(segmented(model, images, [writer], score_thr=0, failed=failures.append))
    assert failures[0].file == str(mine)
    assert mine.read_text() == '{"shapes": []}'
    mine.unlink()
    for _ in range(2):  # what predict itself left is written again
        writer = PredictionWriter(photo.parent, CLASSES, "instance", ["labelme"])
        assert len(list(segmented(model, images, [writer], score_thr=0, failed=failures.append))) == 1
    assert len(failures) == 1


def test_an_overlay_is_a_jpeg_where_that_is_smaller(tmp_path: Path) -> None:
    grain = np.random.default_rng(0).integers(0, 255, (400, 400, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "photo.png"), grain)
    cv2.imwrite(str(tmp_path / "plain.jpg"), np.full((400, 400, 3), 90, np.uint8))
    out = tmp_path / "out"
    writer = PredictionWriter(out, CLASSES, "instance", ["overlay"])
    for name in ("photo.png", "plain.jpg"):
        writer.write(Prediction(tmp_path / name, 400, 400, np.array([]), np.array([]), []), Path(name))
    assert sorted(path.name for path in out.iterdir()) == ["photo.jpg", "plain.png"]
    assert cv2.imread(str(out / "photo.jpg")).shape == (400, 400, 3)
    assert len(grain.tobytes()) > (out / "photo.jpg").stat().st_size


def test_an_overlay_never_lies_over_an_image(photo: Path) -> None:
    other = photo.with_suffix(".png")
    other.write_bytes(photo.read_bytes())
    before = photo.read_bytes()
    writer = PredictionWriter(photo.parent, CLASSES, "instance", ["overlay"])
    for _, name in find_images([photo.parent]):
        writer.write(prediction(photo.parent / name), name)
    assert photo.read_bytes() == other.read_bytes() == before
    made = sorted(path.stem for path in photo.parent.iterdir() if path not in (photo, other))
    assert made == ["a b.overlay", "a b.png.overlay"]


def test_images_of_one_stem_in_two_folders(photo: Path, tmp_path: Path) -> None:
    paths = [tmp_path / "one" / "x.jpg", tmp_path / "two" / "x.png", tmp_path / "two" / "y.png"]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(photo.read_bytes())
    out = tmp_path / "out"
    writer = PredictionWriter(out, CLASSES, "instance", ["overlay", "labelme"])
    for path, name in find_images([tmp_path / "one", tmp_path / "two"]):
        writer.write(prediction(path), name)
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob("*"))
    assert names == ["x.json", "x.png", "x.png.json", "x.png.png", "y.json", "y.png"]


def test_images_by_folder_file_and_pattern(photo: Path, tmp_path: Path) -> None:
    folder = photo.parent
    (folder / "sub").mkdir()
    (folder / "sub" / "B.JPG").write_bytes(photo.read_bytes())
    (folder / "notes.txt").write_text("no image")
    found = find_images([folder, photo, str(folder / "*.jpg")])
    assert [name.as_posix() for _, name in found] == ["a b.jpg", "sub/B.JPG"]
    with pytest.raises(UsageError, match="no images"):
        find_images([str(tmp_path / "*.bmp")])


def test_overlays_change_what_is_inside_and_label_it(photo: Path) -> None:
    gray = np.full((400, 500, 3), 90, np.uint8)
    masks = np.zeros((1, 400, 500), bool)
    masks[0, 100:300, 100:300] = True
    found = Prediction(photo, 500, 400, np.array([0]), np.array([0.87]), masks)
    drawn = drawing.overlay(gray, found, CLASSES)
    assert (drawn[:90] == 90).all()
    assert (drawn[120:150, 120:150] != 90).any(axis=-1).all()
    assert (gray == 90).all(), "the image itself is left alone"
    blue, _, red = drawn[205, 120]
    assert red > blue, "tinted with the class's colour"


def test_labels_do_not_lie_over_one_another() -> None:
    white = np.full((200, 200, 3), 255, np.uint8)
    colors = [(255, 0, 0), (0, 160, 0), (0, 0, 255)]
    drawn = write_labels(white, [(f"text {n}", (100, 100), color) for n, color in enumerate(colors)])
    boxes = []
    for color in colors:
        ys, _ = np.nonzero((drawn == color).all(axis=-1))
        boxes.append((ys.min(), ys.max()))
    boxes.sort()
    assert all(above[1] < below[0] for above, below in zip(boxes, boxes[1:]))


def test_a_turned_photo_is_segmented_as_shown(tmp_path: Path) -> None:
    from PIL import Image

    from seg2knet.trainer.predict.inference import read_image

    upright = np.zeros((30, 50, 3), np.uint8)
    upright[:, :10] = (250, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    path = tmp_path / "turned.jpg"
    Image.fromarray(upright).save(path, exif=exif, quality=100)
    found = read_image(path)
    assert found.shape == (50, 30, 3)
    assert found[:8, :, 2].mean() > 200, "what was at the left is at the top"
    assert os.path.getsize(path) > 0


def test_images_of_one_name_stay_apart(photo: Path, tmp_path: Path) -> None:
    for name in ("one/in/x.jpg", "two/in/x.jpg", "two/other/x.jpg", "two/in/y.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo.read_bytes())
    by_folder = [name.as_posix() for _, name in find_images([tmp_path / "one" / "in", tmp_path / "two" / "in"])]
    assert by_folder == ["one/in/x.jpg", "two/in/x.jpg", "y.jpg"]
    by_pattern = [name.as_posix() for _, name in find_images([str(tmp_path / "*" / "in" / "*.jpg")])]
    assert by_pattern == ["one/in/x.jpg", "two/in/x.jpg", "two/in/y.jpg"]


@pytest.mark.parametrize("task", ["panoptic", "semantic"])
def test_a_jpg_beside_a_png_leaves_two_maps(task: str, photo: Path, tmp_path: Path) -> None:
    writer = PredictionWriter(tmp_path / "out", CLASSES, task, ["coco"])
    for name in ("a.jpg", "a.png"):
        if task == "semantic":
            writer.write(Prediction.of_labelmap(photo, np.eye(H, W, dtype=np.uint8)), Path(name))
        else:
            writer.write(prediction(photo, mask((1, 1, 9, 9))), Path(name))
    writer.close()
    folder = tmp_path / "out" / ("panoptic" if task == "panoptic" else "labels")
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "a.png.png"]
    if task == "panoptic":
        content = json.loads((tmp_path / "out" / "predictions.json").read_text())
        assert [row["file_name"] for row in content["annotations"]] == ["a.png", "a.png.png"]
    else:
        again = cv2.imread(str(folder / "a.png.png"), cv2.IMREAD_UNCHANGED)
        assert (again == np.eye(H, W) + 1).all()


def test_only_jpegs_get_a_jpeg_quality(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = {}
    encode = cv2.imencode

    def imencode(suffix: str, image: np.ndarray, params: list[int]) -> object:
        flags[suffix] = list(params)
        return encode(suffix, image, params)

    monkeypatch.setattr(drawing.cv2, "imencode", imencode)
    save(np.zeros((4, 4, 3), np.uint8), tmp_path / "größe")
    assert [path.stem for path in tmp_path.iterdir()] == ["größe"]
    assert flags == {".png": [], ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 92]}


def test_masks_are_kept_as_run_lengths_and_given_back(photo: Path) -> None:
    ring, box = mask((10, 10, 50, 50), without=(20, 20, 40, 40)), mask((60, 5, 75, 30))
    kept = prediction(photo, ring, box, labels=[1, 0])
    assert (kept.masks == np.stack([ring, box])).all()
    assert not any(isinstance(value, np.ndarray) and value.ndim > 1 for value in vars(kept).values())
    assert (kept.above(0.5).masks == ring).all()
    assert kept.labelmap is None
    labelmap = np.where(ring, 1, 255).astype(np.uint8)
    assert (Prediction.of_labelmap(photo, labelmap).labelmap == labelmap).all()
