"""Starting from a trained K-Net: the rows of its class layers go to the classes of the same name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from torch import Tensor

from seg2knet.trainer.predict.released import published

CLASS_LAYERS = re.compile(r"\.(semantic_out|class_out|conv_seg)\.(weight|bias)$")
"""Layers with a row for each class: of K-Net, and of mmsegmentation's heads."""
KERNELS = "network.kernel_head.kernels.weight"
_QUALIFIERS = re.compile(r"-(other|merged|stuff)\b")
"""What COCO's stuff classes have behind their names: sky-other-merged."""
_IRREGULAR = dict(pair.split() for pair in ("people person", "men man", "women woman", "children child", "mice mouse"))
_ENDINGS = (("ies", "y"), ("ves", "f"), ("ves", "fe"), ("es", ""), ("s", ""))


@dataclass(frozen=True)
class ClassRows:
    """Which classes keep the rows that a checkpoint has for them."""

    kept: dict[str, str]  # class of the data -> class of the checkpoint
    new: tuple[str, ...]  # classes of the data that the checkpoint does not know

    def text(self) -> str:
        """Both lists, a line each."""
        pairs = [ours if ours == theirs else f"{ours} (there: {theirs})" for ours, theirs in self.kept.items()]
        return f"classes that it knows: {', '.join(pairs) or 'none'}\nnew classes: {', '.join(self.new) or 'none'}"


def match(ours: Sequence[str], theirs: Sequence[str]) -> ClassRows:
    """The classes of the same name; case, plural, separators and COCO's ``-other-merged`` make no difference."""
    known = {form: name for name in reversed(theirs) for form in _forms(name)} | {name: name for name in theirs}
    found = {name: next((known[form] for form in (name, *_forms(name)) if form in known), None) for name in ours}
    kept = {name: other for name, other in found.items() if other is not None}
    return ClassRows(kept, tuple(name for name in ours if name not in kept))


def _forms(name: str) -> list[str]:
    """What a name may be called otherwise: ``Traffic_Lights`` -> ``traffic lights``, ``traffic light``."""
    words = re.sub(r"[\s_-]+", " ", _QUALIFIERS.sub("", name.lower())).strip()
    head, _, last = words.rpartition(" ")
    singular = [last[: -len(old)] + new for old, new in _ENDINGS if last.endswith(old) and not last.endswith("ss")]
    endings = [last, *([_IRREGULAR[last]] if last in _IRREGULAR else []), *singular]
    return [f"{head} {ending}".strip() for ending in endings if ending]


def classes_of(checkpoint: Mapping[str, Any]) -> Optional[Sequence[str]]:
    """Names of a checkpoint's classes: those that it tells, else COCO's or ADE20K's where it has as many."""
    state = checkpoint["state_dict"]
    layers = (".fc_cls.weight", ".class_out.weight", ".conv_seg.weight")
    count = next((len(tensor) for name, tensor in state.items() if name.endswith(layers)), None)
    meta = checkpoint.get("meta") or {}
    told = (meta.get("dataset_meta") or {}).get("classes") or meta.get("CLASSES")
    if told is not None and len(told) == count:
        return list(told)
    task = {80: "instance", 133: "panoptic", 150: "semantic"}.get(count or 0)
    return published(task).names if task is not None else None


def fit(
    state: Mapping[str, Tensor], model: Mapping[str, Tensor], theirs: Sequence[str], ours: Sequence[str]
) -> tuple[dict[str, Tensor], ClassRows]:
    """A checkpoint's tensors, with class layers for the data's classes and as many kernels as the model has.

    `state` has this model's names; new classes and more kernels keep the rows of `model`; `theirs` and `ours` are class
    names in the order of the rows."""
    rows = match(ours, theirs)
    targets = [place for place, name in enumerate(ours) if name in rows.kept]
    sources = [list(theirs).index(rows.kept[ours[place]]) for place in targets]
    fitted = dict(state)
    for name, tensor in state.items():
        own = model.get(name)
        if own is None or own.shape[1:] != tensor.shape[1:]:
            continue
        to, of = targets, sources
        if name == KERNELS:
            to = of = list(range(min(len(own), len(tensor))))
        elif not CLASS_LAYERS.search(name) or len(tensor) != len(theirs) or len(own) != len(ours):
            continue
        fitted[name] = own.clone()
        fitted[name][to] = tensor[of].to(own)
    return fitted, rows
