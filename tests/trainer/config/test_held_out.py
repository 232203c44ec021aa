"""What the best epoch is chosen by: val, a part of train, or what is asked for; never the test split by itself."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import drawn_sets
import pytest

from seg2knet.dataset.folder import read_folder
from seg2knet.errors import UsageError
from seg2knet.trainer.config.build import build
from seg2knet.trainer.config.held_out import choose, chosen_places
from seg2knet.trainer.config.plan import Machine, RunPlan, decide
from seg2knet.trainer.options import TrainOptions


def with_test_split(root: Path, **drawn: Any) -> Path:
    """A data set whose val split is its test split."""
    data = drawn_sets.coco(root, **drawn)
    for file in sorted((data / "annotations").glob("*_val2017*")):
        file.rename(file.with_name(file.name.replace("val", "test")))
    (data / "val2017").rename(data / "test2017")
    return data


def decided(data: Path, work_dir: Path, **options: Any) -> RunPlan:
    asked = TrainOptions(**options).check()
    plan = decide(asked, read_folder(data, asked.task), Machine("cuda"), "r50.pth", work_dir)
    for file, content in plan.files.items():
        file.write_bytes(content)
    return plan


@pytest.mark.parametrize("task", ["instance", "panoptic"])
def test_beside_a_test_split_a_part_of_train_is_set_apart(tmp_path: Path, task: str) -> None:
    data = with_test_split(tmp_path / "data", train=20, panoptic=True)
    plan = decided(data, tmp_path, task=task)
    assert plan.judge == "val"
    assert any("4 of 20 training images are set apart" in note for note in plan.notes)
    content: dict[str, Any] = {}
    exec(build(plan), content)
    assert content["val"] == "val"
    files = [content[f"{part}_dataloader"]["dataset"]["ann_file"] for part in ("train", "val", "test")]
    kind = {"instance": "instances", "panoptic": "panoptic"}[task]
    whole = json.loads((data / "annotations" / f"{kind}_train2017.json").read_text())
    train, val = (json.loads(Path(file).read_text()) for file in files[:2])
    assert files[2] == str(data / "annotations" / f"{kind}_test2017.json")
    ids = [{image["id"] for image in part["images"]} for part in (train, val)]
    assert (len(ids[0]), len(ids[1])) == (16, 4)
    assert ids[0] | ids[1] == {image["id"] for image in whole["images"]}
    assert len(train["annotations"]) + len(val["annotations"]) == len(whole["annotations"])
    for part, those in ((train, ids[0]), (val, ids[1])):
        assert {entry["image_id"] for entry in part["annotations"]} <= those
        assert part["categories"] == whole["categories"]
    read_again = read_folder(data, task)
    assert plan.train.objects + plan.data.splits["val"].objects == read_again.splits["train"].objects


def test_semantic_images_are_set_apart_by_name(tmp_path: Path) -> None:
    pytest.importorskip("mmseg")
    data = drawn_sets.ade(tmp_path / "data", train=10)
    plan = decided(data, tmp_path, val="0.3", batch_size=2, head="fcn", img_size="64")
    from seg2knet.trainer.openmmlab.semantic_data import SemanticData

    content: dict[str, Any] = {}
    exec(build(plan), content)
    names = []
    for part in ("train", "val"):
        settings = content[f"{part}_dataloader"]["dataset"]
        given = {name: settings[name] for name in ("ann_file", "data_prefix", "metainfo")}
        dataset = SemanticData(pipeline=[], **given)
        names.append({Path(dataset.get_data_info(place)["img_path"]).name for place in range(len(dataset))})
    assert (len(names[0]), len(names[1])) == (7 - 1, 3 + 1), "four at least"
    assert len(names[0] | names[1]) == 10
    assert plan.steps == 3


@pytest.mark.parametrize(
    ("asked", "judge", "train"),
    [(None, "val", 8), ("test", "test", 8), ("none", None, 8), ("0.5", "val", 4), ("train", "train", 8)],
)
def test_what_is_asked_for(tmp_path: Path, asked: Any, judge: Any, train: int) -> None:
    data = drawn_sets.coco(tmp_path / "data")
    shutil.copy(data / "annotations/instances_val2017.json", data / "annotations/instances_test2017.json")
    plan = decided(data, tmp_path, val=asked)
    assert (plan.judge, plan.train.count) == (judge, train)
    tested = plan.tested.name if plan.tested is not None else None
    assert tested == (None if asked in ("test", "none") else "test")
    if asked == "none":
        assert "val_dataloader" not in build(plan)


def test_without_val_and_test_nothing_is_set_apart_unless_asked(tmp_path: Path) -> None:
    data = drawn_sets.coco(tmp_path / "data")
    (data / "annotations" / "instances_val2017.json").unlink()
    assert decided(data, tmp_path).judge is None
    assert decided(data, tmp_path, val="0.25").data.splits["val"].count == 4


@pytest.mark.parametrize("asked", ["1.5", "0", "dev", "val"])
def test_what_cannot_be_evaluated_on_is_refused(tmp_path: Path, asked: str) -> None:
    folder = read_folder(with_test_split(tmp_path / "data"))
    with pytest.raises(UsageError, match="train, test, none, or a share"):
        choose(folder, TrainOptions(val=asked), tmp_path)


def test_the_length_goes_by_all_that_there_is_to_train_on(tmp_path: Path) -> None:
    data = with_test_split(tmp_path / "data", train=8)
    whole = decided(data, tmp_path, val="none", img_size="64", batch_size=1)
    part = decided(data, tmp_path, img_size="64", batch_size=1)
    assert whole.epochs == part.epochs
    assert (whole.steps, part.steps) == (8, 4)


def test_every_class_is_in_both_parts_and_the_seed_decides() -> None:
    labels = [["a"]] * 90 + [["a", "b"]] * 8 + [["a", "c"]] * 20 + [[]] * 2
    chosen = chosen_places(labels, 0.1, 0)
    assert len(chosen) == 12
    found = Counter(label for place in chosen for label in labels[place])
    assert (found["a"], found["b"], found["c"]) == (12, 1, 2)
    assert chosen_places(labels, 0.1, 0) == chosen != chosen_places(labels, 0.1, 1)
    assert len(chosen_places([["a"], ["a"]], 0.1, 0)) == 1
