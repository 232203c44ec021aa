"""A trained model as ONNX or TorchScript: one file that needs neither this package nor mmdet.

In: ``images``, (B, 3, H, W) float32, RGB, 0..255, H and W multiples of 32 (pad with zeros after normalising: with the
mean colour before). Normalisation is part of the model. Any B, H and W.

Out, instance: ``scores`` (B, n), ``labels`` (B, n) and ``masks`` (B, n, H/4, W/4), n = 100: probabilities, best score
first; resized bilinearly to the image and cut at 0.5 they are what ``seg2knet predict`` draws.

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
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional, Union

import torch
from torch import Tensor, nn

from seg2knet.errors import DataError, EnvironmentProblem, UsageError, extra
from seg2knet.knet import checkpoints
from seg2knet.trainer.export.graphs import build, exportable_windows
from seg2knet.trainer.openmmlab import packages as openmmlab
from seg2knet.trainer.predict.inference import Segmenter
from seg2knet.trainer.predict.released import KERNELS

FORMATS = {"onnx": ".onnx", "torchscript": ".pt"}
MULTIPLE = 32
AGREE = 1e-3
"""Largest deviation of the written file's results from PyTorch's, for probabilities and relative for logits."""
_KERNELS, _PIXELS = ("batch", "kernels"), ("batch", "height", "width")
OUTPUTS = {
    "instance": {"scores": _KERNELS, "labels": _KERNELS, "masks": (*_KERNELS, "rows", "columns")},
    "panoptic": {"segments": _PIXELS, "ids": _KERNELS, "scores": _KERNELS},
    "semantic": {"classes": _PIXELS, "logits": ("batch", "classes", "rows", "columns")},
}
"""Task -> the outputs in their order, and what their axes are called."""


class Exported(NamedTuple):
    """What was written, and its largest deviation from PyTorch's results on sizes other than the one traced; ``None``
    where it could not be compared, onnxruntime being absent.
    """

    path: Path
    task: str
    deviation: Optional[float]


def export(checkpoint: Union[str, Path], kind: str = "onnx", out: Optional[Path] = None) -> Exported:
    """Write a checkpoint's model as one file (by default beside it) and compare what it computes with PyTorch.

    Raises UsageError: no such format, or the model cannot be written in it; EnvironmentProblem: the ``export`` extra is
    absent, or what was written computes something else.
    """
    if kind not in FORMATS:
        raise UsageError(f"no format is called {kind!r}", expected=", ".join(FORMATS))
    if kind == "onnx" and importlib.util.find_spec("onnx") is None:
        raise EnvironmentProblem("onnx is not installed", hint=extra("export"))
    segmenter = Segmenter(checkpoint, "cpu")
    path = out or segmenter.path.with_suffix(FORMATS[kind])
    path.parent.mkdir(parents=True, exist_ok=True)
    graph = build(segmenter.model, segmenter.task)
    notes = {
        "task": segmenter.task, "classes": list(segmenter.config.classes),
        "stuff": list(segmenter.config.get("stuff_classes", ())), "multiple": MULTIPLE, "colours": "RGB, 0..255",
    }  # fmt: skip
    with _traceable():
        if kind == "onnx":
            write_onnx(graph, path, segmenter.task, notes)
        else:
            write_torchscript(graph, path, notes)
    return Exported(path, segmenter.task, compare(graph, path, segmenter.task))


def export_released(checkpoint: Union[str, Path], out: Path) -> int:
    """Write a K-Net of the current stack as mmcv 1.x has it, for the authors' own code: ``state_dict`` in the released
    names, ``meta.CLASSES``. Returns how many tensors were written.

    Raises DataError: the checkpoint cannot be read, or is of another model.
    """
    content = checkpoints.read(checkpoint)
    state = checkpoints.to_released(content["state_dict"])
    if KERNELS not in state:
        raise DataError(
            "only K-Net for instance and panoptic segmentation has released names", file=checkpoint,
            found=f"tensors such as {next(iter(content['state_dict']), 'none')}",
        )  # fmt: skip
    classes = ((content.get("meta") or {}).get("dataset_meta") or {}).get("classes")
    out.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"meta": {"CLASSES": tuple(classes) if classes else None}, "state_dict": state}, out)
    return len(state)


def write_onnx(graph: nn.Module, path: Path, task: str, notes: dict[str, Any]) -> None:
    """Write the graph as an ONNX file with free batch and size, and ``notes`` as its metadata ``seg2knet``.

    It is traced: torch's newer exporter does not come to an end over free sizes with Swin's windows and the padding of
    some of timm's models. What a model fixes to the size traced is found by :func:`compare`. Raises
    :class:`EnvironmentProblem` where this torch cannot.
    """
    import onnx

    part = path.with_name(path.name + ".part")
    outputs = {name: dict(enumerate(axes)) for name, axes in OUTPUTS[task].items()}
    free = {**outputs, "images": {0: "batch", 2: "height", 3: "width"}}
    try:
        torch.onnx.export(
            graph, (_example(),), str(part), dynamo=False, opset_version=17, do_constant_folding=False,
            input_names=["images"], output_names=list(outputs), dynamic_axes=free,
        )  # fmt: skip
        written = onnx.load(part)
        onnx.helper.set_model_props(written, {"seg2knet": json.dumps(notes)})
        onnx.save(written, part)
        part.replace(path)
    except Exception as error:  # the exporter has a dozen of its own
        raise EnvironmentProblem(
            "this model cannot be written as ONNX by this torch",
            found=f"torch {torch.__version__}: {openmmlab.first_line(error)}",
            hint="--format torchscript",
        ) from error
    finally:
        part.unlink(missing_ok=True)


def write_torchscript(graph: nn.Module, path: Path, notes: dict[str, Any]) -> None:
    """Trace the graph into a TorchScript file, with ``notes`` as its extra file ``seg2knet.json``."""
    traced = torch.jit.trace(graph, _example(), check_trace=False)
    torch.jit.save(traced, str(path), _extra_files={"seg2knet.json": json.dumps(notes)})


def compare(graph: nn.Module, path: Path, task: str) -> Optional[float]:
    """The largest deviation of the file's results from the graph's, over sizes and batches that were not traced; an
    :class:`EnvironmentProblem` where it is above ``AGREE``.
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
            "what was written computes something else than PyTorch", file=path,
            found=f"results that deviate by {worst:.2g}", expected=f"at most {AGREE}",
            hint="the versions of torch and onnxruntime may not fit one another: seg2knet doctor",
        )  # fmt: skip
    return worst


def deviation(task: str, found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """How far apart two results are: probabilities as they are, logits relative to the largest, label maps by the share
    of pixels that differ. Instances of equal score may change places.
    """
    if task == "semantic":
        logits = (found["logits"] - expected["logits"]).abs().max() / expected["logits"].abs().max()
        return max(float(logits), float((found["classes"] != expected["classes"]).float().mean()))
    worst = float((found["scores"] - expected["scores"]).abs().max())
    if task == "panoptic":
        return max(worst, float((found["segments"] != expected["segments"]).float().mean()))
    for image in range(len(found["scores"])):
        for place, label in enumerate(found["labels"][image]):
            near = (expected["scores"][image] - found["scores"][image, place]).abs() < AGREE
            same = near & (expected["labels"][image] == label)
            if not same.any():
                return float("inf")
            apart = (expected["masks"][image][same] - found["masks"][image, place]).abs().flatten(1).amax(1)
            worst = max(worst, float(apart.min()))
    return worst


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
    return lambda images: [torch.from_numpy(output) for output in session.run(names, {"images": images.numpy()})]


def _example(size: tuple[int, ...] = (2, 3, 96, 128), seed: int = 0) -> Tensor:
    return torch.rand(size, generator=torch.Generator().manual_seed(seed)) * 255


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
