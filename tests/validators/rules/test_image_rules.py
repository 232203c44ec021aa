"""Each IM rule: its defect, planted alone, gives its finding alone; its fix leaves nothing to find."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
from PIL import Image
from small_sets import ade, change, coco, codes, noise

from seg2knet.dataset.images import probe
from seg2knet.validators.engine import validate

JSON = "annotations/instances_train2017.json"


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    return coco(tmp_path / "set", panoptic=False)


def picture(root: Path, index: int = 1) -> Path:
    return root / "train2017" / f"train_{index}.jpg"


def rename(root: Path, name: str, index: int = 1) -> None:
    change(root / JSON, lambda data: data["images"][index].update(file_name=name))


def size(root: Path, width: int, height: int) -> None:
    change(root / JSON, lambda data: data["images"][1].update(width=width, height=height))


def delete(root: Path) -> None:
    picture(root).unlink()


def cut(root: Path) -> None:
    picture(root).write_bytes(picture(root).read_bytes()[:-400])


def empty(root: Path) -> None:
    picture(root).write_bytes(b"")


def page(root: Path) -> None:
    picture(root).write_text("<html>404 Not Found</html>")


def turn(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(1)).save(picture(root), exif=exif)


def in_folder(root: Path) -> None:
    (root / "train2017" / "day 1").mkdir()
    picture(root).rename(root / "train2017" / "day 1" / "train_1.jpg")
    rename(root, "day 1\\train_1.jpg")


def absolute(root: Path) -> None:
    rename(root, str(picture(root)))


def foreign(root: Path) -> None:
    rename(root, "C:\\Users\\me\\train2017\\train_1.jpg")


def outside(root: Path) -> None:
    rename(root, "../train2017/train_1.jpg")


def upper(root: Path) -> None:
    rename(root, "TRAIN_1.JPG")


def same_stem(root: Path) -> None:
    Image.fromarray(noise(50)).save(root / "train2017" / "train_0.png")
    picture(root).unlink()
    rename(root, "train_0.png")


def other_suffix(root: Path) -> None:
    Image.fromarray(noise(50)).save(root / "train2017" / "train_1.png")
    picture(root).unlink()


def orphan(root: Path) -> None:
    Image.fromarray(noise(50)).save(root / "train2017" / "extra.jpg")


def cmyk(root: Path) -> None:
    Image.fromarray(noise(1)).convert("CMYK").save(picture(root))


def alpha(root: Path) -> None:
    Image.fromarray(noise(1)).convert("RGBA").save(root / "train2017" / "train_1.png")
    picture(root).unlink()
    rename(root, "train_1.png")


def deep(root: Path) -> None:
    Image.fromarray(noise(1)[..., 0].astype(np.uint16) * 200).save(root / "train2017" / "train_1.png")
    picture(root).unlink()
    rename(root, "train_1.png")


def pages(root: Path) -> None:
    frames = [Image.fromarray(noise(seed)) for seed in (1, 2)]
    frames[0].save(root / "train2017" / "train_1.tif", save_all=True, append_images=frames[1:])
    picture(root).unlink()
    rename(root, "train_1.tif")


def tiny(root: Path) -> None:
    Image.fromarray(noise(1, 20, 64)).save(picture(root))
    size(root, 64, 20)


def double(root: Path) -> None:
    shutil.copy(picture(root, 0), picture(root))


PLANTS: list[tuple[str, Callable[[Path], None], str]] = [
    ("IM001", delete, "unsafe"),
    ("IM002", cut, ""),
    ("IM002", empty, ""),
    ("IM002", page, ""),
    ("IM003", lambda root: size(root, 60, 48), "unsafe"),
    ("IM003", lambda root: size(root, 40, 20), "safe"),
    ("IM004", lambda root: size(root, 48, 64), "safe"),
    ("IM005", turn, "unsafe"),
    ("IM006", in_folder, "safe"),
    ("IM006", absolute, "safe"),
    ("IM006", foreign, "safe"),
    ("IM006", outside, "safe"),
    ("IM007", upper, "safe"),
    ("IM008", same_stem, "unsafe"),
    ("IM008", other_suffix, "unsafe"),
    ("IM009", orphan, ""),
    ("IM010", cmyk, "unsafe"),
    ("IM010", alpha, "unsafe"),
    ("IM010", deep, "unsafe"),
    ("IM010", pages, "unsafe"),
    ("IM011", tiny, ""),
    ("IM012", double, ""),
]
IDS = [f"{code}-{plant.__name__.strip('<>')}-{place}" for place, (code, plant, _) in enumerate(PLANTS)]


def test_clean(clean: Path) -> None:
    assert codes(clean) == []


@pytest.mark.parametrize(("code", "plant", "fix"), PLANTS, ids=IDS)
def test_planted_alone_found_alone(clean: Path, code: str, plant: Callable[[Path], None], fix: str) -> None:
    plant(clean)
    report = validate(clean, select=["IM"])
    assert [(finding.code, finding.fix.value) for finding in report.findings] == [(code, fix or "none")]
    assert report.findings[0].found


@pytest.mark.parametrize(
    ("code", "plant", "fix"),
    [plant for plant in PLANTS if plant[2]],
    ids=[name for name, plant in zip(IDS, PLANTS) if plant[2]],
)
def test_fix_leaves_nothing(clean: Path, code: str, plant: Callable[[Path], None], fix: str) -> None:
    plant(clean)
    before = {finding.code for finding in validate(clean).findings}
    validate(clean, select=["IM"], fix=fix)
    assert codes(clean) == []
    assert {finding.code for finding in validate(clean).findings} <= before - {code}
    content = {path: path.read_bytes() for path in clean.rglob("*") if path.is_file()}
    assert not validate(clean, select=["IM"], fix="unsafe").fixed
    assert content == {path: path.read_bytes() for path in clean.rglob("*") if path.is_file()}


def test_removed_image_is_listed_with_its_annotations(clean: Path) -> None:
    delete(clean)
    report = validate(clean, select=["IM"], fix="unsafe")
    data = json.loads((clean / JSON).read_text())
    assert [image["id"] for image in data["images"]] == [1, 3]
    assert {each["image_id"] for each in data["annotations"]} == {1, 3}
    assert any("train_1.jpg" in line for line in report.removed)


def test_missing_folder_is_one_finding(clean: Path) -> None:
    shutil.rmtree(clean / "train2017")
    found = validate(clean, select=["IM"]).findings
    assert [finding.code for finding in found] == ["IM001"]
    assert "3 images" in found[0].message


def test_name_that_leaves_the_folder_is_not_opened(clean: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"not a picture")
    rename(clean, "../../secret.jpg")
    assert codes(clean) == ["IM006"]  # that its image is named by nothing is the same fact


def test_exif_turned_as_shown_or_tag_reset_as_stored(clean: Path) -> None:
    turn(clean)
    pixels = np.asarray(Image.open(picture(clean)))
    validate(clean, select=["IM"], fix="unsafe")  # the JSON says 64x48: annotated as stored
    assert probe(picture(clean)).orientation == 1
    assert np.array_equal(np.asarray(Image.open(picture(clean))), pixels)

    turn(clean)
    size(clean, 48, 64)  # annotated as shown
    assert codes(clean) == ["IM005"]
    validate(clean, select=["IM"], fix="unsafe")
    assert (probe(picture(clean)).width, probe(picture(clean)).height) == (48, 64)


def test_shared_folder_has_no_orphans(clean: Path) -> None:
    images = clean / "images"
    images.mkdir()
    for split in ("train", "val"):
        for path in (clean / f"{split}2017").iterdir():
            path.rename(images / path.name)
        (clean / f"{split}2017").rmdir()
    assert codes(clean) == []


def test_panoptic_pngs_and_masks_are_looked_at_too(tmp_path: Path) -> None:
    root = coco(tmp_path / "panoptic")
    png = root / "annotations" / "panoptic_val2017" / "val_0.png"
    png.write_bytes(png.read_bytes()[:-20])
    assert codes(root) == ["IM002"]
    folder = ade(tmp_path / "ade")
    mask = folder / "annotations" / "training" / "training_0.png"
    mask.write_bytes(mask.read_bytes()[:-20])
    assert codes(folder) == ["IM002"]


@pytest.mark.parametrize(("code", "plant"), [("IM002", cut), ("IM005", turn), ("IM010", cmyk), ("IM012", double)])
def test_ade_images(tmp_path: Path, code: str, plant: Callable[[Path], None]) -> None:
    folder = ade(tmp_path / "ade", images=3)
    (tmp_path / "ade" / "train2017").symlink_to(folder / "images" / "training")
    for index in range(3):
        (folder / "images" / "training" / f"training_{index}.jpg").rename(picture(folder, index))
        mask = folder / "annotations" / "training" / f"training_{index}.png"
        mask.rename(mask.with_name(f"train_{index}.png"))
    plant(folder)
    assert codes(folder) == [code]
