"""Checkpoints in the released names on our stack, and ours in those names: the same weights, the same predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import drawn_sets
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("mmengine")


from seg2knet.dataset.folder import read_folder  # noqa: E402
from seg2knet.errors import DataError, UsageError  # noqa: E402
from seg2knet.trainer.export.export import export_released  # noqa: E402
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
    count = export_released(ours, tmp_path / "out" / "released.pth")
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
        export_released(tmp_path / "a.pth", tmp_path / "b.pth")


def fitted(released: Released, classes: int) -> dict[str, torch.Tensor]:
    """The weights with class layers for as many classes."""
    layers = (".fc_cls.", ".conv_seg.")
    return {
        name: tensor[:classes] if any(layer in name for layer in layers) else tensor
        for name, tensor in released.weights.items()
    }


def test_a_released_checkpoint_is_evaluated(released: Released, tmp_path: Path) -> None:
    """Of the model zoo, without a record of ours: model from the shapes, classes as given."""
    from seg2knet.trainer.evaluate.evaluation import evaluate

    coco_root = drawn_sets.coco(tmp_path / "coco", train=2, val=1, panoptic=released.info["task"] == "panoptic")
    classes = read_folder(coco_root, released.info["task"]).classes
    torch.save({"state_dict": fitted(released, len(classes))}, tmp_path / "epoch_12.pth")
    found = evaluate(tmp_path / "epoch_12.pth", coco_root, "val", device="cpu", workers=0, classes=classes)
    assert found.task == released.info["task"]
    assert ("PQ" if found.task == "panoptic" else "AP") in found.figures
    assert [row["name"] for row in found.classes] == list(classes.names)
    with pytest.raises(UsageError, match="does not name its classes") as caught:
        evaluate(tmp_path / "epoch_12.pth", coco_root, "val", device="cpu", workers=0)
    assert "--classes FILE" in str(caught.value)


@pytest.mark.parametrize(("head", "width"), [("fcn", 256), ("upernet", 512)])
def test_a_semantic_checkpoint_of_mmseg_is_evaluated(head: str, width: int, tmp_path: Path) -> None:
    """The kernels of mmseg's own weights on UPerNet have 512 channels, the authors' 256."""
    from mmengine.registry import init_default_scope

    from seg2knet.trainer.evaluate.evaluation import evaluate
    from seg2knet.trainer.openmmlab import packages, semantic

    packages.load(semantic=True)
    from mmseg.registry import MODELS

    data = drawn_sets.ade(tmp_path / "ade", train=2, val=1)
    init_default_scope("mmseg")
    model = MODELS.build(semantic.semantic_model(num_classes=4, head=head, width=width))
    torch.save({"state_dict": model.state_dict()}, tmp_path / "iter_80000.pth")
    classes = read_folder(data).classes
    found = evaluate(tmp_path / "iter_80000.pth", data, "val", device="cpu", workers=0, classes=classes)
    assert found.task == "semantic"
    assert "mIoU" in found.figures


def test_a_semantic_checkpoint_without_a_record_is_told_or_refused(tmp_path: Path) -> None:
    """mmseg's own training leaves a config of ours or the authors' names; other segmentors are no K-Net."""
    from seg2knet.trainer.predict.inference import Segmenter

    state = {
        "decode_head.kernel_update_head.0.fc_mask.weight": torch.zeros(1),
        "decode_head.kernel_generate_head.conv_seg.weight": torch.zeros(150, 8, 1, 1),
        "backbone.layer1.0.conv1.weight": torch.zeros(64, 64, 1, 1),
        "backbone.layer1.0.conv3.weight": torch.zeros(256, 64, 1, 1),
        "backbone.layer3.0.conv3.weight": torch.zeros(1),
        **{f"backbone.layer3.{block}.conv1.weight": torch.zeros(1) for block in range(6)},
    }
    found = released_checkpoints.describe({"state_dict": state}, tmp_path / "iter_80000.pth")
    assert (found.task, found.backbone_name, len(found.classes)) == ("semantic", "r50", 150)
    state["decode_head.kernel_generate_head.conv_seg.weight"] = torch.zeros(7, 8, 1, 1)
    torch.save({"state_dict": state}, tmp_path / "seven.pth")
    with pytest.raises(UsageError, match="does not name its classes"):
        Segmenter(tmp_path / "seven.pth", "cpu")
    torch.save({"meta": {"cfg": "model = dict(type='EncoderDecoder')"}, "state_dict": state}, tmp_path / "mmseg.pth")
    with pytest.raises(DataError, match="does not say which model and classes"):
        Segmenter(tmp_path / "mmseg.pth", "cpu")
    torch.save({"state_dict": {"decode_head.conv_seg.weight": torch.zeros(7, 8, 1, 1)}}, tmp_path / "fcn.pth")
    with pytest.raises(DataError, match="does not say which model and classes"):
        Segmenter(tmp_path / "fcn.pth", "cpu")


@pytest.mark.parametrize(
    ("name", "backbone", "task"),
    [
        ("knet_s3_r50_fpn_1x_coco", "r50", "instance"),
        ("knet_s3_r50_fpn_1x_coco-panoptic", "r50", "panoptic"),
    ],
)
def test_the_released_models_are_told_by_their_shapes(shared: Path, name: str, backbone: str, task: str) -> None:
    """COCO's classes by their number, from every tensor's shape in the released model."""
    shapes = json.loads((shared / "golden" / f"{name}.keys.json").read_text())
    state = {key: torch.empty(shape, device="meta") for key, shape in dict(shapes).items()}
    found = released_checkpoints.describe({"state_dict": state}, Path("epoch_12.pth"))
    assert (found.task, found.backbone_name) == (task, backbone)
    assert len(found.classes) == {"instance": 80, "panoptic": 133}[task]
    assert len(found.classes.things) == 80
    assert found.classes.names[0] == "person"


def test_a_checkpoint_by_the_name_of_a_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from seg2knet.download import weights
    from seg2knet.trainer.predict.inference import local_file

    asked: list[str] = []
    monkeypatch.setattr(weights, "published", lambda source, _hint: asked.append(source.file) or tmp_path / "a.pth")
    assert local_file("knet-s3-fcn-r50-ade") == tmp_path / "a.pth"
    assert asked[0].startswith("knet_s3_fcn_r50-d8_8x2_512x512_adamw_80k_ade20k_")
    assert local_file("work_dirs/best.pth") == Path("work_dirs/best.pth")
    with pytest.raises(UsageError, match="no model is called"):
        local_file("knet-s4")
