"""A trained model as ONNX or TorchScript: one file that needs neither this package nor mmdet.

In: ``images``, (B, 3, H, W) float32, RGB, 0..255, H and W multiples of 32 (pad with zeros after normalising: with the
mean colour before). Normalisation is part of the model. Any B, H and W.

Out, instance: ``scores`` (B, n), ``labels`` (B, n) and ``masks`` (B, n, H/4, W/4), n = 100: probabilities, best score
first; resized bilinearly to the picture and cut at 0.5 they are what ``seg2knet predict`` draws.

Out, panoptic: ``segments`` (B, H, W), each pixel the id of its segment (class + 1000 * number; the number of classes
where there is nothing), ``ids`` (B, m) and ``scores`` (B, m) of the kernels, best first; a kernel without segment has
the number of classes for its id.

Out, semantic: ``classes`` (B, H, W) and ``logits`` (B, K, h, w) at the head's own size.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seg2knet.errors import EnvironmentProblem, UsageError
from seg2knet.trainer import openmmlab
from seg2knet.trainer.export_swin import exportable_windows, has_windows
from seg2knet.trainer.inference import Segmenter

FORMATS = {"onnx": ".onnx", "torchscript": ".pt"}
MULTIPLE = 32
AGREE = 1e-3
"""Largest deviation of the written file's results from PyTorch's, for probabilities and relative for logits."""
KERNELS_AT_ONCE = 16
OUTPUTS = {
    "instance": ("scores", "labels", "masks"),
    "panoptic": ("segments", "ids", "scores"),
    "semantic": ("classes", "logits"),
}


AXES = {
    "scores": ("batch", "kernels"),
    "labels": ("batch", "kernels"),
    "ids": ("batch", "kernels"),
    "masks": ("batch", "kernels", "rows", "columns"),
    "logits": ("batch", "classes", "rows", "columns"),
    "segments": ("batch", "height", "width"),
    "classes": ("batch", "height", "width"),
}
"""What the outputs' axes are called."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: the file.
        task: of the model.
        deviation: largest deviation from PyTorch's results on sizes other than the one traced; ``None`` where it could
            not be compared, onnxruntime being absent.
    """

    path: Path
    task: str
    deviation: Optional[float]


def export(checkpoint: Union[str, Path], kind: str = "onnx", out: Optional[Path] = None) -> Exported:
    """Write a checkpoint's model as one file and compare what it computes with PyTorch.

    Args:
        checkpoint: of a run, by path or URL.
        kind: a key of ``FORMATS``.
        out: the file; by default beside the checkpoint.

    Raises:
        UsageError: no such format, or the model cannot be written in it.
        EnvironmentProblem: the ``export`` extra is absent, or what was written computes something else.
    """
    if kind not in FORMATS:
        raise UsageError(f"no format is called {kind!r}", expected=", ".join(FORMATS))
    if kind == "onnx":
        _require_onnx()
    segmenter = Segmenter(checkpoint, "cpu")
    path = out or segmenter.path.with_suffix(FORMATS[kind])
    path.parent.mkdir(parents=True, exist_ok=True)
    graph = build(segmenter.model, segmenter.task)
    notes = {
        "task": segmenter.task,
        "classes": list(segmenter.config.classes),
        "stuff": list(segmenter.config.get("stuff_classes", ())),
        "multiple": MULTIPLE,
        "colours": "RGB, 0..255",
    }
    with _traceable():
        if kind == "onnx":
            write_onnx(graph, path, segmenter.task, notes)
        else:
            write_torchscript(graph, path, notes)
    return Exported(path, segmenter.task, compare(graph, path, segmenter.task))


def build(model: Any, task: str) -> nn.Module:
    """The part of a detector or segmentor that is exported, with normalisation before and results behind it."""
    if any(type(module).__name__ == "Seg2KNetDeformConv" for module in model.modules()):
        raise UsageError(
            "a model with deformable convolution cannot be exported: its operator is not PyTorch's own",
            hint="train one without: the same --model name without -dcn",
        )
    kinds: dict[str, type[Graph]] = {"instance": InstanceGraph, "panoptic": PanopticGraph, "semantic": SemanticGraph}
    return kinds[task](model).eval().requires_grad_(False)


class Graph(nn.Module):
    """Normalisation before the model; subclasses add the results.

    Args:
        model: a detector of mmdet or a segmentor of mmseg, with its data preprocessor.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        before = model.data_preprocessor
        one = torch.ones(1, 3, 1, 1)
        self.mean = nn.Buffer(before.mean.reshape(1, 3, 1, 1).clone() if hasattr(before, "mean") else 0 * one)
        self.std = nn.Buffer(before.std.reshape(1, 3, 1, 1).clone() if hasattr(before, "std") else one)
        # Pictures are read as BGR. Where the preprocessor turns them round, its mean and std are RGB's.
        self.takes_rgb = bool(before._channel_conversion)

    def normalised(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) RGB 0..255 -> what the backbone was trained on."""
        return ((images if self.takes_rgb else images.flip(1)) - self.mean) / self.std


class InstanceGraph(Graph):
    """See the module: ``scores``, ``labels``, ``masks``."""

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        last = self.model._forward(self.normalised(images)).stages[-1]
        classes = last.classes.shape[-1]
        best = min(self.model.rules.max_per_img, last.classes.shape[1] * classes)
        scores, order = last.classes.sigmoid().flatten(1).topk(best)
        kernels = torch.div(order, classes, rounding_mode="floor")
        masks = F.interpolate(last.masks, scale_factor=2, mode="bilinear", align_corners=False).sigmoid()
        return scores, order % classes, _pick(masks, kernels, images, 4)


class PanopticGraph(Graph):
    """See the module: ``segments``, ``ids``, ``scores``. The rule: :func:`seg2knet.knet.results.panoptic`."""

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        last = self.model._forward(self.normalised(images)).stages[-1]
        shape, rules = self.model.shape, self.model.rules
        probabilities = last.classes.sigmoid()
        scores, labels = probabilities[:, : shape.num_kernels, : shape.num_things].max(2)
        of_stuff = probabilities[:, shape.num_kernels :, shape.num_things :].diagonal(dim1=1, dim2=2)
        stuff = torch.arange(shape.num_things, shape.num_classes).expand_as(of_stuff)
        scores, order = torch.cat((scores, of_stuff), 1).topk(shape.num_kernels + shape.num_stuff)
        labels = torch.cat((labels, stuff), 1).gather(1, order)
        winner, own = self.contest(_pick(last.masks, order, images, 8), scores)
        flat = winner.flatten(1)
        won = torch.zeros_like(scores).scatter_add(1, flat, torch.ones_like(flat, dtype=scores.dtype))
        kept = (scores >= rules.instance_score_thr) | (labels >= shape.num_things)
        kept = kept & (won > 0) & (own > 0) & (won >= rules.overlap_thr * own)
        number = kept.long().cumsum(1) - 1
        ids = torch.where(kept, labels + 1000 * number, torch.full_like(labels, shape.num_classes))
        return ids.gather(1, flat).reshape(-1, images.shape[2], images.shape[3]), ids, scores

    def contest(self, masks: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Who wins each pixel, (B, H, W), and how many pixels each kernel has of its own, (B, M)."""
        best: Optional[Tensor] = None
        winner = torch.zeros(())
        own = []
        for begin in range(0, self.model.shape.num_kernels + self.model.shape.num_stuff, KERNELS_AT_ONCE):
            some = masks[:, begin : begin + KERNELS_AT_ONCE]
            x = F.interpolate(some, scale_factor=2, mode="bilinear", align_corners=False).sigmoid()
            x = F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False)
            own.append((x >= 0.5).to(x.dtype).flatten(2).sum(2))
            value, index = (x * scores[:, begin : begin + KERNELS_AT_ONCE, None, None]).max(1)
            if best is None:
                best, winner = value, index
            else:
                winner = torch.where(value > best, index + begin, winner)
                best = torch.maximum(value, best)
        return winner, torch.cat(own, 1)


class SemanticGraph(Graph):
    """See the module: ``classes``, ``logits``. The model is mmsegmentation's K-Net."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        for module in list(model.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.AdaptiveAvgPool2d):
                    setattr(module, name, AnySizePool(child.output_size))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        levels = self.model.extract_feat(self.normalised(images))
        head = self.model.decode_head
        features = head.kernel_generate_head._forward_feature(levels)
        logits = head.kernel_generate_head.cls_seg(features)
        kernels = head.kernel_generate_head.conv_seg.weight.flatten(1).expand(features.shape[0], -1, -1)
        for stage in head.kernel_update_head:
            logits, kernels = _semantic_update(stage, features, kernels, logits)
        whole = F.interpolate(logits, size=images.shape[2:], mode="bilinear", align_corners=False)
        return whole.argmax(1), logits


def _semantic_update(stage: Any, features: Tensor, kernels: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """One round of mmseg's ``KernelUpdateHead`` with 1x1 kernels, for any batch: its own runs image by image.

    Args:
        stage: the head.
        features: (B, C, h, w). kernels: (B, K, C). logits: (B, K, h, w).

    Returns:
        the next logits and kernels.
    """
    x = stage.feat_transform(features) if stage.feat_transform is not None else features
    under = torch.einsum("bkhw,bchw->bkc", logits.softmax(1), x)
    new = stage.kernel_update_conv(under, kernels.unsqueeze(2)).reshape(kernels.shape)
    new = stage.attention_norm(stage.attention(new.permute(1, 0, 2))).permute(1, 0, 2)
    if stage.with_ffn:
        new = stage.ffn_norm(stage.ffn(new))
    masks = new
    for layer in stage.mask_fcs:
        masks = layer(masks)
    return torch.einsum("bkc,bchw->bkhw", stage.fc_mask(masks), x), new


class AnySizePool(nn.Module):
    """Adaptive average pooling, written so that it can be exported without fixing the size.

    Row i of n averages pixels floor(i H / n) .. ceil((i + 1) H / n), as ``nn.AdaptiveAvgPool2d`` does: two matrices.
    """

    def __init__(self, size: Any) -> None:
        super().__init__()
        sides: tuple[int, int] = (size, size) if isinstance(size, int) else size
        self.rows, self.columns = sides

    def forward(self, x: Tensor) -> Tensor:
        rows = self.shares(self.rows, x.shape[2]).to(x.dtype)
        columns = self.shares(self.columns, x.shape[3]).to(x.dtype)
        return rows @ x @ columns.transpose(0, 1)

    @staticmethod
    def shares(parts: int, length: Any) -> Tensor:
        """(parts, length): what share each pixel has in each average."""
        pixel = torch.arange(length)[None, :]
        part = torch.arange(parts)[:, None]
        begin = torch.div(part * length, parts, rounding_mode="floor")
        end = torch.div((part + 1) * length + parts - 1, parts, rounding_mode="floor")
        inside = ((pixel >= begin) & (pixel < end)).float()
        return inside / inside.sum(1, keepdim=True)


def _pick(masks: Tensor, order: Tensor, images: Tensor, stride: int) -> Tensor:
    """Masks (B, M, H / stride, W / stride) of images (B, 3, H, W) in the order (B, n) -> (B, n, H / stride, ...).

    Sizes are taken from the images, for those of later tensors are fixed by the tracer that exports Swin.
    """
    height, width = images.shape[2] // stride, images.shape[3] // stride
    flat = order + torch.arange(images.shape[0])[:, None] * masks.shape[1]
    chosen = masks.reshape(-1, height, width).index_select(0, flat.flatten())
    return chosen.reshape(-1, order.shape[1], height, width)


def write_onnx(graph: nn.Module, path: Path, task: str, notes: dict[str, Any]) -> None:
    """Write the graph as an ONNX file with free batch and size, and ``notes`` as its metadata ``seg2knet``.

    Raises:
        EnvironmentProblem: this torch cannot.
    """
    part = path.with_name(path.name + ".part")
    # With Swin's windows the newer exporter does not come to an end over its free sizes.
    write = _write_traced if has_windows(graph) else _write_exported
    try:
        write(graph, part, list(OUTPUTS[task]), json.dumps(notes))
        part.replace(path)
    except Exception as error:  # the exporters have a dozen of their own
        raise EnvironmentProblem(
            "this model cannot be written as ONNX by this torch",
            found=f"torch {torch.__version__}: {next(iter(str(error).splitlines()), type(error).__name__)}",
            hint="pip install --upgrade torch onnxscript; or: --format torchscript",
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _write_exported(graph: nn.Module, path: Path, outputs: list[str], notes: str) -> None:
    batch, height, width = (torch.export.Dim(name, min=1, max=1024) for name in ("batch", "height", "width"))
    free = {0: batch, 2: MULTIPLE * height, 3: MULTIPLE * width}
    program = torch.export.export(graph, (_example(),), dynamic_shapes=(free,))
    written = torch.onnx.export(program, dynamo=True, input_names=["images"], output_names=outputs, verbose=False)
    assert written is not None
    written.model.metadata_props["seg2knet"] = notes
    written.save(str(path), external_data=False)


def _write_traced(graph: nn.Module, path: Path, outputs: list[str], notes: str) -> None:
    import onnx

    free = {name: dict(enumerate(AXES[name])) for name in outputs} | {"images": {0: "batch", 2: "height", 3: "width"}}
    torch.onnx.export(
        graph, (_example(),), str(path), dynamo=False, opset_version=17, do_constant_folding=False,
        input_names=["images"], output_names=outputs, dynamic_axes=free,
    )  # fmt: skip
    written = onnx.load(path)
    onnx.helper.set_model_props(written, {"seg2knet": notes})
    onnx.save(written, path)


def write_torchscript(graph: nn.Module, path: Path, notes: dict[str, Any]) -> None:
    """Trace the graph into a TorchScript file, with ``notes`` as its extra file ``seg2knet.json``."""
    traced = torch.jit.trace(graph, _example(), check_trace=False)
    torch.jit.save(traced, str(path), _extra_files={"seg2knet.json": json.dumps(notes)})


def compare(graph: nn.Module, path: Path, task: str) -> Optional[float]:
    """The largest deviation of the file's results from the graph's, over sizes and batches that were not traced.

    Raises:
        EnvironmentProblem: it is above ``AGREE``.
    """
    run = _runner(path, task)
    if run is None:
        return None
    worst = 0.0
    for seed, size in enumerate(((1, 3, 64, 96), (3, 3, 160, 128))):
        images = _example(size, seed)
        with _traceable():
            expected = dict(zip(OUTPUTS[task], graph(images)))
        worst = max(worst, deviation(task, dict(zip(OUTPUTS[task], run(images))), expected))
    if worst > AGREE:
        raise EnvironmentProblem(
            "what was written computes something else than PyTorch",
            file=path,
            found=f"results that deviate by {worst:.2g}",
            expected=f"at most {AGREE}",
            hint="the versions of torch and onnxruntime may not fit one another: seg2knet doctor",
        )
    return worst


def deviation(task: str, found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """How far apart two results are: probabilities as they are, logits relative to the largest, label maps by the share
    of pixels that differ. Instances of equal score may change places.
    """
    if task == "semantic":
        logits = (found["logits"] - expected["logits"]).abs().max() / expected["logits"].abs().max()
        return max(float(logits), _differing(found["classes"], expected["classes"]))
    worst = float((found["scores"] - expected["scores"]).abs().max())
    if task == "panoptic":
        return max(worst, _differing(found["segments"], expected["segments"]))
    for image in range(len(found["scores"])):
        for place, label in enumerate(found["labels"][image]):
            same = (expected["labels"][image] == label) & (
                (expected["scores"][image] - found["scores"][image, place]).abs() < AGREE
            )
            if not same.any():
                return float("inf")
            apart = (expected["masks"][image][same] - found["masks"][image, place]).abs().flatten(1).amax(1)
            worst = max(worst, float(apart.min()))
    return worst


def _differing(found: Tensor, expected: Tensor) -> float:
    return float((found != expected).float().mean())


def _runner(path: Path, task: str) -> Optional[Callable[[Tensor], list[Tensor]]]:
    if path.suffix != FORMATS["onnx"]:
        loaded = torch.jit.load(str(path))
        return lambda images: list(loaded(images))
    try:
        import onnxruntime
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = list(OUTPUTS[task])
    return lambda images: [torch.from_numpy(each) for each in session.run(names, {"images": images.numpy()})]


def _example(size: tuple[int, ...] = (2, 3, 96, 128), seed: int = 0) -> Tensor:
    return torch.rand(size, generator=torch.Generator().manual_seed(seed)) * 255


def _require_onnx() -> None:
    absent = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if absent:
        raise EnvironmentProblem(f"not installed: {', '.join(absent)}", hint="pip install 'seg2knet[export]'")


@contextlib.contextmanager
def _traceable() -> Iterator[None]:
    """Switch off what cannot be traced, and what the tracers have to say about other packages."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), openmmlab.silence(), exportable_windows():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
