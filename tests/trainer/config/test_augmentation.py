"""What a config changes in images at random: flips that swap left and right, and the levels of --augment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import drawn_sets
import pytest
from test_config import built

from seg2knet.errors import UsageError


@pytest.fixture(scope="module")
def cars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set whose things are a left and a right door."""
    root = drawn_sets.coco(tmp_path_factory.mktemp("cars") / "coco", panoptic=True)
    for file in (root / "annotations").glob("*.json"):
        file.write_text(file.read_text().replace('"disc"', '"left_door"').replace('"box"', '"right_door"'))
    return root


@pytest.fixture(scope="module")
def ade_cars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = drawn_sets.ade(tmp_path_factory.mktemp("cars") / "ade")
    file = root / "objectInfo.txt"
    file.write_text(file.read_text().replace("disc", "left_door").replace("box", "right_door"))
    return root


def steps(config: dict[str, Any]) -> list[str]:
    return [step["type"] for step in config["train_pipeline"]]


@pytest.mark.parametrize("task", ["instance", "panoptic", "semantic"])
def test_sided_classes_are_swapped_and_it_is_said(task: str, cars: Path, ade_cars: Path) -> None:
    data = ade_cars if task == "semantic" else cars
    config = built(data, task=task)
    place = steps(config).index("RandomFlip")
    swap = config["train_pipeline"][place + 1]
    assert swap["type"] == "SwapSides"
    assert [tuple(pair) for pair in swap["pairs"]] == [("left_door", "right_door")]
    assert swap["classes"] == config["classes"]
    assert "seg2knet.trainer.openmmlab.flipping" in config["custom_imports"]["imports"]
    assert any("left_door and right_door" in note for note in config["notes"])
    assert "SwapSides" not in [step["type"] for step in config["test_pipeline"]]


def test_other_ways_to_flip(cars: Path) -> None:
    plain = built(cars, flip="plain")
    assert "RandomFlip" in steps(plain)
    assert "SwapSides" not in steps(plain)
    assert any("not swapped" in note for note in plain["notes"])
    none = built(cars, flip="none")
    assert not {"RandomFlip", "SwapSides"} & set(steps(none))


def test_pairs_can_be_named(tmp_path: Path) -> None:
    data = drawn_sets.coco(tmp_path / "data")
    assert "SwapSides" not in steps(built(data))
    config = built(data, mirror={"disc": "box"})
    assert config["train_pipeline"][steps(config).index("SwapSides")]["pairs"] == [("disc", "box")]
    with pytest.raises(UsageError, match="--mirror"):
        built(data, mirror={"disc": "wheel"})
    with pytest.raises(UsageError, match="contradict"):
        built(data, mirror={"disc": "box"}, flip="none")


TIMM = "timm/test_efficientnet"


def test_levels_of_augmentation(tmp_path: Path) -> None:
    data = drawn_sets.coco(tmp_path / "data")
    assert steps(built(data))[2:] == ["Resize", "RandomFlip", "PackKNetInputs"]
    light = built(data, augment="light", img_size="320x200")
    assert steps(light)[2:] == [
        "RandomResize", "RandomCrop", "FilterAnnotations", "PhotoMetricDistortion", "RandomFlip", "PackKNetInputs",
    ]  # fmt: skip
    assert light["train_pipeline"][3]["crop_size"] == (256, 256), "about as many pixels as 320x200"
    strong = built(data, augment="strong")
    assert strong["train_dataloader"]["dataset"]["type"] == "CopyPasteData"
    with pytest.raises(UsageError, match="pastes objects"):
        built(drawn_sets.coco(tmp_path / "panoptic", panoptic=True), augment="strong")
    semantic = built(drawn_sets.ade(tmp_path / "ade"), augment="none")
    assert "PhotoMetricDistortion" not in steps(semantic)


def test_a_light_model_is_the_default_without_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = drawn_sets.coco(tmp_path / "data")
    monkeypatch.setattr("seg2knet.trainer.config.backbones.importlib.util.find_spec", lambda name: None)
    config = built(data, cpu=True, bfloat16=True)
    assert config["model"]["backbone"]["depth"] == 18
    assert config["model"]["channels"] == config["model"]["neck"]["out_channels"] == 128
    assert config["model"]["num_kernels"] < 40
    assert config["optim_wrapper"]["optimizer"]["lr"] == pytest.approx(4e-4)
    assert config["optim_wrapper"]["paramwise_cfg"]["custom_keys"]["backbone"]["lr_mult"] == 0.5
    assert config["optim_wrapper"]["type"] == "AmpOptimWrapper"
    assert config["total_batch_size"] == 4
    assert config["test_pipeline"][1]["scale"] == (448, 448)
    assert config["model"]["test_cfg"]["mask_score"] is True
    assert "RandomCrop" in steps(config)
    assert any("light model" in note for note in config["notes"])
    large = built(data, cpu=True, backbone="r50")
    assert (large["model"]["channels"], large["test_pipeline"][1]["scale"]) == (256, (1333, 800))
    assert "mask_score" not in large["model"]["test_cfg"], "the authors' models score by class alone"
    assert built(data)["model"]["backbone"]["depth"] == 50, "with a GPU"


def test_any_backbone_of_timm(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    data = drawn_sets.coco(tmp_path / "data")
    config = built(data, backbone=TIMM, weights="w.pth")
    assert config["model"]["backbone"]["name"] == "test_efficientnet"
    assert config["model"]["backbone"]["init_cfg"] == {"type": "Pretrained", "checkpoint": "w.pth"}
    lite = built(data, backbone="timm/tf_efficientnet_lite0")
    assert lite["model"]["data_preprocessor"]["mean"] == [127.5] * 3
    assert config["model"]["channels"] == 256
    assert "seg2knet.trainer.openmmlab.timm_backbone" in config["custom_imports"]["imports"]
    with pytest.raises(UsageError, match="strides 16"):
        built(data, backbone="timm/vit_base_patch16_224")
