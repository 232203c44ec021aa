"""A checkpoint alone: judged and used far from where it was trained."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import drawn_sets
import pytest
from click.testing import CliRunner
from drawn_sets import SMALL

torch = pytest.importorskip("torch")
pytest.importorskip("mmdet")

import seg2knet  # noqa: E402
from seg2knet.cli import cli  # noqa: E402
from seg2knet.dataset.images import is_image  # noqa: E402
from seg2knet.errors import DataError, Seg2KNetError, UsageError  # noqa: E402
from seg2knet.trainer.evaluate import evaluation, judging  # noqa: E402


@pytest.fixture(scope="module")
def moved(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The best checkpoint under another name, in another folder."""
    path = tmp_path_factory.mktemp("elsewhere") / "my model.pth"
    shutil.copy(trained.best, path)
    return path


def test_judging_gives_what_training_said(trained: Any, moved: Path, coco_root: Path) -> None:
    found = seg2knet.evaluate(moved)
    assert found.split == "val"
    assert found.images == 4
    assert {name: pytest.approx(value, abs=1e-6) for name, value in trained.figures.items()} == found.figures
    assert seg2knet.evaluate(moved, coco_root, "train").images == 8
    assert seg2knet.load(moved, "cpu").judged_score == found.score_thr
    if found.score_thr is not None:
        page = judging.report(found).csv.splitlines()
        assert page[1].endswith(f",{found.score_thr:g}"), "what the page says"


def test_the_command_prints_figures_and_leaves_images(moved: Path, coco_root: Path, tmp_path: Path) -> None:
    shown, figures = tmp_path / "shown", tmp_path / "figures.json"
    result = CliRunner().invoke(
        cli, ["test", str(moved), str(coco_root), "--show-dir", str(shown), "--json", str(figures), "--workers", "0"]
    )
    assert result.exit_code == 0, result.output
    assert "disc" in result.output
    assert "AP50" in result.output
    content = json.loads(figures.read_text())
    assert content["images"] == 4
    assert [row["name"] for row in content["classes"]] == ["disc", "box"]
    assert sum(map(is_image, shown.rglob("*"))) == 4


def test_predicting_needs_no_data(moved: Path, coco_root: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    shutil.copytree(coco_root / "val2017", pictures)
    out = tmp_path / "out"
    result = CliRunner().invoke(
        cli,
        [
            "predict",
            str(moved),
            str(pictures),
            "--out",
            str(out),
            "--format",
            "overlay,coco,labelme",
            "--score-thr",
            "0",
        ],
    )
    assert result.exit_code == 0, result.output
    assert "4 images" in result.output
    results = json.loads((out / "predictions.json").read_text())
    assert results
    assert {each["category_id"] for each in results} <= {1, 2}
    assert json.loads((out / "000.json").read_text())["imagePath"].endswith("pictures/000.jpg")
    assert sum(map(is_image, out.rglob("*"))) == 4


def test_an_image_that_cannot_be_read_is_said_and_the_rest_goes_on(
    moved: Path, coco_root: Path, tmp_path: Path
) -> None:
    shutil.copy(coco_root / "val2017" / "000.jpg", tmp_path / "good.jpg")
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    result = CliRunner().invoke(cli, ["predict", str(moved), str(tmp_path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "1 images" in result.output
    assert "bad.jpg" in result.output
    assert [file.stem for file in (tmp_path / "out").iterdir()] == ["good"]


def test_the_api_skips_a_broken_image_and_keeps_no_dense_masks(moved: Path, coco_root: Path, tmp_path: Path) -> None:
    shutil.copy(coco_root / "val2017" / "000.jpg", tmp_path / "good.jpg")
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    failures: list[DataError] = []
    (found,) = seg2knet.predict(moved, tmp_path, score_thr=0, failed=failures.append)
    assert found.path.name == "good.jpg"
    assert found.masks.shape == (len(found.labels), found.height, found.width)
    assert "bad.jpg" in str(failures[0])
    with pytest.warns(UserWarning, match=r"bad\.jpg"):
        assert len(seg2knet.predict(moved, tmp_path)) == 1


def test_other_classes_are_named(moved: Path, tmp_path: Path) -> None:
    data = drawn_sets.coco(tmp_path / "data", train=1, val=1)
    for file in (data / "annotations").glob("*.json"):
        file.write_text(file.read_text().replace('"disc"', '"wheel"'))
    with pytest.raises(DataError, match="wheel"):
        seg2knet.evaluate(moved, data)


def test_data_that_are_gone_are_asked_for(moved: Path, tmp_path: Path) -> None:
    content = torch.load(moved, weights_only=True)
    root = next(line for line in content["meta"]["cfg"].splitlines() if line.startswith("data_root"))
    content["meta"]["cfg"] = content["meta"]["cfg"].replace(root, f"data_root = {str(tmp_path / 'gone')!r}")
    torch.save(content, tmp_path / "lost.pth")
    with pytest.raises(UsageError, match="seg2knet test CHECKPOINT DATA"):
        seg2knet.evaluate(tmp_path / "lost.pth")


@pytest.mark.parametrize("what", ["missing", "text", "foreign"])
def test_what_is_no_checkpoint_is_refused(what: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    if what == "text":
        path.write_text("hello")
    elif what == "foreign":
        torch.save({"state_dict": {"a": torch.zeros(1)}}, path)
    with pytest.raises(Seg2KNetError, match=r"x\.pth"):
        seg2knet.predict(path, _picture(tmp_path))


def _picture(folder: Path) -> Path:
    import cv2
    import numpy as np

    path = folder / "p.png"
    cv2.imwrite(str(path), np.zeros((20, 20, 3), np.uint8))
    return path


def test_an_evaluation_server_gets_what_it_takes(moved: Path, coco_root: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(coco_root, data)
    (data / "val2017").rename(data / "test2017")
    annotations = data / "annotations"
    content = json.loads((annotations / "instances_val2017.json").read_text())
    listed = {"images": [{**image, "id": image["id"] + 500} for image in content["images"]], "categories": []}
    (annotations / "image_info_test-dev2017.json").write_text(json.dumps(listed))
    (annotations / "instances_val2017.json").unlink()
    target = tmp_path / "out.zip"
    arguments = ["test", str(moved), str(data), "--split", "test", "--format-only", str(target), "--workers", "0"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    with zipfile.ZipFile(target) as archive:
        assert archive.namelist() == ["detections_test-dev2017_seg2knet_results.json"]
        results = json.loads(archive.read(archive.namelist()[0]))
    assert {each["image_id"] for each in results} == {501, 502, 503, 504}
    assert {each["category_id"] for each in results} <= {3, 7}, "the data's own ids"


@pytest.mark.parametrize("task", ["panoptic", "semantic"])
def test_the_other_tasks_go_the_same_way(task: str, train_small: Callable[..., Any], tmp_path: Path) -> None:
    if task == "panoptic":
        data = drawn_sets.coco(tmp_path / "data", train=4, val=2, panoptic=True)
        result, _ = train_small(data, tmp_path / "run", epochs=1, cfg_options=SMALL)
        figures = {"PQ", "SQ", "RQ", "PQ_things", "PQ_stuff"}
    else:
        data = drawn_sets.ade(tmp_path / "data", train=4, val=2)
        result, _ = train_small(data, tmp_path / "run", epochs=1, head="fcn", cfg_options={})
        figures = {"mIoU", "mAcc", "aAcc"}
    assert set(result.figures) == figures
    assert [row["name"] for row in result.classes] == ["disc", "box", "sky", "ground"]
    assert result.samples.stat().st_size > 0
    again = seg2knet.evaluate(result.best)
    assert {name: pytest.approx(value, abs=1e-5) for name, value in result.figures.items()} == again.figures
    out = tmp_path / "out"
    picture = next(data.rglob("*.jpg"))
    seg2knet.predict(result.best, picture, out=out, formats=["overlay", "coco", "labelme"])
    kind = "panoptic" if task == "panoptic" else "labels"
    assert (out / kind / f"{picture.stem}.png").is_file()
    assert (out / f"{picture.stem}.json").is_file()
    target = tmp_path / "submission.zip"
    evaluation.evaluate(result.best, data, submission=target, workers=0)
    with zipfile.ZipFile(target) as archive:
        names = archive.namelist()
    assert len([name for name in names if name.endswith(".png")]) == 2
    assert ("panoptic_val2017_seg2knet_results.json" in names) == (task == "panoptic")
