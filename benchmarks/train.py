"""One training step on the CPU: seg2knet's K-Net beside a plain implementation of the same losses, in one run.

    python benchmarks/train.py                       # R-50, 512 px, batch 2, 8 objects an image
    python benchmarks/train.py --depth 18 --size 256

Each variant runs in processes of its own, in turn (plain, ours, plain, ours, ...), so that time and peak memory
(``ru_maxrss``) are comparable on a machine that others use too. Printed as JSON: seconds a step (median of all steps),
images a second, peak memory, the share of time that loading data takes, the ratios to plain, and which of the variants
`seg2knet train` takes on this machine.

``plain`` is the model as one would write it down from the paper, on the same mmdet backbone and FPN: it moves full-size
masks, enlarges every kernel's mask, applies each stage's convolution to the image, matches again for the kernel head.
Its losses are checked to be the same numbers.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from typing import Any, Callable

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from seg2knet.trainer.openmmlab import operators as mmcv_ops

mmcv_ops.install()

from mmdet.structures import DetDataSample  # noqa: E402
from mmdet.structures.mask import BitmapMasks  # noqa: E402
from mmengine.structures import InstanceData  # noqa: E402

from seg2knet.knet.detector import KNet  # noqa: E402
from seg2knet.trainer.run.session import computes_in_bfloat16  # noqa: E402

CLASSES, KERNELS = 80, 100
VARIANTS = ("plain", "ours", "channels-last", "bf16", "bf16-channels-last", "compile")


def build(depth: int, channels_last: bool = False) -> KNet:
    """The model as `seg2knet train` builds it with a pretrained backbone: stem and first stage frozen, BN in eval."""
    torch.manual_seed(0)
    width = 256 if depth >= 50 else 64
    return KNet(
        backbone={
            "type": "ResNet",
            "depth": depth,
            "num_stages": 4,
            "out_indices": (0, 1, 2, 3),
            "frozen_stages": 1,
            "norm_cfg": {"type": "BN", "requires_grad": True},
            "norm_eval": True,
            "style": "pytorch",
        },
        neck={"type": "FPN", "in_channels": [width << i for i in range(4)], "out_channels": 256, "num_outs": 4},
        num_things=CLASSES,
        num_kernels=KERNELS,
        channels_last=channels_last,
    ).train()


def draw(rng: np.random.Generator, size: int, objects: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An image (H, W, 3) uint8, masks (n, H, W) uint8 of boxes and discs, labels (n,)."""
    image = rng.integers(0, 255, (size, size, 3), dtype=np.uint8)
    ys, xs = np.mgrid[:size, :size]
    masks = np.zeros((objects, size, size), np.uint8)
    for mask in masks:
        cy, cx = rng.uniform(0.2, 0.8, 2) * size
        radius = rng.uniform(0.05, 0.2) * size
        if rng.random() < 0.5:
            mask[(ys - cy) ** 2 + (xs - cx) ** 2 < radius**2] = 1
        else:
            mask[int(cy - radius) : int(cy + radius), int(cx - radius) : int(cx + radius)] = 1
    return image, masks, rng.integers(0, CLASSES, objects)


def batch(rng: np.random.Generator, size: int, count: int, objects: int) -> tuple[Tensor, list[DetDataSample]]:
    """What the data loader and the preprocessor hand to the model."""
    images, samples = [], []
    for _ in range(count):
        image, masks, labels = draw(rng, size, objects)
        images.append(torch.from_numpy(image).permute(2, 0, 1).float())
        sample = DetDataSample(metainfo={"img_shape": (size, size), "ori_shape": (size, size)})
        sample.gt_instances = InstanceData(labels=torch.from_numpy(labels), masks=BitmapMasks(masks, size, size))
        samples.append(sample)
    return (torch.stack(images) - 118) / 58, samples


class Plain:
    """K-Net's training step written down straight, from the same weights."""

    def __init__(self, model: KNet) -> None:
        self.model = model

    def __call__(self, inputs: Tensor, samples: list[DetDataSample]) -> dict[str, Tensor]:
        net = self.model.network
        masks = [torch.from_numpy(s.gt_instances.masks.masks).float().to(inputs.device) for s in samples]
        labels = [s.gt_instances.labels for s in samples]
        truth = [F.interpolate(m[None], scale_factor=0.25, mode="bilinear", align_corners=False)[0] for m in masks]

        place, meaning = net.localization_fpn(self.model.extract_feat(inputs))
        head = net.kernel_head
        place, meaning = head.localization(place), head.semantic(meaning)
        mask_logits, semantic = head.kernels(place), head.semantic_out(meaning)
        features = place + meaning
        inside = (mask_logits.sigmoid() > 0.5).float()
        kernels = head.kernels.weight.flatten(1) + torch.einsum("bnhw,bchw->bnc", inside, features)

        large = self.enlarge(mask_logits)
        pairs = self.match(large, truth, None, labels)
        losses = {f"loss_rpn_{k}": v for k, v in self.mask_losses(large, truth, pairs).items()}
        losses["loss_rpn_seg"] = self.semantic_loss(self.enlarge(semantic), truth, labels, pairs)
        previous, classes = large, None
        for index, stage in enumerate(net.stages):
            x = stage.feature_conv(features)
            inside = (mask_logits.sigmoid() > 0.5).float()
            new = stage.update(torch.einsum("bnhw,bchw->bnc", inside, x), kernels)
            new = stage.attention_norm(new + stage.attention(new, new, new)[0])
            kernels = stage.ffn_norm(new + stage.ffn(new))
            pairs = self.match(previous, truth, classes, labels)
            classes = stage.class_out(stage.class_branch(kernels))
            mask_logits = torch.einsum("bnc,bchw->bnhw", stage.mask_out(stage.mask_branch(kernels)), x)
            previous = self.enlarge(mask_logits)
            losses[f"s{index}_loss_cls"] = self.class_loss(classes, labels, pairs)
            for name, value in self.mask_losses(previous, truth, pairs).items():
                losses[f"s{index}_loss_{name}"] = value
        return losses

    @staticmethod
    def enlarge(x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    @staticmethod
    def focal(logits: Tensor, target: Tensor) -> Tensor:
        p = logits.sigmoid()
        pt = (1 - p) * target + p * (1 - target)
        weight = (0.25 * target + 0.75 * (1 - target)) * pt.pow(2)
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none") * weight

    @staticmethod
    def match(masks: Tensor, truth: list[Tensor], classes: Tensor | None, labels: list[Tensor]) -> list:
        pairs = []
        with torch.no_grad():
            for i, target in enumerate(truth):
                p, t = masks[i].sigmoid().flatten(1), target.flatten(1)
                cost = -(p @ t.t() + (1 - p) @ (1 - t).t()) / p.shape[1]
                squares = (p * p).sum(1)[:, None] + 1e-3 + (t * t).sum(1)[None] + 1e-3
                cost = cost - 4 * 2 * (p @ t.t()) / squares
                if classes is not None:
                    q = classes[i].sigmoid()
                    positive = -(q + 1e-12).log() * 0.25 * (1 - q).pow(2)
                    negative = -(1 - q + 1e-12).log() * 0.75 * q.pow(2)
                    cost = cost + 2 * (positive - negative)[:, labels[i]]
                pairs.append(linear_sum_assignment(cost.cpu().numpy()))
        return pairs

    @staticmethod
    def mask_losses(large: Tensor, truth: list[Tensor], pairs: list) -> dict[str, Tensor]:
        logits = torch.cat([large[i][k] for i, (k, _) in enumerate(pairs)])
        target = torch.cat([truth[i][g] for i, (_, g) in enumerate(pairs)])
        entropy = F.binary_cross_entropy_with_logits(logits, target)
        p, t = logits.sigmoid().flatten(1), target.flatten(1)
        dice = 1 - 2 * (p * t).sum(1) / ((p * p).sum(1) + 1e-3 + (t * t).sum(1) + 1e-3)
        return {"mask": entropy, "dice": 4 * dice.mean()}

    def semantic_loss(self, logits: Tensor, truth: list[Tensor], labels: list[Tensor], pairs: list) -> Tensor:
        target = torch.zeros_like(logits)
        for i, (_, objects) in enumerate(pairs):
            for g in objects:
                where = truth[i][g] > 0
                target[i][:, where] = 0
                target[i][labels[i][g], where] = 1
        return self.focal(logits, target).sum() / target.sum().clamp(min=1)

    def class_loss(self, logits: Tensor, labels: list[Tensor], pairs: list) -> Tensor:
        target = torch.zeros_like(logits)
        for i, (kernels, objects) in enumerate(pairs):
            target[i, kernels, labels[i][objects]] = 1
        return 2 * self.focal(logits, target).sum() / max(target.sum().item(), 1)


def stepper(variant: str, model: KNet) -> Callable[[Tensor, list], dict[str, Tensor]]:
    """How a variant works out its losses."""
    if variant == "plain":
        return Plain(model)
    if variant == "compile":
        model._forward = torch.compile(model._forward)  # type: ignore[method-assign]
    if variant.startswith("bf16"):

        def mixed(x: Tensor, samples: list) -> dict[str, Tensor]:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return model.loss(x, samples)

        return mixed
    return model.loss


def measure(variant: str, args: argparse.Namespace) -> dict[str, Any]:
    """In a process of its own: the times of the steps, the peak of memory, the losses of the first step."""
    if args.threads:
        torch.set_num_threads(args.threads)
    model = build(args.depth, variant.endswith("channels-last"))
    step = stepper(variant, model)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=variant != "plain")  # as `seg2knet train` has it on a CPU
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rng = np.random.default_rng(0)
    times, cpu, loading, first = [], [], [], {}
    for index in range(args.warm_up + args.steps):
        begin = time.perf_counter()
        inputs, samples = batch(rng, args.size, args.batch, args.objects)
        loaded, begun = time.perf_counter(), time.process_time()
        losses = step(inputs, samples)
        total = sum(v for k, v in losses.items() if "loss" in k)
        assert isinstance(total, Tensor)
        total.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()  # here, as mmengine has it: no gradients stand beside the next step's activations
        done = time.perf_counter()
        if not index:
            first = {k: float(v) for k, v in losses.items() if "loss" in k}
        if index >= args.warm_up:
            times.append(done - loaded)
            cpu.append(time.process_time() - begun)
            loading.append(loaded - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "times": times,
        "cpu": cpu,
        "loading": loading,
        "peak": peak / 1024,
        "before": before / 1024,
        "losses": first,
    }


def in_turn(variants: list[str], args: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Every variant `rounds` times, each time in a fresh process."""
    runs: dict[str, list[dict[str, Any]]] = {variant: [] for variant in variants}
    for _ in range(args.rounds):
        for variant in variants:
            command = [sys.executable, "-W", "ignore", __file__, "--one", variant]
            for name in ("depth", "size", "batch", "objects", "steps", "warm_up", "threads"):
                command += [f"--{name.replace('_', '-')}", str(getattr(args, name))]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"{variant}: {done.stderr[-2000:]}")
            runs[variant].append(json.loads(done.stdout.splitlines()[-1]))
    return runs


def summary(runs: dict[str, list[dict[str, Any]]], args: argparse.Namespace) -> dict[str, Any]:
    """Figures and ratios of all variants."""
    out: dict[str, Any] = {"setting": {k: getattr(args, k) for k in ("depth", "size", "batch", "objects")}}
    out["setting"]["threads"] = args.threads or torch.get_num_threads()
    out["what_seg2knet_train_does_here"] = "bf16-channels-last" if computes_in_bfloat16() else "channels-last"
    for variant, results in runs.items():
        seconds = statistics.median(t for r in results for t in r["times"])
        cpu = statistics.median(t for r in results for t in r["cpu"])
        loading = statistics.median(t for r in results for t in r["loading"])
        peak, before = (statistics.median(r[k] for r in results) for k in ("peak", "before"))
        out[variant] = {
            "seconds_per_step": round(seconds, 4),
            "cpu_seconds_per_step": round(cpu, 4),  # steadier than seconds where others use the machine too
            "images_per_second": round(args.batch / seconds, 3),
            "peak_mib": round(peak),
            "peak_mib_above_loaded_model": round(peak - before),
            "share_of_loading": round(loading / (loading + seconds), 4),
        }
        if "plain" in runs and variant != "plain":
            base = out["plain"]
            out[variant]["ratio_to_plain"] = {
                "time": round(seconds / base["seconds_per_step"], 3),
                "cpu_time": round(cpu / base["cpu_seconds_per_step"], 3),
                "memory": round(peak / base["peak_mib"], 3),
                "memory_above_loaded_model": round((peak - before) / base["peak_mib_above_loaded_model"], 3),
            }
            ours, plain = results[0]["losses"], runs["plain"][0]["losses"]
            deviation = max(abs(ours[k] - v) / max(abs(v), 1e-6) for k, v in plain.items())
            out[variant]["largest_relative_deviation_of_losses"] = float(f"{deviation:.2g}")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, default=50, choices=(18, 34, 50, 101))
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--objects", type=int, default=8)
    parser.add_argument("--steps", type=int, default=3, help="measured steps of each process")
    parser.add_argument("--warm-up", type=int, default=2, help="the first steps touch their memory for the first time")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each variant")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch takes")
    parser.add_argument(
        "--variants", default="plain,ours,channels-last,bf16-channels-last", help=f"of {', '.join(VARIANTS)}"
    )
    parser.add_argument("--one", choices=VARIANTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one, args)))
    else:
        print(json.dumps(summary(in_turn(args.variants.split(","), args), args), indent=1))


if __name__ == "__main__":
    main()
