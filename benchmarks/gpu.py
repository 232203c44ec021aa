"""Training on GPUs in one command, in less than ten minutes: speed, memory, synchronisations, and whether it is right.

    python benchmarks/gpu.py                            # ResNet-50, 1344 x 800, 2 images per GPU
    python benchmarks/gpu.py --device cpu --small       # runs anywhere, in a few minutes
    python benchmarks/gpu.py --tasks panoptic --out gpu.json

Instance and panoptic K-Net take some training steps each in float32, TF32, bfloat16 and float16, compiled, with each
switch of the config's ``gpu`` turned, and on all GPUs; on a CPU in two processes. Every case runs in processes of its
own, by the same detector, preprocessor, matching and optimiser wrapper as `seg2knet train`, on images drawn by loader
processes. Each case first computes the losses of one batch, which are compared with those of the CPU in float32.

Printed: the table for docs/speed.md, then everything as JSON. ``syncs`` counts how often a step makes the host wait for
the GPU (on a CPU: how often it reads a tensor's value); ``matching`` and ``loading`` are shares of a step's time, the
first measured in steps of their own that wait before and after it. A case that cannot be measured here says why. Exit
status 1 where one fails or its losses are off.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, Dataset

from seg2knet.trainer.openmmlab import packages

packages.load()

from mmdet.structures import DetDataSample  # noqa: E402
from mmdet.structures.mask import BitmapMasks  # noqa: E402
from mmengine.dataset import pseudo_collate  # noqa: E402
from mmengine.model import MMDistributedDataParallel  # noqa: E402
from mmengine.registry import OPTIM_WRAPPERS, init_default_scope  # noqa: E402
from mmengine.structures import InstanceData, PixelData  # noqa: E402

from seg2knet.knet import criterion  # noqa: E402
from seg2knet.knet.detector import KNet, _reduced_truth  # noqa: E402
from seg2knet.trainer.config.backbones import Backbone  # noqa: E402
from seg2knet.trainer.openmmlab import optimizer as _wrappers  # noqa: E402,F401 - registers the optimiser wrappers

WRAPPERS = {"float32": "Float32Wrapper", "tf32": "Float32Wrapper", "bf16": "Bfloat16Wrapper", "fp16": "Float16Wrapper"}
LIMITS = {"float32": 1e-3, "tf32": 0.03, "bf16": 0.15, "fp16": 0.15}
"""Deviation of the total loss from the CPU's in float32, relative; another matching of a few objects is within it."""
STUFF = {"instance": 0, "panoptic": 53}
SECONDS = 540
"""No case begins later."""


@dataclass(frozen=True)
class Case:
    """What is measured in a process of its own; the switches are those of a config's ``gpu``, `channels_last` of its
    model."""

    task: str
    precision: str
    compile: bool = False
    channels_last: bool = False
    fused: bool = True
    pin_memory: bool = True
    gradient_as_bucket_view: bool = True
    gpus: int = 1

    @property
    def title(self) -> str:
        """The precision, and what differs from the defaults."""
        changed = [
            field.name.replace("_", " ") if getattr(self, field.name) else f"no {field.name.replace('_', ' ')}"
            for field in dataclasses.fields(self)[2:-1]
            if getattr(self, field.name) != field.default
        ]
        return ", ".join([self.precision, *changed, *([f"{self.gpus} processes"] if self.gpus > 1 else [])])


def cases(args: argparse.Namespace) -> list[Case]:
    """What is measured, the most wanted first."""
    gpus = torch.cuda.device_count() if args.device == "cuda" else 2
    half = "bf16" if args.device == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    precisions = ["float32", half, *([] if args.device == "cpu" else ["tf32", "fp16"])]
    found = [Case(task, precision) for precision in dict.fromkeys(precisions) for task in args.tasks]
    if gpus > 1:
        found += [Case(task, half, gpus=gpus) for task in args.tasks]
    first = args.tasks[0]
    found += [Case(first, half, channels_last=True), Case(first, half, fused=False)]
    if args.device == "cuda":
        found.append(Case(first, half, pin_memory=False))
    if gpus > 1:
        found.append(Case(first, half, gradient_as_bucket_view=False, gpus=gpus))
    return found if args.no_compile else found + [Case(task, half, compile=True) for task in args.tasks]


# -- model and data ----------------------------------------------------------------------------------------------------


def build(case: Case, small: bool) -> KNet:
    """The model as `seg2knet train` builds it with a pretrained backbone: stem and first stage frozen, BN in eval."""
    init_default_scope("mmdet")
    torch.manual_seed(0)
    depth, channels, width = (18, 64, 64) if small else (50, 256, 256)
    return KNet(
        data_preprocessor={
            "type": "KNetPreprocessor", "mean": Backbone.mean, "std": Backbone.std, "bgr_to_rgb": True,
            "pad_size_divisor": 32, "pad_mask": False,
        },
        backbone={
            "type": "ResNet", "depth": depth, "out_indices": (0, 1, 2, 3), "frozen_stages": 1, "norm_eval": True,
            "norm_cfg": {"type": "BN", "requires_grad": True}, "style": "pytorch",
        },
        neck={"type": "FPN", "in_channels": [width << i for i in range(4)], "out_channels": channels, "num_outs": 4},
        num_things=80, num_stuff=STUFF[case.task], channels=channels, feedforward_channels=256 if small else 2048,
        channels_last=case.channels_last,
    ).train()  # fmt: skip


class Drawn(Dataset):
    """Images of discs on two grounds, with their truth as ``PackKNetInputs`` packs it; drawn by the loader.

    Args:
        width, height: of the images.
        objects: of each image.
        stuff: stuff classes; 0 for instance segmentation.
    """

    def __init__(self, width: int, height: int, objects: int, stuff: int) -> None:
        self.width, self.height, self.objects, self.stuff = width, height, objects, stuff
        self.ys, self.xs = np.mgrid[:height, :width].astype(np.float32)

    def __len__(self) -> int:
        return 1 << 20

    def __getitem__(self, index: int) -> dict[str, Any]:
        rng = np.random.default_rng(index)
        centers = rng.uniform(0, 1, (self.objects, 2)) * (self.width, self.height)
        radii = rng.uniform(0.03, 0.2, self.objects) * self.height
        masks = np.stack([
            ((self.xs - x) ** 2 + (self.ys - y) ** 2 < r * r).astype(np.uint8) for (x, y), r in zip(centers, radii)
        ])  # fmt: skip
        labels = rng.integers(0, 80, self.objects)
        image = rng.integers(0, 255, (self.height, self.width, 3), dtype=np.uint8)
        size = (self.height, self.width)
        sample = DetDataSample(metainfo={"img_shape": size, "ori_shape": size})
        sample.gt_instances = InstanceData(labels=torch.from_numpy(labels), masks=BitmapMasks(masks, *size))
        if self.stuff:
            semantic = np.where(self.ys < self.height / 2, 80, 80 + index % self.stuff).astype(np.uint8)
            sample.gt_sem_seg = PixelData(sem_seg=torch.from_numpy(semantic)[None])
        sample.knet_truth = _reduced_truth(sample)
        del sample.gt_instances.masks
        return {"inputs": torch.from_numpy(image.transpose(2, 0, 1).copy()), "data_samples": sample}


# -- one case, in a process of its own ---------------------------------------------------------------------------------


class ValuesRead(TorchDispatchMode):
    """Counts how often the host reads a tensor's value."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


class Run:
    """A case's model, data and optimiser on this process's device."""

    def __init__(self, case: Case, args: argparse.Namespace, rank: int = 0) -> None:
        self.case, self.args = case, args
        self.device = torch.device(args.device, rank if args.device == "cuda" else None)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = case.precision == "tf32"
        self.model = build(case, args.small).to(self.device)
        if case.compile:
            self.model._forward = torch.compile(self.model._forward)  # type: ignore[method-assign]
        self.wrapped: nn.Module = self.model
        if case.gpus > 1:
            self.wrapped = MMDistributedDataParallel(
                self.model, device_ids=[rank] if args.device == "cuda" else None, broadcast_buffers=False,
                gradient_as_bucket_view=case.gradient_as_bucket_view,
            )  # fmt: skip
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-6, weight_decay=0.05, fused=case.fused)
        wrapper: dict[str, Any] = {"type": WRAPPERS[case.precision], "optimizer": optimizer}
        if case.precision == "bf16":
            wrapper["device_type"] = args.device
        if case.precision == "fp16":
            wrapper["dtype"] = "float16"
        self.wrapper = OPTIM_WRAPPERS.build({**wrapper, "clip_grad": {"max_norm": 1.0}})
        self.wrapper.initialize_count_status(self.model, 0, 1 << 20)
        width, height = args.size
        self.data = Drawn(width, height, args.objects, STUFF[case.task])
        loader = DataLoader(
            self.data, batch_size=args.batch, num_workers=args.workers, collate_fn=pseudo_collate,
            pin_memory=case.pin_memory and args.device == "cuda",
            sampler=range(rank << 10, len(self.data)),
        )  # fmt: skip
        self.batches = iter(loader)

    def wait(self) -> float:
        """The time now, when the device has finished its work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def step(self, data: Any) -> None:
        self.wrapped.train_step(data, self.wrapper)  # type: ignore[operator]

    def losses(self) -> dict[str, float]:
        """Of the first image, by the initial weights."""
        with torch.no_grad(), self.wrapper.optim_context(self.model):
            data = self.model.data_preprocessor(pseudo_collate([self.data[0]]), training=True)
            found = self.model(**data, mode="loss")
        return {name: value.item() for name, value in found.items() if "loss" in name}

    def speed(self) -> tuple[float, float]:
        """Seconds per step, and the share of them in which the host waits for the loader."""
        loading = 0.0
        begin = self.wait()
        for _ in range(self.args.steps):
            before = time.perf_counter()
            data = next(self.batches)
            loading += time.perf_counter() - before
            self.step(data)
        seconds = self.wait() - begin
        return seconds / self.args.steps, loading / seconds

    def matching_share(self) -> float:
        """Seconds in matching, by seconds of the steps that wait for it."""
        spent, assign = 0.0, criterion.assign

        def timed(costs: list[Tensor]) -> Any:
            nonlocal spent
            before = self.wait()
            pairs = assign(costs)
            spent += self.wait() - before
            return pairs

        criterion.assign = timed
        try:
            batches = [next(self.batches) for _ in range(3)]
            begin = self.wait()
            for data in batches:
                self.step(data)
            return spent / (self.wait() - begin)
        finally:
            criterion.assign = assign

    def syncs(self) -> int:
        """How often the host waits for the device in a step."""
        data = next(self.batches)
        if self.device.type != "cuda":
            with ValuesRead() as values:
                self.step(data)
            return values.count
        torch.cuda.set_sync_debug_mode("warn")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.step(data)
        torch.cuda.set_sync_debug_mode("default")
        return sum("synchronizing" in str(warning.message) for warning in caught)

    def memory(self) -> int:
        """MiB at most: on the GPU, or of the process."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) >> 20
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def measure(rank: int, case: Case, args: argparse.Namespace, port: int, out: str) -> None:
    """A case in this process; the first one writes the figures."""
    if args.device == "cuda":
        torch.cuda.set_device(rank)
    if case.gpus > 1:
        address = f"tcp://127.0.0.1:{port}"
        backend = "nccl" if args.device == "cuda" else "gloo"
        torch.distributed.init_process_group(backend, address, rank=rank, world_size=case.gpus)
    run = Run(case, args, rank)
    figures: dict[str, Any] = {"losses": run.losses() if case.gpus == 1 else None}
    for _ in range(args.warm_up):
        run.step(next(run.batches))
    seconds, loading = run.speed()
    figures.update(seconds_per_step=seconds, images_per_second=args.batch * case.gpus / seconds, loading=loading)
    figures.update(mib=run.memory(), matching=run.matching_share(), syncs=run.syncs())
    if rank == 0:
        Path(out).write_text(json.dumps(figures))
    if case.gpus > 1:
        torch.distributed.destroy_process_group()


def one(args: argparse.Namespace) -> None:
    """``--one``: what the parent starts for a case."""
    case = Case(**json.loads(args.one))
    warnings.simplefilter("ignore")
    if case.gpus == 1:
        measure(0, case, args, 0, args.out)
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(measure, (case, args, port, args.out), nprocs=case.gpus)


# -- all cases ---------------------------------------------------------------------------------------------------------


def start(case: Case, args: argparse.Namespace, **changed: Any) -> dict[str, Any]:
    """A case's figures, or the ``error`` that ended it."""
    given = {**vars(args), **changed}
    command = [sys.executable, __file__, "--one", json.dumps(dataclasses.asdict(case))]
    for name in ("device", "batch", "objects", "steps", "warm_up", "workers"):
        command += [f"--{name.replace('_', '-')}", str(given[name])]
    command += ["--size", "x".join(map(str, given["size"])), *(["--small"] if args.small else [])]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "figures.json")
        left = max(30.0, SECONDS + 40 - (time.monotonic() - args.began))
        try:
            done = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True, timeout=left)
        except subprocess.TimeoutExpired:
            return {"error": "it took too long"}
        if out.is_file() and done.returncode == 0:
            return json.loads(out.read_text())
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return {"error": next((line for line in reversed(lines) if "out of memory" in line), (lines or ["?"])[-1])}


def impossible(case: Case, device: str) -> Optional[str]:
    """Why a case cannot be measured here, if it cannot."""
    if case.compile and device == "cpu" and shutil.which(os.environ.get("CXX", "g++")) is None:
        return "torch.compile needs a C++ compiler, and none is found"
    if case.compile and device == "cuda" and importlib.util.find_spec("triton") is None:
        return "torch.compile needs triton, which is not installed"
    if case.gpus > 1 and not torch.distributed.is_available():
        return "this PyTorch has no torch.distributed"
    return None


def compared(figures: dict[str, Any], reference: dict[str, Any], case: Case) -> None:
    """Put the deviation of the losses from the CPU's into a case's figures."""
    ours, theirs = figures.pop("losses", None), reference.get("losses")
    if not ours or not theirs:
        return
    total, expected = sum(ours.values()), sum(theirs.values())
    figures["deviation"] = abs(total - expected) / abs(expected)
    figures["losses_ok"] = figures["deviation"] <= LIMITS[case.precision]  # not a number is not


def table(results: list[dict[str, Any]]) -> str:
    """The rows of docs/speed.md."""
    rows = [
        "| task | case | images/s | MiB | syncs | matching | loading | losses off by |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        reason = result.get("skipped") or result.get("error")
        if reason is not None:
            rows.append(f"| {result['task']} | {result['title']} | {reason[:90]} | | | | | |")
            continue
        deviation = f"{result['deviation']:.1e}" if "deviation" in result else ""
        rows.append(
            f"| {result['task']} | {result['title']} | {result['images_per_second']:.2f} | {result['mib']:,} | "
            f"{result['syncs']} | {result['matching']:.1%} | {result['loading']:.1%} | {deviation} |"
        )
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="ResNet-18 of 64 channels on images of 128 x 96")
    parser.add_argument("--tasks", default="instance,panoptic", type=lambda text: text.split(","))
    parser.add_argument("--size", type=lambda text: tuple(map(int, text.split("x"))), help="WIDTHxHEIGHT")
    parser.add_argument("--batch", type=int, default=2, help="images per GPU")
    parser.add_argument("--objects", type=int, default=8, help="of each image")
    parser.add_argument("--steps", type=int, help="measured steps of each case")
    parser.add_argument("--warm-up", type=int)
    parser.add_argument("--workers", type=int, default=min(4, max(1, (os.cpu_count() or 2) - 1)))
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--out", help="file for the JSON as well")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.size = args.size or ((128, 96) if args.small else (1344, 800))
    args.steps = args.steps or (3 if args.small else 20)
    args.warm_up = args.warm_up or (1 if args.small else 5)
    if args.one:
        one(args)
        return 0
    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit("no GPU is found here: seg2knet doctor says more, --device cpu --small runs without one")
    args.began = time.monotonic()
    reference = {}
    for task in args.tasks:
        reference[task] = start(Case(task, "float32"), args, device="cpu", steps=1, warm_up=0, batch=1, workers=0)
    results: list[dict[str, Any]] = []
    for case in cases(args):
        late = time.monotonic() - args.began > SECONDS
        reason = "the ten minutes are over" if late else impossible(case, args.device)
        figures = {"skipped": f"skipped: {reason}"} if reason else start(case, args)
        compared(figures, reference[case.task], case)
        results.append({"title": case.title, **dataclasses.asdict(case), **figures})
        outcome = figures.get("skipped") or figures.get("error") or "done"
        print(f"{case.task}, {case.title}: {outcome}", file=sys.stderr, flush=True)
    name = torch.cuda.get_device_name() if args.device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    setting = {"device": name, "torch": torch.__version__, "cuda": torch.version.cuda, "small": args.small}
    setting.update({key: getattr(args, key) for key in ("size", "batch", "objects", "steps", "workers")})
    content = json.dumps({"setting": setting, "cases": results}, indent=1)
    print(f"{name}, PyTorch {torch.__version__}\n\n{table(results)}\n\n{content}")
    if args.out:
        Path(args.out).write_text(content + "\n")
    return int(any("error" in result or not result.get("losses_ok", True) for result in results))


if __name__ == "__main__":
    sys.exit(main())
