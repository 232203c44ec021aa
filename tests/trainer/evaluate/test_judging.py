"""Checkpoints and result files compared on a split, and labels audited by models that have not seen them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from drawn_sets import SMALL

pytest.importorskip("mmdet")
pytest.importorskip("hotcoco")

from seg2knet.cli import cli
from seg2knet.dataset.folder import read_folder
from seg2knet.download.transfer import TransferError
from seg2knet.errors import UsageError
from seg2knet.trainer.evaluate.audit import audit, fold_data
from seg2knet.trainer.evaluate.evaluation import Evaluation
from seg2knet.trainer.evaluate.judging import judged
from seg2knet.trainer.run.session import TrainResult


def as_results(root: Path, file: Path, share: float = 1.0) -> Path:
    """The annotations of the val split as results."""
    truth = json.loads((root / "annotations" / "instances_val2017.json").read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    from seg2knet.judge.objects import rle_of

    results = []
    for annotation in truth["annotations"]:
        if annotation["iscrowd"]:
            continue
        code = dict(rle_of(annotation["segmentation"], *sizes[annotation["image_id"]]))
        code["counts"] = code["counts"].decode() if isinstance(code["counts"], bytes) else code["counts"]
        results.append({
            "image_id": annotation["image_id"], "category_id": annotation["category_id"], "segmentation": code,
            "score": 0.9,
        })  # fmt: skip
    file.write_text(json.dumps(results[: round(len(results) * share)]))
    return file


def test_result_files_are_compared(coco_root: Path, tmp_path: Path) -> None:
    a, b = as_results(coco_root, tmp_path / "a.json"), as_results(coco_root, tmp_path / "b.json", 0.5)
    command = ["compare", str(a), str(b), str(coco_root), "--junit", str(tmp_path / "j.xml")]
    done = CliRunner().invoke(cli, [*command, "--fail-if", "AP < -0.01", "--html", str(tmp_path / "c.html")])
    assert done.exit_code == 1, done.output
    assert "objects that only B finds: 0" in done.output
    assert "failed: AP < -0.01" in done.output
    assert 'failures="1"' in (tmp_path / "j.xml").read_text()
    assert "Objects that only A finds" in (tmp_path / "c.html").read_text()
    done = CliRunner().invoke(cli, ["compare", str(a), str(a), str(coco_root), "--fail-if", "AP < 0", "--json", "-"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["figures"][0]["difference"] == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{}", "not a list"),
        ("[1]", "result 0"),
        ("[{}]", "seg2knet test CHECKPOINT --out"),
        ("nonsense", "not JSON"),
        ('[{"image_id": [1], "category_id": 1, "segmentation": {}, "score": 1}]', "image_id: [1]"),
        ('[{"image_id": true, "category_id": 1, "segmentation": {}, "score": 1}]', "image_id: True"),
        ('[{"image_id": 1, "category_id": 1, "segmentation": {}, "score": NaN}]', "not JSON"),
        ('[{"image_id": 1, "category_id": 1, "segmentation": [], "score": 1}]', "segmentation: []"),
    ],
)
def test_a_file_that_holds_no_results(content: str, said: str, coco_root: Path, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(content)
    from seg2knet.errors import DataError

    with pytest.raises(DataError) as caught:
        judged(tmp_path / "r.json", coco_root)
    assert said in str(caught.value)


def test_a_checkpoint_is_judged(trained: Any, coco_root: Path) -> None:
    one = judged(trained.best or trained.last, coco_root)
    assert {result["image_id"] for result in one.results} <= {image["id"] for image in one.truth["images"]}
    assert one.images == coco_root / "val2017"


def test_images_that_are_links_are_there_in_a_fold(coco_root: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(coco_root, data)
    part = read_folder(data, "instance").split("train")
    for image in sorted(part.images.iterdir()):
        original = data / f"original-{image.name}"
        image.rename(original)
        image.symlink_to(Path("..") / original.name)
    fold_data(tmp_path / "a" / "fold", part, json.loads(part.annotations.read_text()), frozenset())
    images = list((tmp_path / "a" / "fold" / "train2017").iterdir())
    assert len(images) == part.count
    assert all(image.is_file() for image in images)


def test_folds_share_out_the_images(coco_root: Path, tmp_path: Path) -> None:
    folder = read_folder(coco_root, "instance")
    part = folder.split("train")
    truth = json.loads(part.annotations.read_text())
    held_out = frozenset(image["id"] for image in truth["images"][:3])
    fold_data(tmp_path / "fold", part, truth, held_out)
    fold = read_folder(tmp_path / "fold", "instance")
    assert fold.splits["val"].count == 3
    assert fold.splits["train"].count + 3 == part.count
    assert fold.splits["val"].objects + fold.splits["train"].objects == part.objects
    val = json.loads(fold.splits["val"].annotations.read_text())
    assert {image["id"] for image in val["images"]} == held_out
    for image in val["images"]:
        original = next(one for one in truth["images"] if one["id"] == image["id"])
        assert (fold.splits["val"].images / image["file_name"]).read_bytes() == (
            part.images / original["file_name"]
        ).read_bytes()


def test_an_audit_trains_folds_once(coco_root: Path, tmp_path: Path) -> None:
    said: list[str] = []
    options = {
        "epochs": 1, "batch_size": 2, "img_size": 64, "backbone": "r18", "pretrained": False, "gpus": 0, "workers": 0,
        "cfg_options": SMALL, "amp": False,
    }  # fmt: skip
    one = audit(coco_root, folds=2, work_dir=tmp_path / "audit", say=said.append, **options)
    assert {image["id"] for image in one.judged.truth["images"]} >= {r["image_id"] for r in one.judged.results}
    assert sum(line.startswith("fold") and "training on" in line for line in said) == 2
    said.clear()
    again = audit(coco_root, folds=2, work_dir=tmp_path / "audit", say=said.append, **options)
    assert again.suspects == one.suspects
    assert not any("training" in line for line in said)
    assert json.dumps(again.as_dict())


def test_folds_train_from_scratch_where_weights_cannot_be_had(
    coco_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def train(data: Path, work_dir: Path, resume: bool = False, **options: Any) -> TrainResult:
        asked.append(options)
        if options.get("pretrained") != "none":
            raise TransferError("the file cannot be downloaded")
        work_dir.mkdir()
        return TrainResult(work_dir, work_dir / "config.py")

    def judge(checkpoint: Path, data: Path, split: str, **options: Any) -> Evaluation:
        return Evaluation(checkpoint, data, split, "instance", 1, {}, [])

    monkeypatch.setattr("seg2knet.trainer.api.train", train)
    monkeypatch.setattr("seg2knet.trainer.evaluate.audit.evaluate", judge)
    said: list[str] = []
    audit(coco_root, folds=2, work_dir=tmp_path, say=said.append, epochs=1)
    assert [options.get("pretrained") for options in asked] == [None, "none", "none"]
    assert any("from scratch" in line for line in said)
    with pytest.raises(TransferError):
        audit(coco_root, folds=2, work_dir=tmp_path / "asked", say=said.append, pretrained="imagenet")


def test_too_few_images(coco_root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too few images"):
        audit(coco_root, folds=7, work_dir=tmp_path)


def test_the_command(trained: Any, coco_root: Path, tmp_path: Path) -> None:
    page = tmp_path / "audit.html"
    done = CliRunner().invoke(
        cli,
        [
            "audit",
            str(coco_root),
            "--split",
            "val",
            "--checkpoint",
            str(trained.best or trained.last),
            "--html",
            str(page),
            "--output-format",
            "sarif",
            "--output-file",
            str(tmp_path / "audit.sarif"),
            "--shapes",
            "labelme",
            "--out",
            str(tmp_path / "shapes"),
        ],
    )
    assert done.exit_code == 0, done.output
    assert f"look at them in {page}" in done.output
    assert "Labels that look wrong" in page.read_text()
    results = json.loads((tmp_path / "audit.sarif").read_text())["runs"][0]["results"]
    assert {result["level"] for result in results} <= {"note"}
    assert len(results) == int(re.findall(r"(\d+) suspects; look", done.output)[0])
    assert (tmp_path / "shapes" / "labelme" / "labels.txt").is_file()


def test_the_page_of_test(trained: Any, coco_root: Path, tmp_path: Path) -> None:
    checkpoint = str(trained.best or trained.last)
    done = CliRunner().invoke(cli, ["test", checkpoint, str(coco_root), "--csv", str(tmp_path / "classes.csv")])
    assert done.exit_code == 0, done.output
    page = Path(checkpoint).parent / "test-val.html"
    assert f"wrote {page}" in done.output
    assert "Where the model fails" in page.read_text()
    assert (tmp_path / "classes.csv").read_text().startswith("name,objects,AP,AP50,AP75,F1,threshold\nall classes,")
    page.unlink()
    done = CliRunner().invoke(cli, ["test", checkpoint, str(coco_root), "--no-html", "--json", "-"])
    assert done.exit_code == 0, done.output
    assert not page.exists()
