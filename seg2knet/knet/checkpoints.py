"""Checkpoints: reading files safely, loading them into the model, and the tensor names of the authors' release."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, Union

import torch
from torch import Tensor, nn

from seg2knet.errors import DataError

# Names in this model and in the release. `{}` stands for a number; a prefix of another name comes after it.
_CONV_NORMS = {
    "localization_fpn.levels.{}.{}": "localization_fpn.convs_all_levels.{}.conv{}",
    "localization_fpn.localization": "localization_fpn.conv_pred",
    "localization_fpn.semantic": "localization_fpn.aux_convs.0",
    "kernel_head.localization": "loc_convs.0",
    "kernel_head.semantic": "seg_convs.0",
}
_IN_STAGE = {
    "feature_conv": "feat_transform.conv",
    "update.feature_in": "kernel_update_conv.dynamic_layer",
    "update.kernel_in": "kernel_update_conv.input_layer",
    "update.kernel_gate": "kernel_update_conv.input_gate",
    "update.feature_gate": "kernel_update_conv.update_gate",
    "update.kernel_gate_norm": "kernel_update_conv.input_norm_in",
    "update.feature_gate_norm": "kernel_update_conv.norm_in",
    "update.kernel_norm": "kernel_update_conv.input_norm_out",
    "update.feature_norm": "kernel_update_conv.norm_out",
    "update.out": "kernel_update_conv.fc_layer",
    "update.out_norm": "kernel_update_conv.fc_norm",
    "attention": "attention.attn",
    "ffn.0": "ffn.layers.0.0",
    "ffn.2": "ffn.layers.1",
    "class_branch.{}": "cls_fcs.{}",
    "class_out": "fc_cls",
    "mask_branch.{}": "mask_fcs.{}",
    "mask_out": "fc_mask",
}
_NAMES = [
    *((f"network.{ours}.conv", f"rpn_head.{theirs}.conv") for ours, theirs in _CONV_NORMS.items()),
    *((f"network.{ours}.norm", f"rpn_head.{theirs}.gn") for ours, theirs in _CONV_NORMS.items()),
    ("network.kernel_head.kernels", "rpn_head.init_kernels"),
    ("network.kernel_head.semantic_out", "rpn_head.conv_seg"),
    *((f"network.stages.{{}}.{ours}", f"roi_head.mask_head.{{}}.{theirs}") for ours, theirs in _IN_STAGE.items()),
    ("network.stages.{}", "roi_head.mask_head.{}"),
]


def _pattern(prefix: str) -> re.Pattern[str]:
    return re.compile(re.escape(prefix).replace(r"\{\}", r"(\d+)") + r"(?=\.|$)")


_TO_RELEASED = [(_pattern(ours), theirs) for ours, theirs in _NAMES]
_FROM_RELEASED = [(_pattern(theirs), ours) for ours, theirs in _NAMES]
CLASS_LAYERS = re.compile(r"network\.(kernel_head\.semantic_out|stages\.\d+\.class_out)\.(weight|bias)$")


@dataclass
class LoadReport:
    """What loading a checkpoint did; lists of tensor names.

    Class layers whose number of classes differs are ``replaced``: they keep their initial values.
    """

    loaded: list[str] = field(default_factory=list)
    replaced: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)  # theirs and our shape
    missing: list[str] = field(default_factory=list)  # in the model, not in the checkpoint
    unexpected: list[str] = field(default_factory=list)  # in the checkpoint, not in the model

    def text(self) -> str:
        """The report as a few lines."""
        lines = [f"{len(self.loaded)} tensors loaded"]
        if self.replaced:
            pairs = sorted({(theirs[0], ours[0]) for theirs, ours in self.replaced.values()})
            counts = ", ".join(f"{theirs} in the checkpoint, {ours} in the model" for theirs, ours in pairs)
            lines.append(f"{len(self.replaced)} tensors of the class layers start from scratch, classes: {counts}")
        for problem, names in (("missing in the checkpoint", self.missing), ("not used", self.unexpected)):
            if names:
                lines.append(f"{len(names)} {problem}: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}")
        return "\n".join(lines)


def from_released(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a released state dict to this model's names; other names stay as they are."""
    return {_rename(name, _FROM_RELEASED): tensor for name, tensor in state.items()}


def to_released(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename this model's state dict to the released names, for the authors' own code."""
    return {_rename(name, _TO_RELEASED): tensor for name, tensor in state.items()}


def _rename(name: str, rules: list[tuple[re.Pattern[str], str]]) -> str:
    for pattern, target in rules:
        match = pattern.match(name)
        if match:
            return target.format(*match.groups()) + name[match.end() :]
    return name


def read(path: Union[str, PathLike[str]]) -> dict[str, Any]:
    """Read a checkpoint file without running code that it contains: a state dict, or a dict with ``state_dict`` (mmcv
    1.x, mmengine) or ``model``. Returns the file's dict, with at least ``state_dict``.

    Raises DataError: no such file, not a checkpoint, or one with objects other than tensors and plain values.
    """
    import pickle

    try:
        with torch.serialization.safe_globals(_plain_globals()):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError("no such checkpoint", file=path) from None
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise DataError(
            "the checkpoint does not load safely",
            file=path,
            found=f"an object of type {wanted.group(1)}" if wanted else str(error).splitlines()[0],
            expected="only tensors, numbers, strings, lists and dicts",
            hint="loading it would run code from the file. If you trust its author, load it with "
            "torch.load(..., weights_only=False) and save only its state_dict",
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise DataError(
            "cannot read the checkpoint",
            file=path,
            found="another kind of file" if isinstance(error, KeyError) else str(error).split("\n")[0],
            expected="a file written by torch.save",
            hint="name a .pth file; if it was downloaded, the download may be incomplete",
        ) from None
    return _with_state(content, path)


def _with_state(content: Any, path: Union[str, PathLike[str]]) -> dict[str, Any]:
    found = content if isinstance(content, dict) else {}
    if isinstance(found.get("model"), dict) and not isinstance(found.get("state_dict"), dict):
        found = {"state_dict": found["model"]}  # backbones of other projects
    elif found and all(isinstance(value, Tensor) for value in found.values()):
        found = {"state_dict": found}
    if not isinstance(found.get("state_dict"), dict):
        keys = ", ".join(map(str, list(content)[:5])) if isinstance(content, dict) else type(content).__name__
        raise DataError("the file holds no weights", file=path, found=keys, expected="tensors under `state_dict`")
    state = {name.removeprefix("module."): tensor for name, tensor in found["state_dict"].items()}
    return {**found, "state_dict": state}


def _plain_globals() -> list:
    """NumPy scalars and arrays: plain numbers that training loops save beside the weights."""
    import numpy as np

    core = np._core if hasattr(np, "_core") else np.core
    kinds = [np.float64, np.float32, np.int64, np.int32, np.bool_, np.uint8, np.uint32]
    dtypes = [type(np.dtype(kind)) for kind in kinds]
    functions = [core.multiarray.scalar, core.multiarray._reconstruct]
    # NumPy 1 and 2 pickle under different names; files have both.
    named = [(f, f"numpy.{package}.multiarray.{f.__name__}") for f in functions for package in ("core", "_core")]
    return [np.ndarray, np.dtype, *dtypes, *functions, *named]


def load(model: nn.Module, state: Mapping[str, Tensor]) -> LoadReport:
    """Load a state dict, ours or released, into a :class:`~seg2knet.knet.detector.KNet`.

    Raises DataError: a tensor that is not of a class layer differs in shape from the model's, or no name is known.
    """
    ours = model.state_dict()
    report = LoadReport()
    fitting: dict[str, Tensor] = {}
    wrong: list[str] = []
    for name, tensor in from_released(state).items():
        if name not in ours:
            report.unexpected.append(name)
        elif tensor.shape == ours[name].shape:
            fitting[name] = tensor
            report.loaded.append(name)
        elif CLASS_LAYERS.match(name) and tensor.shape[1:] == ours[name].shape[1:]:
            report.replaced[name] = (tuple(tensor.shape), tuple(ours[name].shape))
        else:
            wrong.append(f"{name} {tuple(tensor.shape)}, in the model {tuple(ours[name].shape)}")
    if wrong or not fitting:
        raise DataError(
            "the checkpoint belongs to another model",
            found="; ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")
            if wrong
            else f"tensors such as {', '.join(list(state)[:3])}",
            expected="the same backbone, widths, kernels and stages; only the number of classes may differ",
            hint="use the backbone and the sizes of the checkpoint",
        )
    report.missing = [name for name in ours if name not in fitting and name not in report.replaced]
    model.load_state_dict(fitting, strict=False)
    return report
