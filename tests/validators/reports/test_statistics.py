"""``seg2knet stats``: the figures, in each format and of each layout."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from small_sets import ade, change, coco, labels, segments

from seg2knet.cli.stats import stats
from seg2knet.validators.statistics import statistics
from seg2knet.validators.subjects.data import find

JSON = "annotations/instances_train2017.json"


def run(*arguments: object) -> str:
    result = CliRunner().invoke(stats, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_figures_of_a_coco_set(tmp_path: Path) -> None:
    root = coco(tmp_path / "set", panoptic=False)

    def alter(data: dict) -> None:
        data["annotations"][0].update(area=5000, iscrowd=1)
        data["annotations"][1].update(area=20000)
        del data["annotations"][2]["area"]
        data["images"].append({"id": 99, "file_name": "empty.jpg", "width": 10, "height": 20})

    change(root / JSON, alter)
    found = json.loads(run(root, "--format", "json"))["splits"]
    assert [(split["split"], split["kind"]) for split in found] == [("train", "instances"), ("val", "instances")]
    train = found[0]
    assert (train["images"], train["empty_images"], train["objects"], train["crowds"]) == (4, 1, 6, 1)
    assert train["per_image"] == {"0": 1, "2": 3}
    assert train["without_area"] == 1
    assert train["mean_objects"] == 1.5
    assert train["sizes"] == [[64, 48, 3], [10, 20, 1]]
    cat, dog = train["classes"]
    assert (cat["name"], cat["objects"], cat["crowds"], cat["images"]) == ("cat", 3, 1, 3)
    assert (cat["small"], cat["medium"], cat["large"], cat["median_area"]) == (1, 1, 0, 2596.0)
    assert (dog["small"], dog["medium"], dog["large"]) == (2, 0, 1)
    assert sum(train["areas"]) == 5


def test_figures_of_panoptic_and_ade_sets_are_their_pixels(tmp_path: Path) -> None:
    panoptic = statistics(find(coco(tmp_path / "set")))[2]
    assert (panoptic.kind, panoptic.objects) == ("panoptic", 12)
    assert [each.kind for each in panoptic.classes] == ["thing", "thing", "stuff", "stuff"]
    assert panoptic.classes[2].median_area == (segments() == 70000).sum()

    masks = statistics(find(ade(tmp_path / "ade")))
    assert [split.split for split in masks] == ["train", "val"]
    assert [each.pixels for each in masks[0].classes] == [3 * int((labels() == number).sum()) for number in (1, 2, 3)]
    assert [each.images for each in masks[0].classes] == [3, 3, 3]
    assert masks[0].sizes == [(64, 48, 3)]


def test_table_shows_every_class_and_obeys_no_markup(tmp_path: Path) -> None:
    root = coco(tmp_path / "set")
    change(root / JSON, lambda data: data["categories"][0].update(name="[red]cat[/red]\x1b[31m"))
    text = run(root)
    assert "[red]cat[/red]\\x1b[31m" in text
    assert "\x1b" not in text
    for word in ("train (panoptic)", "sky", "grass", "64x48", "median area"):
        assert word in text


@pytest.mark.parametrize("layout", [coco, ade])
def test_html_has_plots_and_no_markup_of_the_data(tmp_path: Path, layout: object) -> None:
    hostile = "<script>alert(1)</script>"
    if layout is coco:
        root = coco(tmp_path / "set")
        change(root / JSON, lambda data: data["categories"][0].update(name=hostile))
    else:
        root = ade(tmp_path / "set", names=[hostile, "sky", "tree"])
    target = tmp_path / "stats.html"
    run(root, "--format", "html", "--output-file", target)
    text = target.read_text("utf-8")
    assert text.count("<svg") == (4 if layout is coco else 2)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert not re.search(r"""(?:src|href)\s*=""", text)


def test_broken_file_gives_figures_of_what_is_left(tmp_path: Path) -> None:
    root = coco(tmp_path / "set", panoptic=False)
    (root / JSON).write_text("{")
    found = json.loads(run(root, "--format", "json"))["splits"]
    assert [split["images"] for split in found] == [0, 3]


def test_car_parts(shared: Path) -> None:
    split = statistics(find(shared / "data" / "carparts" / "trainingset" / "annotations.json"))[0]
    assert (split.images, split.objects, len(split.classes)) == (400, 3073, 19)
    assert split.classes[0].objects == 0
