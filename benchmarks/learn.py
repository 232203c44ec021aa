"""Does it learn? A small model on 8 drawn images, judged on those images, and twice with one seed.

    python benchmarks/learn.py                                # all three tasks
    python benchmarks/learn.py --tasks instance --steps 600
    python benchmarks/learn.py --amp                          # mixed precision, bfloat16

Prints, as a line of JSON each, mask AP50 (instance), PQ (panoptic) or mIoU (semantic) on the images it learned from,
before and after, the steps it took, and whether the losses of the first steps are bit for bit the same when they are
done again. Exit status 1 where a figure is under its limit: 0.9, 0.8, 0.9.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import sys
import time
from collections.abc import Iterator
from typing import Any, Callable

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from seg2knet.trainer.openmmlab import operators as mmcv_ops

mmcv_ops.install()

from mmdet.structures import DetDataSample  # noqa: E402
from mmdet.structures.mask import BitmapMasks  # noqa: E402
from mmengine.logging import MMLogger  # noqa: E402
from mmengine.structures import InstanceData, PixelData  # noqa: E402
from pycocotools import mask as rle  # noqa: E402
from pycocotools.coco import COCO  # noqa: E402
from pycocotools.cocoeval import COCOeval  # noqa: E402

from seg2knet.knet.detector import KNet  # noqa: E402
from seg2knet.trainer.evaluate.panoptic_quality import PanopticQuality  # noqa: E402

SIZE, IMAGES, THINGS, STUFF, NOTHING = 128, 8, 3, 2, 255
LIMITS = {"instance": ("AP50", 0.9), "panoptic": ("PQ", 0.8), "semantic": ("mIoU", 0.9)}
SAME_STEPS = 20


class Picture:
    """One drawn image: two grounds (stuff), two to four shapes (things) that may hide one another."""

    def __init__(self, rng: np.random.Generator) -> None:
        horizon = int(rng.integers(SIZE // 3, 2 * SIZE // 3))
        image = rng.normal(0, 12, (SIZE, SIZE, 3)) + np.array([150, 110, 70])
        image[horizon:] += np.array([-90, 10, 30])
        self.semantic = np.full((SIZE, SIZE), THINGS, np.uint8)
        self.semantic[horizon:] = THINGS + 1
        self.labels: list[int] = []
        masks: list[np.ndarray] = []
        for _ in range(int(rng.integers(2, 5))):
            label = int(rng.integers(THINGS))
            mask = self._shape(rng, label)
            image[mask > 0] = np.eye(3)[label] * 200 + rng.normal(30, 10, 3)
            for other in masks:
                other[mask > 0] = 0
            self.labels.append(label)
            masks.append(mask)
        seen = [i for i, mask in enumerate(masks) if mask.sum() > 100]
        self.labels = [self.labels[i] for i in seen]
        self.masks = np.stack([masks[i] for i in seen])
        for label, mask in zip(self.labels, self.masks):
            self.semantic[mask > 0] = label
        self.image = torch.from_numpy((image.clip(0, 255) - 118) / 58).float().permute(2, 0, 1)

    @staticmethod
    def _shape(rng: np.random.Generator, label: int) -> np.ndarray:
        mask = np.zeros((SIZE, SIZE), np.uint8)
        x, y = (int(v) for v in rng.integers(20, SIZE - 20, 2))
        r = int(rng.integers(13, 26))
        if label == 0:
            cv2.circle(mask, (x, y), r, 1, -1)
        elif label == 1:
            cv2.rectangle(mask, (x - r, y - r), (x + r, y + r), 1, -1)
        else:
            cv2.fillPoly(mask, [np.array([[x, y - r], [x - r, y + r], [x + r, y + r]])], 1)
        return mask

    def sample(self, panoptic: bool) -> DetDataSample:
        out = DetDataSample(metainfo={"img_shape": (SIZE, SIZE), "ori_shape": (SIZE, SIZE)})
        masks = BitmapMasks(self.masks, SIZE, SIZE)
        out.gt_instances = InstanceData(labels=torch.tensor(self.labels), masks=masks)
        if panoptic:
            out.gt_sem_seg = PixelData(sem_seg=torch.from_numpy(self.semantic)[None])
        return out


def pictures() -> list[Picture]:
    rng = np.random.default_rng(0)
    return [Picture(rng) for _ in range(IMAGES)]


def detector(task: str) -> KNet:
    """A K-Net of 64 channels on a ResNet-18 of half width, from nothing: BatchNorm learns, nothing is frozen."""
    return KNet(
        backbone={
            "type": "ResNet",
            "depth": 18,
            "base_channels": 32,
            "stem_channels": 32,
            "out_indices": (0, 1, 2, 3),
            "norm_cfg": {"type": "BN", "requires_grad": True},
            "norm_eval": False,
        },
        neck={"type": "FPN", "in_channels": [32, 64, 128, 256], "out_channels": 64, "num_outs": 4},
        num_things=THINGS,
        num_stuff=STUFF if task == "panoptic" else 0,
        num_kernels=12,
        channels=64,
        feedforward_channels=256,
    )


def segmentor() -> nn.Module:
    """mmsegmentation's K-Net (FCN head, ResNet-18), as `seg2knet train` builds it."""
    from mmengine.config import ConfigDict
    from mmengine.registry import init_default_scope
    from mmseg.registry import MODELS

    from seg2knet.trainer.openmmlab.semantic import semantic_model

    config = ConfigDict(semantic_model(num_classes=THINGS + STUFF, head="fcn", backbone="r18", crop_size=(SIZE, SIZE)))
    config["data_preprocessor"] = None
    init_default_scope("mmseg")
    return MODELS.build(config)


def semantic_samples(drawn: list[Picture]) -> list[Any]:
    from mmseg.structures import SegDataSample

    samples = []
    for picture in drawn:
        shape = {"img_shape": (SIZE, SIZE), "ori_shape": (SIZE, SIZE), "pad_shape": (SIZE, SIZE)}
        sample = SegDataSample(metainfo=shape)
        sample.gt_sem_seg = PixelData(data=torch.from_numpy(picture.semantic)[None].long())
        samples.append(sample)
    return samples


def steps(model: nn.Module, inputs: Tensor, samples: list, count: int, lr: float, amp: bool) -> Iterator[float]:
    """Train on batches of 4 in a fixed order, yielding the total loss of each step."""
    groups = [
        {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": 0.05},
        {"params": [p for p in model.parameters() if p.dim() <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=lr)
    order = torch.Generator().manual_seed(0)
    for index in range(count):
        rate = min(1, (index + 1) / 50) * (1 if index < 0.7 * count else 0.3 if index < 0.9 * count else 0.05)
        for group in optimizer.param_groups:
            group["lr"] = lr * rate
        chosen = torch.randperm(len(samples), generator=order)[:4].tolist()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=amp):
            losses = model.loss(inputs[chosen], [samples[i] for i in chosen])  # type: ignore[operator]
        total = torch.stack([value for name, value in losses.items() if "loss" in name]).sum()
        optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        yield total.item()


@torch.no_grad()
def average_precision(model: KNet, inputs: Tensor, drawn: list[Picture]) -> float:
    """Mask AP at IoU 0.5 by pycocotools."""
    truth, found = [], []
    for i, (picture, result) in enumerate(zip(drawn, model.predict(inputs, [p.sample(False) for p in drawn])), 1):
        for label, mask in zip(picture.labels, picture.masks):
            code = rle.encode(np.asfortranarray(mask))
            truth.append({"id": len(truth) + 1, "image_id": i, "category_id": label + 1, "iscrowd": 0})
            truth[-1] |= {"segmentation": code, "area": int(mask.sum()), "bbox": rle.toBbox(code).tolist()}
        best = result.pred_instances
        for label, score, mask in zip(best.labels.tolist(), best.scores.tolist(), best.masks.numpy()):
            code = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
            found.append({"image_id": i, "category_id": label + 1, "score": score, "segmentation": code})
    with contextlib.redirect_stdout(io.StringIO()):
        gold = COCO()
        gold.dataset = {"images": [{"id": i + 1, "width": SIZE, "height": SIZE} for i in range(len(drawn))]}
        gold.dataset |= {"annotations": truth, "categories": [{"id": i + 1, "name": str(i)} for i in range(THINGS)]}
        gold.createIndex()
        evaluation = COCOeval(gold, gold.loadRes(found), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[1])


@torch.no_grad()
def panoptic_quality(model: KNet, inputs: Tensor, drawn: list[Picture]) -> float:
    """PQ over things and stuff."""
    classes = THINGS + STUFF
    quality = PanopticQuality([{"id": c + 1, "name": str(c), "isthing": int(c < THINGS)} for c in range(classes)])
    for picture, result in zip(drawn, model.predict(inputs, [p.sample(True) for p in drawn])):
        truth = np.where(picture.semantic < THINGS, 0, picture.semantic.astype(np.int64) + 1)
        segments = [{"id": int(s), "category_id": int(s)} for s in np.unique(truth[truth > 0])]
        for number, (label, mask) in enumerate(zip(picture.labels, picture.masks), 100):
            truth[mask > 0] = number
            segments.append({"id": number, "category_id": label + 1})
        ids = result.pred_panoptic_seg.sem_seg[0].numpy().astype(np.int64)
        predicted = np.where(ids == classes, 0, ids + 1)
        found = [{"id": int(s), "category_id": (int(s) - 1) % 1000 + 1} for s in np.unique(predicted[predicted > 0])]
        quality.add(truth, [{**s, "iscrowd": 0} for s in segments], predicted, found)
    return float(quality.summary()["All"]["pq"])


@torch.no_grad()
def mean_iou(model: nn.Module, inputs: Tensor, drawn: list[Picture]) -> float:
    """Mean IoU over the classes."""
    results = model.predict(inputs, semantic_samples(drawn))  # type: ignore[operator]
    found = np.stack([r.pred_sem_seg.data[0].numpy() for r in results])
    truth = np.stack([p.semantic for p in drawn])
    both = [((found == c) & (truth == c)).sum() / ((found == c) | (truth == c)).sum() for c in range(THINGS + STUFF)]
    return float(np.mean(both))


def learn(task: str, count: int, amp: bool) -> dict[str, Any]:
    """One task: the first steps twice, then the whole run, then the judgement."""
    drawn = pictures()
    inputs = torch.stack([p.image for p in drawn])
    samples = semantic_samples(drawn) if task == "semantic" else [p.sample(task == "panoptic") for p in drawn]

    def fresh() -> nn.Module:
        torch.manual_seed(0)
        model = segmentor() if task == "semantic" else detector(task)
        model.init_weights()  # type: ignore[operator]
        return model.train()

    lr = 4e-4 if task == "semantic" else 8e-4
    judge: dict[str, Callable] = {
        "instance": average_precision,
        "panoptic": panoptic_quality,
        "semantic": mean_iou,
    }
    untrained = judge[task](fresh().eval(), inputs, drawn)
    # The schedule depends on the number of steps, so the run that is compared begins as the whole one does.
    begun = steps(fresh(), inputs, samples, count, lr, amp)
    first = [next(begun) for _ in range(min(SAME_STEPS, count))]
    model, begin = fresh(), time.perf_counter()
    losses = list(steps(model, inputs, samples, count, lr, amp))
    seconds = time.perf_counter() - begin
    name, limit = LIMITS[task]
    figure = judge[task](model.eval(), inputs, drawn)
    same = first == losses[: len(first)]
    return {
        name: round(figure, 4),
        "untrained": round(untrained, 4),
        "limit": limit,
        "steps": count,
        "seconds": round(seconds, 1),
        "first_loss": round(losses[0], 4),
        "last_loss": round(losses[-1], 4),
        "same_losses_bit_for_bit": same,
        "ok": figure >= limit and same,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default="instance,panoptic,semantic")
    parser.add_argument("--steps", type=int, default=600, help="at most 1000")
    parser.add_argument("--amp", action="store_true", help="as seg2knet train --amp on a CPU")
    args = parser.parse_args()
    MMLogger.get_current_instance().setLevel(logging.ERROR)
    ok = True
    for task in args.tasks.split(","):
        result = learn(task, min(args.steps, 1000), args.amp)
        print(json.dumps({"task": task, **result}), flush=True)
        ok &= result["ok"]
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
