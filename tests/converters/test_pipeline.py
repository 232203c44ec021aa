"""Conversions from end to end: the three promises, names, splits, several sources and targets."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import trees
from drawn import mask_shape, picture, polygon
from PIL import Image as pillow
from pycocotools.coco import COCO

import seg2knet
from seg2knet.converters.output import staging
from seg2knet.dataset import geometry
from seg2knet.dataset.layout import LEDGER
from seg2knet.dataset.rle import areas_and_boxes
from seg2knet.errors import DataError, EnvironmentProblem, UsageError

Make = Callable[..., Path]


def convert(source: Any, out: Path, format: str = "labelme", **options: Any) -> Any:
    sources = source if isinstance(source, list) else [source]
    return seg2knet.convert(format, *sources, out=out, **{"validate": False, "jobs": 1, **options})


def load(out: Path, split: str = "train", kind: str = "instances", year: str = "2017") -> dict[str, Any]:
    return json.loads((out / "annotations" / f"{kind}_{split}{year}.json").read_text())


def many(labelme: Make, count: int = 12) -> Path:
    for index in range(count):
        shapes = [polygon("car", index, 1, 30, 2, 20.5, 25), polygon("tree" if index % 3 else "rare")]
        root = labelme(f"img{index}.jpg", shapes if index % 5 else [])
    return root


def test_coco_as_pycocotools_reads_it(labelme: Make, tmp_path: Path) -> None:
    hole = np.ones((9, 9), np.uint8)
    hole[3:6, 3:6] = 0
    root = labelme("b.jpg", [polygon("tree"), mask_shape("car", hole, 2, 3), polygon("__ignore__")])
    labelme("a.jpg", [])
    result = convert(root, tmp_path / "out", split="train")
    api = COCO(str(tmp_path / "out" / "annotations" / "instances_train2017.json"))
    assert [image["file_name"] for image in api.dataset["images"]] == ["a.jpg", "b.jpg"]
    assert [image["id"] for image in api.dataset["images"]] == [1, 2]
    assert api.dataset["categories"] == [
        {"id": 1, "name": "car", "supercategory": ""},
        {"id": 2, "name": "tree", "supercategory": ""},
    ]
    assert [entry["id"] for entry in api.dataset["annotations"]] == [1, 2, 3]
    for entry in api.dataset["annotations"]:
        mask = api.annToMask(entry)
        ys, xs = np.nonzero(mask)
        assert entry["area"] == mask.sum()
        assert entry["bbox"] == [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
    assert [(entry["category_id"], entry["iscrowd"]) for entry in api.dataset["annotations"]] == [
        (2, 0),
        (1, 0),
        (1, 1),
    ]
    assert np.array_equal(api.annToMask(api.dataset["annotations"][1])[3:12, 2:11], hole)
    assert result.ledger.imbalance() is None
    assert sorted(path.name for path in (tmp_path / "out" / "train2017").iterdir()) == ["a.jpg", "b.jpg"]


def test_a_class_called_as_another_and_a_number(labelme: Make, tmp_path: Path) -> None:
    root = labelme("a.jpg", [polygon("car10"), polygon("car"), polygon("car2"), polygon("Car")])
    assert convert(root, tmp_path / "out").classes.names == ("Car", "car", "car2", "car10")


def test_same_bytes_for_any_number_of_workers(labelme: Make, tmp_path: Path) -> None:
    root = many(labelme)
    outs = []
    for jobs in (1, 2, 5):
        out = tmp_path / f"jobs{jobs}"
        convert(root, out, to="coco,panoptic,ade", stuff=["tree"], jobs=jobs)
        outs.append(trees.contents(out))
    assert outs[0] == outs[1] == outs[2]
    assert len(outs[0]) > 3 * 12


def test_ledger_balances_and_says_where(labelme: Make, tmp_path: Path) -> None:
    point = {"label": "a", "points": [[1, 2]], "shape_type": "point"}
    outside = polygon("car", 100, 100, 120, 100, 120, 120)
    root = labelme("a.jpg", [polygon("car"), point, outside, polygon("old"), polygon("small", 1, 1, 3, 1, 3, 3, 1, 3)])
    labelme("b.jpg", [polygon("car")], with_picture=False)
    (root / "c.json").write_text("{")
    result = convert(root, tmp_path / "out", drop=["old"], min_area=20, split="train")
    ledger = json.loads((tmp_path / "out" / LEDGER).read_text())
    reasons = {entry["reason"]: entry for entry in ledger["objects"]["skipped"]}
    assert {reason: entry["count"] for reason, entry in reasons.items()} == {
        "point-has-no-area": 1, "no-pixels": 1, "image-missing": 1,
    }  # fmt: skip
    assert reasons["point-has-no-area"]["first"][0]["place"] == "a.json: shape 1"
    asked = {entry["reason"]: entry["count"] for entry in ledger["objects"]["skipped_as_asked"]}
    assert asked == {"dropped-class": 1, "below-min-area": 1}
    assert (ledger["objects"]["read"], ledger["objects"]["written"]) == (6, {"coco": 1})
    assert (ledger["images"]["read"], ledger["images"]["written"]) == (3, 1)
    assert {entry["reason"] for entry in ledger["images"]["skipped"]} == {"missing", "unreadable"}
    assert ledger["balanced"] is True
    assert result.ledger.unasked == 5
    assert str(tmp_path) not in (tmp_path / "out" / LEDGER).read_text()


def test_an_image_without_objects_is_an_image(labelme: Make, tmp_path: Path) -> None:
    result = convert(labelme("a.jpg", []), tmp_path / "out", split="train")
    assert (result.ledger.images_written, result.ledger.unasked) == (1, 0)
    assert load(tmp_path / "out")["annotations"] == []


def test_nothing_to_write_is_refused(labelme: Make, tmp_path: Path) -> None:
    box = {"label": "a", "points": [[1, 2]], "shape_type": "point"}
    with pytest.raises(DataError, match="not one object"):
        convert(labelme("a.jpg", [box]), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    convert(labelme("a.jpg", [box]), tmp_path / "out", allow_skips=True)
    (tmp_path / "raw" / "a.jpg").unlink()
    with pytest.raises(DataError, match="not one image"):
        convert(tmp_path / "raw", tmp_path / "out")


@pytest.mark.parametrize("how", ["link", "copy", "symlink", "none"])
def test_images_get_to_the_target(labelme: Make, tmp_path: Path, how: str) -> None:
    root = labelme("sub/a.jpg")
    convert(root, tmp_path / "out", split="train", images=how)
    there = tmp_path / "out" / "train2017" / "sub" / "a.jpg"
    source = root / "sub" / "a.jpg"
    assert there.exists() == (how != "none")
    assert there.is_symlink() == (how == "symlink")
    if how != "none":
        assert there.read_bytes() == source.read_bytes()
        assert os.path.samefile(there, source) == (how in ("link", "symlink"))


NAMES = [
    "a.jpg",
    "a.png",
    "one/x.jpg",
    "two/x.jpg",
    "with space.and.dots.jpg",
    "Straße-日本.jpg",
    "UPPER.JPG",
    "e.jpeg",
]


@pytest.mark.parametrize("to", ["coco", "coco,panoptic,ade"])
def test_names_that_clash_elsewhere_all_survive(labelme: Make, tmp_path: Path, to: str) -> None:
    for name in NAMES:
        root = labelme(name)
    # a.png has no annotation of its own: the two share a.json, so give it one
    document = json.loads((root / "a.json").read_text())
    (root / "a.png.json").write_text(json.dumps({**document, "imagePath": "a.png"}))
    (root / "a.json").write_text(json.dumps({**document, "imagePath": "a.jpg"}))
    out = tmp_path / "out"
    convert(root, out, split="train", to=to)
    document = load(out)
    files = [image["file_name"] for image in document["images"]]
    assert len(set(files)) == len(NAMES)
    pictures = {(out / "train2017" / name).read_bytes() for name in files}
    assert pictures == {(root / name).read_bytes() for name in NAMES}
    if "panoptic" in to:
        panoptic = load(out, kind="panoptic")
        assert [image["file_name"] for image in panoptic["images"]] == files
        masks = [entry["file_name"] for entry in panoptic["annotations"]]
        assert len(set(masks)) == len(NAMES)
        for name, mask in zip(files, masks):
            assert mask == name.replace(".jpg", ".png")  # what mmdet derives
            assert (out / "annotations" / "panoptic_train2017" / mask).is_file()
        ade = {path.relative_to(out / "images").as_posix() for path in (out / "images").rglob("*.jpg")}
        masks = {
            path.relative_to(out / "annotations").as_posix() for path in (out / "annotations/training").rglob("*.png")
        }
        assert len(ade) == len(NAMES)
        assert {name.replace(".jpg", ".png") for name in ade} == masks


def test_two_annotations_of_one_image_are_not_merged_in_silence(labelme: Make, tmp_path: Path) -> None:
    root = labelme("a.jpg")
    (root / "b.json").write_text((root / "a.json").read_text())
    result = convert(root, tmp_path / "out", split="train")
    assert result.ledger.image_skips["annotated-twice"].count == 1
    assert result.ledger.imbalance() is None
    assert len(load(tmp_path / "out")["images"]) == 1


def test_default_split_is_said_and_same_every_time(labelme: Make, tmp_path: Path) -> None:
    root = many(labelme, 20)
    result = convert(root, tmp_path / "one")
    assert {split: images for split, (images, _) in result.ledger.splits.items()} == {"train": 16, "val": 4}
    assert "split-by-default" in result.ledger.notes
    convert(root, tmp_path / "two")
    assert trees.contents(tmp_path / "one") == trees.contents(tmp_path / "two")
    convert(root, tmp_path / "three", seed=1)
    assert load(tmp_path / "one", "val")["images"] != load(tmp_path / "three", "val")["images"]


def test_splits_of_the_source_are_kept(labelme: Make, tmp_path: Path) -> None:
    for name in ("train/a.jpg", "val/b.jpg", "val/c.jpg"):
        root = labelme(name)
    result = convert(root, tmp_path / "out", split="0.5/0.5")
    assert {split: images for split, (images, _) in result.ledger.splits.items()} == {"train": 1, "val": 2}
    assert "splits-of-the-source-kept" in result.ledger.notes
    result = convert(root, tmp_path / "anew", split="0.7/0.3", resplit=True)
    assert {split: images for split, (images, _) in result.ledger.splits.items()} == {"train": 2, "val": 1}


def test_copies_of_an_image_stay_on_one_side(labelme: Make, tmp_path: Path) -> None:
    root = many(labelme, 10)
    for index in range(5):
        labelme(f"copy{index}.jpg")
        (root / f"copy{index}.jpg").write_bytes((root / "img1.jpg").read_bytes())
    result = convert(root, tmp_path / "out", split="0.5/0.5")
    sides = {
        split
        for split in ("train", "val")
        for image in load(tmp_path / "out", split)["images"]
        if image["file_name"].startswith("copy") or image["file_name"] == "img1.jpg"
    }
    assert len(sides) == 1
    assert result.ledger.notes["copies-kept-together"].count == 6


def test_sources_are_merged_by_class_name(labelme: Make, tmp_path: Path) -> None:
    labelme("one/a.jpg", [polygon("car")])
    root = labelme("two/a.jpg", [polygon("tree"), polygon("car")])
    result = convert([f"train={root / 'one'}", f"val={root / 'two'}"], tmp_path / "out")
    assert result.classes.names == ("car", "tree")
    assert [entry["category_id"] for entry in load(tmp_path / "out", "val")["annotations"]] == [2, 1]
    convert([root / "one", root / "two"], tmp_path / "both", split="train")
    assert [image["file_name"] for image in load(tmp_path / "both")["images"]] == ["a.jpg", "a_jpg.jpg"]
    convert([root / "one", root / "two"], tmp_path / "plain", split="train", layout="plain")
    assert (tmp_path / "plain" / "annotations" / "instances_train.json").is_file()
    assert (tmp_path / "plain" / "train" / "a.jpg").is_file()


def test_classes_in_order_renamed_dropped_and_checked(labelme: Make, tmp_path: Path) -> None:
    root = labelme("a.jpg", [polygon("car"), polygon("lorry"), polygon("tree"), polygon("sky"), polygon("typo")])
    file = tmp_path / "classes.yaml"
    file.write_text("stuff: [sky]\nthings: [tree, vehicle, unused]\n")
    mapping = {"car": "vehicle", "lorry": "vehicle"}
    result = convert(root, tmp_path / "out", classes=file, mapping=mapping, drop=["tree"], split="train")
    assert result.classes.names == ("vehicle", "unused", "sky")
    assert [entry["category_id"] for entry in load(tmp_path / "out")["annotations"]] == [1, 1, 3]
    assert {reason: tally.count for reason, tally in result.ledger.skips.items()} == {"class-not-listed": 1}
    assert {reason: tally.count for reason, tally in result.ledger.asked.items()} == {"dropped-class": 1}


def test_names_of_classes_that_the_user_gives_are_cleaned_too(labelme: Make, tmp_path: Path) -> None:
    root = labelme("a.jpg", [polygon("car"), polygon("two\nlines"), polygon("tree")])
    file = tmp_path / "classes.json"
    file.write_text(json.dumps(["car", "two\nlines", "tree"]))
    options = {"classes": file, "mapping": {"car": "a\tb"}, "void_class": "no\tone"}
    result = convert(root, tmp_path / "out", split="train", to="ade", **options)
    assert result.classes.names == ("a b", "two lines", "tree", "no one")
    assert result.ledger.skips == {}


def test_class_that_is_not_there_cannot_be_dropped(coco: Make, tmp_path: Path) -> None:
    image = {"id": 1, "file_name": "a.jpg", "width": 40, "height": 30}
    path = coco([image], [])
    with pytest.raises(UsageError, match="no such class"):
        convert(path, tmp_path / "out", "coco", drop=["lorry"])


def test_photograph_is_turned_upright_or_kept(labelme: Make, tmp_path: Path) -> None:
    root = labelme("a.jpg", size=(30, 40))
    exif = pillow.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((30, 40, 3), np.uint8)
    pixels[:, :20] = 200
    pillow.fromarray(pixels).save(root / "a.jpg", exif=exif, quality=95)
    result = convert(root, tmp_path / "out", split="train")
    shown = pillow.open(tmp_path / "out" / "train2017" / "a.jpg")
    assert shown.size == (30, 40)
    assert shown.getexif().get(0x0112, 1) == 1
    assert np.asarray(shown)[:20].mean() > 190
    assert result.ledger.notes["image-turned-upright"].count == 1
    assert load(tmp_path / "out")["images"][0]["width"] == 30
    convert(root, tmp_path / "kept", split="train", exif="keep")
    assert (tmp_path / "kept" / "train2017" / "a.jpg").read_bytes() == (root / "a.jpg").read_bytes()


def test_embedded_image_is_written_out(labelme: Make, tmp_path: Path) -> None:
    import base64

    data = picture(tmp_path / "x.png").read_bytes()
    root = labelme("sub/a.jpg", with_picture=False, imageData=base64.b64encode(data).decode())
    result = convert(root, tmp_path / "out", split="train")
    assert (tmp_path / "out" / "train2017" / "sub" / "a.png").read_bytes() == data
    assert result.ledger.notes["image-was-embedded"].count == 1


def test_masks_as_polygons_say_what_they_change(labelme: Make, tmp_path: Path) -> None:
    hole = np.ones((9, 9), np.uint8)
    hole[3:6, 3:6] = 0
    root = labelme("a.jpg", [mask_shape("ring", hole, 2, 3), mask_shape("disc", np.ones((4, 4)), 20, 20)])
    result = convert(root, tmp_path / "out", split="train", polygons=True)
    ring, disc = load(tmp_path / "out")["annotations"]
    assert (ring["area"], disc["area"]) == (81, 16)
    assert isinstance(ring["segmentation"], list)
    assert result.ledger.notes["pixels-changed-by-polygons"].count == 9


def test_dry_run_writes_nothing_and_counts_the_same(labelme: Make, tmp_path: Path) -> None:
    root = many(labelme)
    before = trees.contents(tmp_path)
    dry = convert(root, tmp_path / "out", dry_run=True, to="coco,panoptic")
    assert trees.contents(tmp_path) == before
    wet = convert(root, tmp_path / "out", to="coco,panoptic")
    assert dry.ledger.to_json() == wet.ledger.to_json()


def test_targets_have_folders_of_their_own(labelme: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = labelme()
    monkeypatch.chdir(tmp_path)
    result = seg2knet.convert("labelme", root, to=["coco", "ade"], split="train", validate=False)
    assert result.folders == {"coco": Path("data/coco"), "ade": Path("data/ade/ADEChallengeData2016")}
    assert (tmp_path / "data/ade/ADEChallengeData2016/annotations/training/a.png").is_file()
    assert (tmp_path / "data/coco/annotations/instances_train2017.json").is_file()
    assert not list((tmp_path / "data").glob(".*"))


def test_what_is_not_ours_is_not_replaced(labelme: Make, tmp_path: Path) -> None:
    root = labelme()
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match=r"(?s)did not make.*thesis\.txt"):
        convert(root, out)
    assert (out / "thesis.txt").read_text() == "years of work"
    with pytest.raises(UsageError, match="source lies in the folder"):
        convert(root, root.parent)
    with pytest.raises(UsageError, match="is a file"):
        convert(root, out / "thesis.txt")
    convert(root, out, overwrite=True)
    assert not (out / "thesis.txt").exists()


def test_a_run_that_fails_leaves_the_old_target(labelme: Make, tmp_path: Path) -> None:
    root = labelme("a.jpg", [polygon("car"), polygon("car", 4, 4, 9, 4, 9, 9)])
    out = tmp_path / "out"
    convert(root, out, split="train")
    before = trees.contents(out)
    with pytest.raises(UsageError, match="two objects overlap"):
        convert(root, out, split="train", to="panoptic", overlap="error")
    assert trees.contents(out) == before
    convert(root, out, split="val")
    assert load(out, "val")["images"]
    assert not (out / "train2017").exists()


def test_full_disk_leaves_the_old_target_and_can_be_resumed(labelme: Make, tmp_path: Path) -> None:
    root = many(labelme)
    out = tmp_path / "out"
    convert(root, out, split="train")
    before = trees.contents(out)
    convert(root, tmp_path / "whole", to="panoptic")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, limits[1]))
    try:
        with pytest.raises(EnvironmentProblem, match="cannot write"):
            convert(root, out, to="panoptic")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert trees.contents(out) == before
    result = convert(root, out, to="panoptic", resume=True)
    assert trees.contents(out) == trees.contents(tmp_path / "whole")
    assert result.resumed


def test_resume_starts_anew_when_options_or_sources_changed(labelme: Make, tmp_path: Path) -> None:
    root = many(labelme)
    out = tmp_path / "out"
    interrupted(root, out, to="panoptic", stuff=["tree"])
    result = convert(root, out, to="panoptic", resume=True)
    assert result.resumed == 0
    interrupted(root, out, to="panoptic")
    labelme("img3.jpg", [polygon("new")])
    later = (out.parent / f".{out.name}.seg2knet" / "parts").stat().st_mtime + 5
    os.utime(root / "img3.json", (later, later))
    result = convert(root, out, to="panoptic", resume=True)
    assert "new" in result.classes.names
    assert 0 < result.resumed < 12


def interrupted(root: Path, out: Path, **options: Any) -> None:
    """A run that is stopped when all is read."""

    class Stop(Exception):
        pass

    def stop(step: str, done: int, total: int) -> None:
        if done == total:
            raise Stop

    from seg2knet.converters.options import ConvertOptions, Source
    from seg2knet.converters.pipeline import Conversion

    stuff = frozenset(options.pop("stuff", ())) or None
    to = options.pop("to").split(",")
    given = ConvertOptions(to=to, out=out, jobs=1, validate=False, stuff=stuff, **options)
    with pytest.raises(Stop):
        Conversion("labelme", [Source(root)], given, stop).run()


def test_two_runs_on_one_target_do_not_mix(labelme: Make, tmp_path: Path) -> None:
    pid = os.fork()
    out = tmp_path / "out"
    if pid == 0:
        held = staging.Staging(out)
        held.begin({}, False)
        os.close(os.open(tmp_path / "held", os.O_CREAT))
        import time

        time.sleep(30)
        os._exit(0)
    try:
        import time

        while not (tmp_path / "held").exists():
            time.sleep(0.01)
        with pytest.raises(UsageError, match="another conversion"):
            convert(labelme(), out)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    convert(labelme(), out)


def test_swap_without_the_systems_exchange(labelme: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, out = labelme(), tmp_path / "out"
    convert(root, out, split="train")
    monkeypatch.setattr(staging, "exchange", lambda one, other: False)
    convert(root, out, split="val")
    assert (out / "val2017").is_dir()
    assert not (out / "train2017").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_originals_are_never_written_to(labelme: Make, tmp_path: Path) -> None:
    root = many(labelme)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in root.rglob("*") if path.is_file()}
    for out in ("one", "one", "two"):
        convert(root, tmp_path / out, to="coco,panoptic,ade", overwrite=True)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in root.rglob("*") if path.is_file()} == before


def test_too_many_classes_for_ade(labelme: Make, tmp_path: Path) -> None:
    root = labelme("a.jpg", [polygon(f"class {index}") for index in range(255)])
    with pytest.raises(UsageError, match="too many classes"):
        convert(root, tmp_path / "out", to="ade")


def test_ade_of_labels_that_only_reading_tells(labelme: Make, tmp_path: Path) -> None:
    root = labelme("a.png", [polygon("zebra", 0, 0, 10, 0, 10, 10, 0, 10), polygon("ant", 5, 5, 20, 5, 20, 20, 5, 20)])
    result = convert(root, tmp_path / "out", to="ade", split="train")
    mask = cv2.imread(str(tmp_path / "out/annotations/training/a.png"), cv2.IMREAD_UNCHANGED)
    assert mask.dtype == np.uint8
    assert result.classes.names == ("ant", "zebra")
    expected = np.zeros((30, 40), np.uint8)
    expected[0:10, 0:10] = 2
    expected[5:20, 5:20] = 1
    assert np.array_equal(mask, expected)
    assert result.ledger.notes["image-re-encoded-as-jpeg"].count == 1
    assert pillow.open(tmp_path / "out/images/training/a.jpg").format == "JPEG"
    info = (tmp_path / "out" / "objectInfo.txt").read_text().splitlines()
    assert [line.split("\t")[-1] for line in info] == ["Name", "ant", "zebra"]


def test_real_labelme_against_its_authors_own_masks(shared: Path, tmp_path: Path) -> None:
    """Class masks that LabelMe's author made of the same files; his rasteriser draws outlines, ours does not."""
    folder = shared / "corpora" / "labelme+voc__labelme__semantic_segmentation"
    result = convert(folder / "data_annotated", tmp_path / "out", to="ade", split="train")
    names = ("_background_", *result.classes.names)
    theirs = [line.strip() for line in (folder / "data_dataset_voc" / "class_names.txt").read_text().splitlines()]
    for path in sorted((folder / "data_dataset_voc" / "SegmentationClass").glob("*.png")):
        truth = np.asarray(pillow.open(path))
        ours = cv2.imread(str(tmp_path / "out/annotations/training" / path.name), cv2.IMREAD_UNCHANGED)
        lookup = np.array([theirs.index(name) for name in names], np.uint8)
        inner = cv2.morphologyEx(truth, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)) == 0
        inner &= truth != 255
        assert (lookup[ours] == truth)[inner].mean() > 0.999


def test_area_and_box_are_geometrys(labelme: Make, tmp_path: Path) -> None:
    parts = [polygon("car", 1.5, 2.5, 30, 3, 20, 25, group_id=1), polygon("car", 10, 10, 39, 10, 39, 29, group_id=1)]
    convert(labelme("a.jpg", parts), tmp_path / "out", split="train")
    (entry,) = load(tmp_path / "out")["annotations"]
    rle = geometry.polygons_to_rle(entry["segmentation"], 30, 40)
    assert ([entry["area"]], [tuple(entry["bbox"])]) == areas_and_boxes([rle])
