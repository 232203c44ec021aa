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
