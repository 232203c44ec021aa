"""Checkpoints in the released names on our stack, and ours in those names: the same weights, the same predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("mmengine")


from seg2knet.errors import DataError  # noqa: E402
from seg2knet.trainer.export import released as released_export  # noqa: E402
from seg2knet.trainer.predict import released as released_checkpoints  # noqa: E402


class Released:
    """What the release computed on a small problem, and its weights as a checkpoint of the classic stack."""

    def __init__(self, file: Path) -> None:
        self.arrays = dict(np.load(file))
        self.info: dict[str, Any] = json.loads(bytes(self.arrays["info"]))
        names = [name for name in self.arrays if name.startswith("weights/")]
        self.weights = {name[len("weights/") :]: torch.from_numpy(self.arrays[name]) for name in names}

    def write(self, path: Path) -> Path:
        panoptic = self.info["task"] == "panoptic"
        things, stuff = self.info["things"], self.info["stuff"] if panoptic else 0
        levels = [self.weights[f"neck.lateral_convs.{index}.conv.weight"].shape[1] for index in range(4)]
        backbone = {
            "type": "ResNet", "depth": self.info["depth"], "base_channels": self.info["base"],
            "stem_channels": self.weights["backbone.conv1.weight"].shape[0], "num_stages": 4,
            "out_indices": (0, 1, 2, 3), "frozen_stages": -1, "norm_eval": True, "style": "pytorch",
            "init_cfg": {"type": "Pretrained", "checkpoint": "torchvision://resnet18"},
        }  # fmt: skip
        flip = {
            "type": "MultiScaleFlipAug",
            "img_scale": (128, 96),
            "transforms": [
                {"type": "Normalize", "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0], "to_rgb": False},
                {"type": "Pad", "size_divisor": 32},
            ],
        }
        model = {
            "type": "KNet",
            "backbone": backbone,
            "neck": {"type": "FPN", "in_channels": levels, "out_channels": self.info["channels"], "num_outs": 4},
            "roi_head": {"mask_head": [{"num_heads": 8}] * self.info["stages"]},
            "test_cfg": {"rcnn": {"merge": {"overlap_thr": 0.2, "instance_score_thr": 0.3}, "max_per_img": 100}},
        }
        record = {
            "stack": "classic", "task": self.info["task"], "classes": [f"it's {n}" for n in range(things + stuff)],
            "things": things, "knet": "/K-Net", "data": "/data", "model": model,
            "test_pipeline": [{"type": "LoadImageFromFile"}, flip],
        }  # fmt: skip
        best = {"best_score": np.float64(0.5), "best_ckpt": "a.pth"}  # as mmcv 1.3 leaves it
        meta = {
            "seg2knet": record,
            "config": "import os",
            "CLASSES": tuple(record["classes"]),
            "epoch": 1,
            "hook_msgs": best,
        }
        torch.save({"meta": meta, "state_dict": self.weights}, path)
        return path


@pytest.fixture(scope="module", params=["instance_0", "panoptic_0"])
def released(request: pytest.FixtureRequest, shared: Path) -> Released:
    return Released(shared / "golden" / f"{request.param}.npz")


def test_our_model_predicts_what_the_release_does(released: Released, tmp_path: Path) -> None:
    """From the checkpoint file alone, within 1e-4 of the largest logit."""
    from seg2knet.trainer.predict.inference import Segmenter

    segmenter = Segmenter(released.write(tmp_path / "classic.pth"), "cpu")
    assert segmenter.task == released.info["task"]
    assert segmenter.classes.names[0] == "it's 0"
    model = segmenter.model
    with torch.no_grad():
        predictions = model.network(model.extract_feat(torch.from_numpy(released.arrays["image"])))
    last = predictions.stages[-1]
    for ours, name in ((last.class_logits, "cls_logits"), (last.mask_logits, "mask_logits")):
        theirs = released.arrays[f"test/s{released.info['stages'] - 1}/{name}"]
        assert np.abs(ours.numpy() - theirs).max() <= 1e-4 * np.abs(theirs).max()


def test_there_and_back(released: Released, tmp_path: Path) -> None:
    """Our checkpoint of these weights, exported, has the released tensors to the bit."""
    from seg2knet.knet import checkpoints

    ours = tmp_path / "ours.pth"
    meta = {"dataset_meta": {"classes": ("a", "b")}}
    torch.save({"meta": meta, "state_dict": checkpoints.from_released(released.weights)}, ours)
    count = released_export.export(ours, tmp_path / "out" / "released.pth")
    written = torch.load(tmp_path / "out" / "released.pth", weights_only=True)
    assert count == len(released.weights)
    assert written["meta"]["CLASSES"] == ("a", "b")
    assert set(written["state_dict"]) == set(released.weights)
    for name, tensor in released.weights.items():
        assert torch.equal(written["state_dict"][name], tensor), name


def test_another_model_stays_on_its_stack(tmp_path: Path) -> None:
    content = {
        "meta": {"seg2knet": {"stack": "classic", "task": "instance"}, "config": ""},
        "state_dict": {"mask_head.conv.weight": torch.zeros(1)},
    }
    with pytest.raises(DataError, match="only K-Net's own"):
        released_checkpoints.completed(content, tmp_path)
    torch.save({"state_dict": content["state_dict"]}, tmp_path / "a.pth")
    with pytest.raises(DataError, match="has released names"):
        released_export.export(tmp_path / "a.pth", tmp_path / "b.pth")
