"""Rules on readiness for K-Net: the configuration, what trainers drop, versions."""

from __future__ import annotations

import ast
import json
import shutil
import sys
from importlib import metadata
from pathlib import Path

import pytest
from shapes_set import HEIGHT, SQUARE, WIDTH, data, folder_set, write
from small_sets import coco

from seg2knet.errors import UsageError
from seg2knet.knet.recipe import learning_rate
from seg2knet.validators.engine import validate
from seg2knet.validators.rules import knet as knet_config

MODERN = """
classes = ["car", "wheel", "sign"]
total_batch_size = 2
train_pipeline = [{"type": "LoadAnnotations", "poly2mask": True}]
train_dataloader = {"batch_size": total_batch_size, "dataset": {"metainfo": {"classes": classes}}}
model = {
    "type": "KNet",
    "backbone": {"init_cfg": {"type": "Pretrained", "checkpoint": "r50.pth"}},
    "num_things": 3,
    "num_stuff": 0,
    "num_kernels": 100,
}
optim_wrapper = {"type": "OptimWrapper", "optimizer": {"type": "AdamW", "lr": 1.25e-5}}
"""
CLASSIC = """
_base_ = './knet.py'
CLASSES = ('car', 'wheel', 'sign')
model = dict(
    pretrained='torchvision://resnet50',
    rpn_head=dict(num_classes=3, num_thing_classes=3, num_stuff_classes=0),
    roi_head=dict(mask_head=[dict(num_classes=3, num_stuff_classes=0) for _ in range(3)]),
)
data = dict(samples_per_gpu=2, train=dict(classes=CLASSES, pipeline=[dict(type='LoadAnnotations', poly2mask=True)]))
optimizer = dict(type='AdamW', lr=0.0000125, weight_decay=0.05)
"""
CASES = [
    ("KN001", '["car", "wheel", "sign"]', '["wheel", "car", "sign"]'),
    ("KN001", "('car', 'wheel', 'sign')", "('sign', 'wheel', 'car')"),
    ("KN002", "('car', 'wheel', 'sign')", "('car wheel sign')"),
    ("KN003", '"num_things": 3', '"num_things": 80'),
    ("KN003", "rpn_head=dict(num_classes=3", "rpn_head=dict(num_classes=80"),
    ("KN004", '"num_stuff": 0', '"num_stuff": 53'),
    ("KN004", "num_stuff_classes=0),", "num_stuff_classes=53),"),
    ("KN010", '"lr": 1.25e-5', '"lr": 1e-4'),
    ("KN010", "lr=0.0000125", "lr=1e-4"),
    ("KN012", '"poly2mask": True', '"poly2mask": False'),
    ("KN012", "poly2mask=True", "poly2mask=False"),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return folder_set(tmp_path / "set").parents[1]


def codes(root: Path, config: Path | None = None) -> list[str]:
    return [finding.code for finding in validate(root, select=["KN"], config=config)]


@pytest.mark.parametrize("text", [MODERN, CLASSIC], ids=["modern", "classic"])
def test_configuration_that_fits(root: Path, text: str) -> None:
    config = root / "config.py"
    config.write_text(text)
    assert codes(root, config) == []


@pytest.mark.parametrize(("code", "right", "wrong"), CASES)
def test_configuration_that_does_not_fit(root: Path, code: str, right: str, wrong: str) -> None:
    text = MODERN if right in MODERN else CLASSIC
    config = root / "config.py"
    config.write_text(text.replace(right, wrong, 1))

    assert codes(root, config) == [code]

    broken = config.read_text()
    assert validate(root, select=["KN"], config=config, fix="safe", diff=True).diff
    assert config.read_text() == broken
    mended = validate(root, select=["KN"], config=config, fix="safe")
    if code == "KN002":
        # One class where the data have three is the next thing to say.
        assert "('car wheel sign',)" in config.read_text()
        return
    assert not mended.findings
    assert config.read_text().count("\n") == text.count("\n")
    assert not validate(root, select=["KN"], config=config, fix="safe").fixed


def test_nothing_of_the_configuration_is_run(root: Path) -> None:
    config = root / "config.py"
    config.write_text("import sys\nsys.seg2knet_was_here = True\nclasses = [each for each in 'ab']\n" + MODERN)
    assert codes(root, config) == []
    assert not hasattr(sys, "seg2knet_was_here")


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("batch", [1, 2, 4, 8, 16])
def test_rate_of_a_run_from_scratch_is_the_recipe_s(root: Path, batch: int, narrow: bool) -> None:
    rate = learning_rate(scratch=True, narrow=narrow).at(batch)
    text = MODERN.replace('"init_cfg": {"type": "Pretrained", "checkpoint": "r50.pth"}', '"type": "ResNet"')
    text = text.replace("total_batch_size = 2", f"total_batch_size = {batch}").replace("1.25e-5", repr(rate))
    config = root / "config.py"
    config.write_text(text)
    assert codes(root, config) == []
    config.write_text(text.replace(repr(rate), repr(100 * rate)))
    assert codes(root, config) == ["KN010"]


def test_panoptic_counts(tmp_path: Path) -> None:
    root = coco(tmp_path / "set")
    config = root / "config.py"
    right = "task = 'panoptic'\nmodel = dict(num_things=2, num_stuff=2)\n"
    config.write_text(right)
    assert codes(root, config) == []
    config.write_text(right.replace("2,", "80,").replace("=2)", "=53)"))
    assert codes(root, config) == ["KN004", "KN004"]
    validate(root, select=["KN"], config=config, fix="safe")
    assert config.read_text() == right


def test_configuration_that_is_no_python(root: Path) -> None:
    config = root / "config.py"
    config.write_text("model = dict(")
    with pytest.raises(UsageError, match="not a Python"):
        codes(root, config)


@pytest.mark.parametrize("imports", ["['']", "['.', 5]", "5", "''", "['../', '/', 'a./']"])
def test_imports_that_name_no_module(root: Path, imports: str) -> None:
    (root / "config.py").write_text(f"custom_imports = dict(imports={imports})\n")
    assert codes(root, root / "config.py") == []


@pytest.mark.parametrize(("batch", "counts"), [("1" + "0" * 400, "1"), ("2", "-1")])
def test_batches_that_no_machine_takes(root: Path, batch: str, counts: str) -> None:
    text = MODERN.replace("total_batch_size = 2", f"total_batch_size = {batch}")
    text = text.replace('"OptimWrapper",', f'"OptimWrapper", "accumulative_counts": {counts},')
    (root / "config.py").write_text(text)
    assert codes(root, root / "config.py") == []


def test_a_configuration_that_is_not_there(root: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        validate(root, config=root / "none.py")


def test_registry_name_clash(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knet_config, "registered_in_mmdet", lambda: frozenset({"KNet"}))
    module = root / "knet" / "det" / "knet.py"
    module.parent.mkdir(parents=True)
    module.write_text(
        "@DETECTORS.register_module()\nclass KNet(TwoStage):\n    pass\n\n\n"
        "@HEADS.register_module()\nclass Own:\n    pass\n"
    )
    config = root / "config.py"
    config.write_text("custom_imports = dict(imports=['knet.det.knet'], allow_failed_imports=False)\n")

    report = validate(root, select=["KN009"], config=config)
    assert [finding.code for finding in report] == ["KN009"]
    assert report.findings[0].path == module

    assert not validate(root, select=["KN009"], config=config, fix="safe").findings
    assert module.read_text().startswith("@DETECTORS.register_module(force=True)\nclass KNet")


@pytest.mark.parametrize("options", ["", "name='é'", "\n    name='é',\n"])
def test_a_module_that_is_not_utf_8(root: Path, monkeypatch: pytest.MonkeyPatch, options: str) -> None:
    monkeypatch.setattr(knet_config, "registered_in_mmdet", lambda: frozenset({"KNet"}))
    module, config = root / "own.py", root / "config.py"
    coding, rest = b"# coding: latin-1\n", b"\nclass KNet:\n    pass\n"
    module.write_bytes(coding + f"@DETECTORS.register_module({options})".encode("latin-1") + rest)
    config.write_text("custom_imports = dict(imports=['own'])\n")

    assert [finding.found for finding in validate(root, select=["KN009"], config=config)] == ["KNet"]

    assert not validate(root, select=["KN009"], config=config, fix="safe").findings
    (decorator,) = ast.parse(module.read_bytes()).body[0].decorator_list  # type: ignore[attr-defined]
    assert [each.arg for each in decorator.keywords] == ["name", "force"][not options :]


def test_installed_mmdet_is_read_without_being_imported() -> None:
    if (
        "mmdet" not in {each.metadata["Name"] for each in metadata.distributions()}
        and not knet_config.registered_in_mmdet()
    ):
        pytest.skip("no mmdet here")
    assert {"CocoDataset", "MaskRCNN"} <= knet_config.registered_in_mmdet()


def test_version_pairs(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"mmdet": "3.3.0", "mmcv": "2.2.0", "torch": "2.5.1+cu121", "mmengine": "0.10.7"}

    def version(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(metadata, "version", version)
    report = validate(root, select=["KN008"])
    assert [finding.found for finding in report] == ["mmdet 3.3.0 with mmcv 2.2.0"]
    versions.update(mmcv="2.1.0", torch="2.6.0")
    assert [finding.found for finding in validate(root, select=["KN008"])] == ["mmengine 0.10.7 with torch 2.6.0"]
    versions.update(mmengine="0.10.8")
    assert codes(root) == []


def test_small_images_are_dropped(root: Path) -> None:
    path = root / "annotations" / "instances_train2017.json"
    content = data(3, stem="train")
    content["images"][0]["height"] = 24
    write(path, content)
    shutil.rmtree(root / "train2017")
    report = validate(root, select=["KN007"])
    assert [finding.code for finding in report] == ["KN007"]
    assert "1 of 3 images" in report.findings[0].message


def test_empty_images_where_the_configuration_drops_them(root: Path) -> None:
    path = root / "annotations" / "instances_train2017.json"
    content = data(3, stem="train")
    content["images"].append({"id": 9, "file_name": "none.jpg", "width": WIDTH, "height": HEIGHT})
    write(path, content)
    assert codes(root) == []
    config = root / "config.py"
    config.write_text("data = dict(train=dict(filter_cfg=dict(filter_empty_gt=True, min_size=32)))\n")
    report = validate(root, select=["KN"], config=config)
    assert [finding.code for finding in report] == ["KN007"]
    assert "'none.jpg'" in report.findings[0].found


def test_objects_are_counted_by_reason(root: Path) -> None:
    path = root / "annotations" / "instances_train2017.json"
    content = data(3, stem="train")
    content["annotations"][0]["area"] = 0
    content["annotations"][1]["area"] = -1
    content["annotations"][6]["category_id"] = 99
    write(path, content)
    found = {finding.message for finding in validate(root, select=["KN006"])}
    assert found == {
        "2 of 18 objects are skipped in training: an area not above 0",
        "1 of 18 objects are skipped in training: no such category",
    }


def test_more_objects_than_kernels(root: Path) -> None:
    path = root / "annotations" / "instances_train2017.json"
    content = data(3, stem="train")
    square = content["annotations"][SQUARE]
    content["annotations"] += [{**square, "id": 1000 + place} for place in range(100)]
    write(path, content)
    assert codes(root) == ["KN011"]
    config = root / "config.py"
    config.write_text("model = dict(num_kernels=300)\n")
    assert codes(root, config) == []


def test_clean_set_is_ready(root: Path) -> None:
    assert json.loads((root / "annotations" / "instances_train2017.json").read_text("utf-8"))["images"]
    assert codes(root) == []


FLIPPING = '{"type": "RandomFlip", "prob": 0.5}'


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (FLIPPING, ["KN013"]),
        ('dict(type="RandomFlip", flip_ratio=0.5)', ["KN013"]),
        ('{"type": "RandomFlip", "prob": [0.3, 0.2], "direction": ["horizontal", "vertical"]}', ["KN013"]),
        ('{"type": "RandomFlip", "prob": 0.0}', []),
        ('{"type": "RandomFlip", "prob": 0.5, "direction": "vertical"}', []),
        ('{"type": "RandomFlip", "prob": 0.5, "swap_seg_labels": [(0, 1)]}', []),
        (FLIPPING + ', {"type": "SwapSides", "pairs": [("left_door", "right_door")], "classes": classes}', []),
    ],
)
def test_a_flip_of_sided_classes_is_told(root: Path, steps: str, expected: list[str]) -> None:
    config = root / "config.py"
    config.write_text(MODERN.replace('"poly2mask": True}]', '"poly2mask": True}, ' + steps + "]"))
    assert codes(root, config) == [], "no class has a side"
    file = next(root.rglob("instances_train*.json"))
    file.write_text(file.read_text().replace('"car"', '"left_door"').replace('"wheel"', '"right_door"'))
    config.write_text(config.read_text().replace('"car"', '"left_door"').replace('"wheel"', '"right_door"'))
    assert codes(root, config) == expected
