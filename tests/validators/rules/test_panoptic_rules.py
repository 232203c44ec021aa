"""Each CP rule: its defect, planted alone, gives its finding alone; its fix leaves nothing to find."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from PIL import Image
from small_sets import change, coco, codes, segments, write_png

from seg2knet.validators.engine import validate

JSON = "annotations/panoptic_train2017.json"
PNGS = "annotations/panoptic_train2017"
Plant = Callable[[Path], None]


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    return coco(tmp_path / "set")


def in_both(root: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    change(root / JSON, edit)
    change(root / "annotations/instances_train2017.json", edit)


def segment(place: int, **values: Any) -> Plant:
    """Change the first image's segment: 0 cat 1001, 1 dog 2002, 2 sky 70000, 3 grass 3."""
    return lambda root: change(root / JSON, lambda data: data["annotations"][0]["segments_info"][place].update(values))


def without(place: int, key: str) -> Plant:
    return lambda root: change(root / JSON, lambda data: data["annotations"][0]["segments_info"][place].pop(key))


def isthing_gone(root: Path) -> None:
    change(root / JSON, lambda data: data["categories"][3].pop("isthing"))


def all_things(root: Path) -> None:
    change(root / JSON, lambda data: [each.update(isthing=0) for each in data["categories"]])


def stuff_first(root: Path) -> None:
    change(root / JSON, lambda data: data["categories"].reverse())


def no_png(root: Path) -> None:
    (root / PNGS / "train_0.png").unlink()


def png_renamed(root: Path) -> None:
    (root / PNGS / "train_0.png").rename(root / PNGS / "train_0_panoptic.png")
    change(root / JSON, lambda data: data["annotations"][0].update(file_name="train_0_panoptic.png"))


def png_named_wrongly(root: Path) -> None:
    change(root / JSON, lambda data: data["annotations"][0].update(file_name="train_0_panoptic.png"))


def image_is_jpeg(root: Path) -> None:
    (root / "train2017/train_0.jpg").rename(root / "train2017/train_0.JPEG")
    in_both(root, lambda data: data["images"][0].update(file_name="train_0.JPEG"))


def png_scaled(root: Path) -> None:
    write_png(root / PNGS / "train_0.png", np.kron(segments(), np.ones((2, 2), int)))


def png_alpha(root: Path) -> None:
    Image.open(root / PNGS / "train_0.png").convert("RGBA").save(root / PNGS / "train_0.png")


def png_palette(root: Path) -> None:
    """Written as a palette whose colours are the ids."""
    ids = segments()
    numbers, places = np.unique(ids, return_inverse=True)
    picture = Image.fromarray(places.reshape(ids.shape).astype(np.uint8), "P")
    picture.putpalette(
        [channel for number in numbers.tolist() for channel in (number % 256, number // 256 % 256, number >> 16)]
    )
    picture.save(root / PNGS / "train_0.png")


def segment_gone(root: Path) -> None:
    change(
        root / JSON,
        lambda data: data["annotations"][0]["segments_info"].append(
            {"id": 5, "category_id": 1, "area": 9, "bbox": [0, 0, 3, 3], "iscrowd": 1}
        ),
    )


def png_more(root: Path) -> None:
    ids = segments()
    ids[40:44, 2:6] = 99
    write_png(root / PNGS / "train_0.png", ids)
    segment(3, area=int((ids == 3).sum()))(root)


def zero_everywhere(root: Path) -> None:
    ids = segments()
    ids[ids == 0] = 3
    ids[ids == 2002] = 0
    write_png(root / PNGS / "train_0.png", ids)
    segment(1, id=0)(root)
    segment(3, area=int((ids == 3).sum()))(root)


def twice(root: Path) -> None:
    def add(data: dict[str, Any]) -> None:
        infos = data["annotations"][0]["segments_info"]
        infos.append({**infos[0], "category_id": 2, "iscrowd": 1})

    change(root / JSON, add)


def stuff_twice(root: Path) -> None:
    ids = segments()
    ids[:24, :2] = 71000
    write_png(root / PNGS / "train_0.png", ids)

    def add(data: dict[str, Any]) -> None:
        infos = data["annotations"][0]["segments_info"]
        infos[2].update(area=int((ids == 70000).sum()), bbox=[2, 0, 62, 24])
        infos.append({"id": 71000, "category_id": 3, "area": 48, "bbox": [0, 0, 2, 24], "iscrowd": 0})

    change(root / JSON, add)


def mostly_void(root: Path) -> None:
    ids = segments()
    ids[ids == 70000] = 0
    ids[ids == 3] = 0
    write_png(root / PNGS / "train_0.png", ids)
    change(root / JSON, lambda data: data["annotations"][0]["segments_info"].__delitem__(slice(2, 4)))


def no_thing(root: Path) -> None:
    ids = segments()
    ids[ids == 1001] = 70000
    ids[(ids == 2002)] = 3
    write_png(root / PNGS / "train_0.png", ids)

    def drop(data: dict[str, Any]) -> None:
        sky, grass = data["annotations"][0]["segments_info"][2:]
        sky.update(area=int((ids == 70000).sum()))
        ys, xs = np.nonzero(ids == 3)
        box = [int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1]
        grass.update(area=int((ids == 3).sum()), bbox=box)
        data["annotations"][0]["segments_info"] = [sky, grass]

    change(root / JSON, drop)


def older_instances(root: Path) -> None:
    def drop(data: dict[str, Any]) -> None:
        del data["annotations"][0]

    change(root / "annotations/instances_train2017.json", drop)


def other_categories(root: Path) -> None:
    change(root / "annotations/instances_train2017.json", lambda data: data["categories"][0].update(name="lynx"))


PLANTS: list[tuple[str, Plant, str]] = [
    ("CP001", isthing_gone, ""),
    ("CP001", all_things, ""),
    ("CP002", stuff_first, "safe"),
    ("CP003", no_png, ""),
    ("CP004", png_renamed, "safe"),
    ("CP004", png_named_wrongly, "safe"),
    ("CP004", image_is_jpeg, "safe"),
    ("CP005", png_scaled, ""),
    ("CP006", png_alpha, "safe"),
    ("CP006", png_palette, "safe"),
    ("CP007", segment_gone, "safe"),
    ("CP007", segment(0, id=7), "safe"),
    ("CP008", png_more, ""),
    ("CP009", segment(0, id=0), "safe"),
    ("CP009", segment(0, id=1001 + (1 << 24)), "safe"),
    ("CP009", zero_everywhere, "safe"),
    ("CP010", twice, ""),
    ("CP011", segment(0, area=190), "safe"),
    ("CP011", without(0, "area"), "safe"),
    ("CP012", segment(0, bbox=[4, 4, 20, 16]), "safe"),
    ("CP012", without(0, "bbox"), "safe"),
    ("CP013", stuff_twice, "safe"),
    ("CP014", mostly_void, ""),
    ("CP015", no_thing, ""),
    ("CP016", older_instances, ""),
    ("CP016", other_categories, ""),
]
FOLLOW = {"all_things": {"CP016", "CP013"}}
IDS = [f"{code}-{place}" for place, (code, _, _) in enumerate(PLANTS)]


def test_clean(clean: Path) -> None:
    assert codes(clean) == []


@pytest.mark.parametrize(("code", "plant", "fix"), PLANTS, ids=IDS)
def test_planted_alone_found_alone(clean: Path, code: str, plant: Plant, fix: str) -> None:
    plant(clean)
    report = validate(clean, select=["IM", "CP"])
    assert [(finding.code, finding.fix.value) for finding in report.findings] == [(code, fix or "none")]
    assert report.findings[0].found
    assert report.findings[0].expected


FIXABLE = [place for place, (_, _, fix) in enumerate(PLANTS) if fix]


@pytest.mark.parametrize(
    ("code", "plant", "fix"), [PLANTS[place] for place in FIXABLE], ids=[IDS[each] for each in FIXABLE]
)
def test_fix_leaves_nothing(clean: Path, code: str, plant: Plant, fix: str) -> None:
    plant(clean)
    before = {finding.code for finding in validate(clean).findings}
    validate(clean, select=["CP"], fix=fix)
    assert codes(clean) == []
    assert {finding.code for finding in validate(clean).findings} <= before - {code}
    content = {path: path.read_bytes() for path in clean.rglob("*") if path.is_file()}
    assert not validate(clean, select=["CP"], fix="unsafe").fixed
    assert content == {path: path.read_bytes() for path in clean.rglob("*") if path.is_file()}


def test_id_is_found_again_not_thrown_away(clean: Path) -> None:
    segment(0, id=7)(clean)
    validate(clean, select=["CP"], fix="safe")
    infos = json.loads((clean / JSON).read_text())["annotations"][0]["segments_info"]
    assert [info["id"] for info in infos] == [1001, 2002, 70000, 3]


def test_a_segment_that_might_be_any_region_is_not_removed_safely(clean: Path) -> None:
    png_more(clean)
    segment_gone(clean)
    found = {finding.code: finding.fix.value for finding in validate(clean, select=["CP"]).findings}
    assert found == {"CP007": "unsafe", "CP008": "none"}


def test_stuff_is_joined_pixel_for_pixel(clean: Path) -> None:
    stuff_twice(clean)
    validate(clean, select=["CP"], fix="safe")
    pixels = np.asarray(Image.open(clean / PNGS / "train_0.png")).astype(int)
    assert np.array_equal(pixels[..., 0] + 256 * pixels[..., 1] + 65536 * pixels[..., 2], segments())


def test_missing_folder_is_one_finding(clean: Path) -> None:
    shutil.rmtree(clean / PNGS)
    assert codes(clean) == ["CP003"]


def test_stuff_only_images_matter_in_training_alone(clean: Path) -> None:
    for path in sorted((clean / "annotations").rglob("*train2017*"), reverse=True):
        path.rename(path.with_name(path.name.replace("train", "test")))
    (clean / "train2017").rename(clean / "test2017")
    change(clean / "annotations/panoptic_test2017.json", lambda data: data["annotations"][0]["segments_info"].clear())
    assert "CP015" not in codes(clean)


def test_the_reference_implementation_s_sample_is_sound(shared: Path) -> None:
    folder = shared / "corpora" / "coco-panoptic__panopticapi__sample_data"
    found = validate(folder / "panoptic_examples.json", images=folder / "input_images", select=["CP", "IM"]).findings
    assert [finding.code for finding in found if finding.severity == "error"] == []
    assert not {"CP007", "CP008", "CP011", "CP012"} & {finding.code for finding in found}


def test_panoptic_without_stuff_is_valid(clean: Path) -> None:
    def things(data: dict[str, Any]) -> None:
        data["categories"] = [each for each in data["categories"] if each["isthing"]]
        for entry in data["annotations"]:
            entry["segments_info"] = entry["segments_info"][:2]

    for split, moved in (("train", 0), ("val", 4)):
        ids = segments(moved)
        ids[(ids == 70000) | (ids == 3)] = 0
        change(clean / f"annotations/panoptic_{split}2017.json", things)
        for index in range(3):
            write_png(clean / f"annotations/panoptic_{split}2017/{split}_{index}.png", ids)
    report = validate(clean)
    assert {finding.code for finding in report} == {"CP014"}  # for information
    assert report.exit_code == 0
