"""Hold the model against golden files: weights, inputs and what the authors' release computed from them.

    python benchmarks/golden.py FILE.npz...

Prints, as JSON, the largest deviation of each group in each file and whether it is within its limit; exit status 1
where one is not. Everything about the model (task, depth, widths, kernels, stages, classes) is taken from the file.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seg2knet.trainer.openmmlab import operators as mmcv_ops

mmcv_ops.install()

from mmdet.structures import DetDataSample  # noqa: E402
from mmdet.structures.mask import BitmapMasks  # noqa: E402
from mmengine.structures import InstanceData, PixelData  # noqa: E402

from seg2knet.knet import checkpoints  # noqa: E402
from seg2knet.knet.detector import KNet  # noqa: E402

LIMITS = {
    "fpn": 1e-4,
    "kernels0": 1e-4,
    "features": 1e-4,
    "masks0": 1e-4,
    "seg": 1e-4,
    "cls_logits": 1e-4,
    "mask_logits": 1e-4,
    "losses": 1e-4,
    "total": 1e-4,
    "grad_norm": 1e-3,
    "scores": 1e-4,
    "labels": 0.0,
    "masks": 1e-4,  # the part of all pixels that differ: rounding may turn one that lies at 0.5
    "panoptic": 1e-4,
    "tensors": 0.0,
}


class Golden:
    """One file, read as its format is described."""

    def __init__(self, path: Path) -> None:
        self.arrays = dict(np.load(path))
        self.info: dict[str, Any] = json.loads(bytes(self.arrays["info"]))
        self.image = torch.from_numpy(self.arrays["image"])
        self.weights = {k: torch.from_numpy(v) for k, v in self.group("weights/").items()}

    def group(self, prefix: str) -> dict[str, np.ndarray]:
        return {k[len(prefix) :]: v for k, v in self.arrays.items() if k.startswith(prefix)}

    @property
    def panoptic(self) -> bool:
        return self.info["task"] == "panoptic"

    def model(self) -> KNet:
        """The model of this file, with its weights; BatchNorm in eval mode, nothing frozen."""
        info, weights = self.info, self.weights
        channels = info["channels"]
        levels = [weights[f"neck.lateral_convs.{i}.conv.weight"].shape[1] for i in range(4)]
        hidden = weights["roi_head.mask_head.0.ffn.layers.0.0.weight"].shape[0]
        backbone = {
            "type": "ResNet",
            "depth": info["depth"],
            "base_channels": info["base"],
            "stem_channels": weights["backbone.conv1.weight"].shape[0],
            "num_stages": 4,
            "out_indices": (0, 1, 2, 3),
            "frozen_stages": -1,
            "norm_eval": True,
            "style": "pytorch",
        }
        # The files say where nothing is found and how segments are kept: 0.3 and 0.2 in the release's configs.
        rules = {"max_per_img": info["proposals"], "instance_score_thr": 0.3, "overlap_thr": 0.2}
        model = KNet(
            backbone=backbone,
            neck={"type": "FPN", "in_channels": levels, "out_channels": channels, "num_outs": 4},
            num_things=info["things"],
            num_stuff=info["stuff"] if self.panoptic else 0,
            num_kernels=info["proposals"],
            num_stages=info["stages"],
            channels=channels,
            feedforward_channels=hidden,
            num_heads=info.get("heads", 8),
            test_cfg=rules,
        )
        self.report = checkpoints.load(model, self.weights)
        return model

    def samples(self) -> list[DetDataSample]:
        """Truth and sizes as mmdet hands them to a model."""
        samples = []
        for i in range(len(self.image)):
            sample = DetDataSample()
            sample.set_metainfo(
                {
                    "img_id": i,
                    "img_shape": tuple(self.info["sizes"][i]),
                    "ori_shape": tuple(self.info["ori_shapes"][i]),
                    "batch_input_shape": tuple(self.image.shape[-2:]),
                }
            )
            masks = self.arrays[f"gt/{i}/masks"]
            labels = torch.from_numpy(self.arrays[f"gt/{i}/labels"]).long()
            sample.gt_instances = InstanceData(labels=labels, masks=BitmapMasks(masks, *masks.shape[1:]))
            if f"gt/{i}/semantic" in self.arrays:
                sample.gt_sem_seg = PixelData(sem_seg=torch.from_numpy(self.arrays[f"gt/{i}/semantic"])[None])
            samples.append(sample)
        return samples


def relative(ours: Any, theirs: Any) -> float:
    """The largest deviation, relative to the largest of theirs; infinite where the shapes differ."""
    a = np.asarray(ours.detach().numpy() if isinstance(ours, torch.Tensor) else ours, np.float64)
    b = np.asarray(theirs, np.float64)
    if a.size != b.size:
        return float("inf")
    if not b.size:
        return 0.0
    deviation = np.abs(a.reshape(b.shape) - b).max()
    return float(deviation / max(np.abs(b).max(), 1e-12)) if np.isfinite(deviation) else float("inf")


class Deviations(dict):
    """The largest deviation seen in each group."""

    def add(self, group: str, value: float) -> None:
        self[group] = max(self.get(group, 0.0), float(value))


def compare(path: Path) -> Deviations:
    """All groups of one file."""
    golden = Golden(path)
    model = golden.model()
    found = Deviations()
    found.add("tensors", len(golden.report.missing) + len(golden.report.unexpected) + len(golden.report.replaced))
    compare_logits(golden, model.eval(), found)
    compare_results(golden, model, found)
    compare_training(golden, model.train(), found)
    return found


@torch.no_grad()
def compare_logits(golden: Golden, model: KNet, found: Deviations) -> None:
    expected = golden.group("test/")
    pyramid = model.extract_feat(golden.image)
    predictions = model.network(pyramid)
    for i, level in enumerate(pyramid):
        found.add("fpn", relative(level, expected[f"fpn/{i}"]))
    for name, ours in zip(("features", "kernels0", "masks0", "seg"), predictions.proposals):
        found.add(name, relative(ours, expected[name]))
    for i, stage in enumerate(predictions.stages):
        found.add("cls_logits", relative(stage.class_logits, expected[f"s{i}/cls_logits"]))
        found.add("mask_logits", relative(stage.mask_logits, expected[f"s{i}/mask_logits"]))


@torch.no_grad()
def compare_results(golden: Golden, model: KNet, found: Deviations) -> None:
    expected = golden.group("test/result/")
    for i, sample in enumerate(model.predict(golden.image, golden.samples())):
        if golden.panoptic:
            ours = sample.pred_panoptic_seg.sem_seg[0].numpy()
            theirs = expected[f"{i}/panoptic"]
            found.add("panoptic", float((ours != theirs).mean()) if ours.shape == theirs.shape else float("inf"))
            # A segment's class and rank are in its id: the same ids are the same labels in the same order.
            found.add("labels", float(set(np.unique(ours)) != set(np.unique(theirs))))
            continue
        ours = sample.pred_instances
        shape = tuple(expected[f"{i}/mask_shape"])
        masks = np.unpackbits(expected[f"{i}/masks"], axis=-1)[..., : shape[-1]].astype(bool)
        found.add("labels", float(not np.array_equal(ours.labels.numpy(), expected[f"{i}/labels"])))
        found.add("scores", relative(ours.scores, expected[f"{i}/scores"]))
        same = ours.masks.shape == masks.shape
        found.add("masks", float((ours.masks.numpy() != masks).mean()) if same else float("inf"))


def compare_training(golden: Golden, model: KNet, found: Deviations) -> None:
    losses = model.loss(golden.image, golden.samples())
    expected = golden.group("train/")
    total = sum(value for name, value in losses.items() if "loss" in name)
    assert isinstance(total, torch.Tensor)
    total.backward()
    found.add("total", relative(total, expected.pop("total")))
    for name, value in expected.items():
        found.add("losses", relative(losses[name], value) if name in losses else float("inf"))
    norms = golden.group("grad_norm/")
    grads = {name: p.grad for name, p in model.named_parameters()}
    for name, grad in checkpoints.to_released(grads).items():  # type: ignore[arg-type]
        ours = 0.0 if grad is None else grad.norm().item()
        found.add("grad_norm", abs(ours - float(norms[name])) / max(abs(float(norms[name])), GRADIENT_FLOOR))


# A gradient that is zero but for rounding (a key's bias before a softmax) has a norm of rounding error, in either code.
GRADIENT_FLOOR = 1e-3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    report = {}
    for path in parser.parse_args().files:
        found = compare(path)
        groups = {k: {"deviation": v, "limit": LIMITS[k], "ok": v <= LIMITS[k]} for k, v in found.items()}
        report[path.name] = {"ok": all(g["ok"] for g in groups.values()), "groups": groups}
    print(json.dumps(report, indent=1))
    return 0 if all(file["ok"] for file in report.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
