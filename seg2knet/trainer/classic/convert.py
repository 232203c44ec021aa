"""K-Net's checkpoints of the classic stack as the current one reads them.

The tensors' names are mapped by :mod:`seg2knet.knet.checkpoints`; this module writes the config that goes with them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Union

from seg2knet.dataset.classes import ClassList
from seg2knet.errors import DataError
from seg2knet.trainer.classic.config import RECORD
from seg2knet.trainer.classic.pipelines import innermost, steps
from seg2knet.trainer.classic.text import literal

KERNELS = "rpn_head.init_kernels.weight"
HIDDEN = "roi_head.mask_head.0.ffn.layers.0.0.weight"
SCALE = (1333, 800)
RULES = {"max_per_img": 100, "mask_thr": 0.5, "instance_score_thr": 0.3, "overlap_thr": 0.6}


def is_classic(content: Mapping[str, Any]) -> bool:
    """Whether a checkpoint's content was written by the classic stack."""
    record = (content.get("meta") or {}).get(RECORD)
    return isinstance(record, Mapping) and record.get("stack") == "classic"


def modernised(content: dict[str, Any], path: Union[str, Path]) -> dict[str, Any]:
    """A K-Net checkpoint of the classic stack with the meta information that ours have.

    Args:
        content: what :func:`seg2knet.knet.checkpoints.read` gives.
        path: the file, for errors.

    Returns:
        the same tensors, and in ``meta``: ``cfg``, the config of our K-Net that they fit.

    Raises:
        DataError: the model is not the K-Net of the release.
    """
    meta = content["meta"]
    record = meta[RECORD]
    state = content["state_dict"]
    if KERNELS not in state or HIDDEN not in state:
        raise DataError(
            "only K-Net's own checkpoints can be used on the current stack",
            file=path,
            found=f"a {record.get('task')} model with tensors such as {next(iter(state), 'none')}",
            expected=f"tensors named as in the release: {KERNELS}, ...",
            hint="use it on the stack it comes from: --stack classic",
        )
    theirs = read_config(meta["config"], path)
    config = _config(theirs, record, state)
    text = "\n".join(f"{name} = {literal(value)}" for name, value in config.items()) + "\n"
    return {**content, "meta": {**meta, "cfg": text}}


def _config(theirs: Mapping[str, Any], record: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    panoptic = record["task"] == "panoptic"
    names, things = tuple(record["classes"]), int(record["things"])
    classes = ClassList.of(names)
    palette = [classes.color(index) for index in range(len(names))]
    kinds = {"thing_classes": names[:things], "stuff_classes": names[things:]} if panoptic else {}
    pipeline = list(steps(innermost(theirs["data"]["test"])["pipeline"]))
    scale = next((step["img_scale"] for step in pipeline if step.get("img_scale")), SCALE)
    keys = ["img_id", "img_path", "ori_shape", "img_shape", "scale_factor"]
    return {
        "task": record["task"],
        "classes": names,
        **kinds,
        "palette": palette,
        "metainfo": {"classes": names, "palette": palette, **kinds},
        "data_root": record.get("data", "."),
        "default_scope": "mmdet",
        "custom_imports": {"imports": ["seg2knet.trainer.openmmlab.datasets", "seg2knet.knet.detector"]},
        "model": _model(theirs["model"], state, things, len(names) - things if panoptic else 0, pipeline),
        "test_pipeline": [
            {"type": "LoadImageFromFile"},
            {
                "type": "Resize",
                "scale": tuple(scale[0] if isinstance(scale[0], (list, tuple)) else scale),
                "keep_ratio": True,
            },
            {
                "type": "PackDetInputs",
                "meta_keys": (*keys, "seg_map_path", "segments_info") if panoptic else tuple(keys),
            },
        ],
    }


def _model(
    theirs: Mapping[str, Any], state: Mapping[str, Any], things: int, stuff: int, pipeline: list[dict[str, Any]]
) -> dict[str, Any]:
    normalize = next((step for step in pipeline if step.get("type") == "Normalize"), {})
    pad = next((step for step in pipeline if step.get("type") == "Pad"), {})
    heads = next(iter(_values(theirs.get("roi_head", {}), "num_heads")), 8)
    backbone = {key: value for key, value in theirs["backbone"].items() if key not in ("init_cfg", "pretrained")}
    kernels = state[KERNELS]
    return {
        "type": "KNet",
        "data_preprocessor": {
            "type": "DetDataPreprocessor",
            "mean": list(normalize.get("mean", (123.675, 116.28, 103.53))),
            "std": list(normalize.get("std", (58.395, 57.12, 57.375))),
            "bgr_to_rgb": bool(normalize.get("to_rgb", True)),
            "pad_size_divisor": pad.get("size_divisor") or 32,
            "pad_mask": False,
            "pad_seg": stuff > 0,
        },
        "backbone": {**backbone, "init_cfg": None},
        "neck": dict(theirs["neck"]),
        "num_things": things,
        "num_stuff": stuff,
        "num_kernels": int(kernels.shape[0]),
        "num_stages": sum(1 for name in state if name.endswith(".fc_mask.weight")),
        "channels": int(kernels.shape[1]),
        "feedforward_channels": int(state[HIDDEN].shape[0]),
        "num_heads": heads,
        "test_cfg": _rules(theirs.get("test_cfg") or {}, int(kernels.shape[0])),
    }


def _rules(test_cfg: Mapping[str, Any], kernels: int) -> dict[str, Any]:
    """How results are made, as far as their config says it anywhere in ``test_cfg``."""
    found = {key: next(iter(_values(test_cfg, key)), default) for key, default in RULES.items()}
    return {**found, "max_per_img": min(int(found["max_per_img"]), kernels)}


def _values(node: Any, key: str) -> Iterator[Any]:
    """The values under ``key``, wherever it stands."""
    if isinstance(node, Mapping):
        if key in node:
            yield node[key]
        for value in node.values():
            yield from _values(value, key)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _values(value, key)


def read_config(text: str, path: Union[str, Path]) -> dict[str, Any]:
    """The settings of a config's text; nothing in it is run.

    Args:
        text: lines ``name = value`` of literals and ``dict(...)``, as the classic stack leaves them in checkpoints.
        path: the file it comes from, for errors.

    Raises:
        DataError: there is something else in it.
    """
    try:
        found: dict[str, Any] = {}
        for statement in ast.parse(text).body:
            if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
                raise ValueError(f"line {statement.lineno} is no setting")
            found[statement.targets[0].id] = _plain(statement.value, found)
        return found
    except (SyntaxError, ValueError) as error:
        raise DataError("the config in the checkpoint cannot be read", file=path, found=str(error)) from None


def _plain(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """The value of an expression of literals, ``dict(...)``, ``range(...)``, ``float(...)`` and names set above."""
    if isinstance(node, ast.Name):
        if node.id not in names:
            raise ValueError(f"{node.id} is not set")
        return names[node.id]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        keywords = {each.arg: _plain(each.value, names) for each in node.keywords}
        values = [_plain(each, names) for each in node.args]
        if node.func.id == "dict" and not values and None not in keywords:
            return keywords
        if node.func.id == "range" and not keywords:
            return list(range(*values))
        if node.func.id == "float" and len(values) == 1:
            return float(values[0])
        raise ValueError(f"a call of {node.func.id}")
    if isinstance(node, ast.Dict) and all(node.keys):
        return {_plain(key, names): _plain(value, names) for key, value in zip(node.keys, node.values) if key}
    if isinstance(node, ast.List):
        return [_plain(each, names) for each in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_plain(each, names) for each in node.elts)
    return ast.literal_eval(node)
