"""Starting from a trained K-Net: the rows of its class layers go to the classes of the same name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from torch import Tensor

CLASS_LAYERS = re.compile(r"\.(semantic_out|class_out|conv_seg)\.(weight|bias)$")
"""Layers with a row for each class: of K-Net, and of mmsegmentation's heads."""
KERNELS = "network.kernel_head.kernels.weight"
_QUALIFIERS = re.compile(r"-(other|merged|stuff)\b")
"""What COCO's stuff classes have behind their names: sky-other-merged."""
_IRREGULAR = {
    "people": "person",
    "men": "man",
    "women": "woman",
    "children": "child",
    "mice": "mouse",
    "geese": "goose",
}
_ENDINGS = (("ies", "y"), ("ves", "f"), ("ves", "fe"), ("es", ""), ("s", ""))


@dataclass(frozen=True)
class ClassRows:
    """Which classes keep the rows that a checkpoint has for them.

    Attributes:
        kept: class of the data -> class of the checkpoint.
        new: classes of the data that the checkpoint does not know.
    """

    kept: dict[str, str]
    new: tuple[str, ...]

    def text(self) -> str:
        """Both lists, a line each."""
        pairs = [ours if ours == theirs else f"{ours} (there: {theirs})" for ours, theirs in self.kept.items()]
        return f"classes that it knows: {', '.join(pairs) or 'none'}\nnew classes: {', '.join(self.new) or 'none'}"


def match(ours: Sequence[str], theirs: Sequence[str]) -> ClassRows:
    """The classes of the same name; case, plural, separators and COCO's ``-other-merged`` make no difference."""
    known: dict[str, str] = {}
    for name in theirs:
        for form in _forms(name):
            known.setdefault(form, name)
    exact = set(theirs)
    kept = {}
    for name in ours:
        other = name if name in exact else next((known[form] for form in _forms(name) if form in known), None)
        if other is not None:
            kept[name] = other
    return ClassRows(kept, tuple(name for name in ours if name not in kept))


def _forms(name: str) -> list[str]:
    """What a name may be called otherwise: ``Traffic_Lights`` -> ``traffic lights``, ``traffic light``."""
    words = re.sub(r"[\s_-]+", " ", _QUALIFIERS.sub("", name.lower())).strip()
    head, _, last = words.rpartition(" ")
    singular = [last[: -len(old)] + new for old, new in _ENDINGS if last.endswith(old) and not last.endswith("ss")]
    endings = [last, *([_IRREGULAR[last]] if last in _IRREGULAR else []), *singular]
    return [f"{head} {ending}".strip() for ending in endings if ending]


def classes_of(checkpoint: Mapping[str, Any]) -> Optional[Sequence[str]]:
    """Names of its classes: those that it tells, else COCO's or ADE20K's where it has as many; else ``None``.

    Args:
        checkpoint: what :func:`seg2knet.knet.checkpoints.read` returns.
    """
    state = checkpoint["state_dict"]
    layers = (".fc_cls.weight", ".class_out.weight", ".conv_seg.weight")
    count = next((len(tensor) for name, tensor in state.items() if name.endswith(layers)), None)
    meta = checkpoint.get("meta") or {}
    told = (meta.get("dataset_meta") or {}).get("classes") or meta.get("CLASSES")
    if told is not None and len(told) == count:
        return list(told)
    if count in (80, 133):
        from mmdet.datasets import CocoDataset, CocoPanopticDataset

        return (CocoDataset if count == 80 else CocoPanopticDataset).METAINFO["classes"]
    if count == 150:
        from mmseg.datasets import ADE20KDataset

        return ADE20KDataset.METAINFO["classes"]
    return None


def fit(
    state: Mapping[str, Tensor], model: Mapping[str, Tensor], theirs: Sequence[str], ours: Sequence[str]
) -> tuple[dict[str, Tensor], ClassRows]:
    """A checkpoint's tensors with class layers for the data's classes, and as many kernels as the model has.

    Args:
        state: the checkpoint's tensors, in this model's names.
        model: the model's own, whose rows new classes and more kernels keep.
        theirs, ours: class names of the checkpoint and of the data, in the order of the rows.
    """
    rows = match(ours, theirs)
    targets = [place for place, name in enumerate(ours) if name in rows.kept]
    places = {name: place for place, name in enumerate(theirs)}
    sources = [places[rows.kept[ours[place]]] for place in targets]
    fitted = dict(state)
    for name, tensor in state.items():
        own = model.get(name)
        if own is None or own.shape[1:] != tensor.shape[1:]:
            continue
        if CLASS_LAYERS.search(name) and len(tensor) == len(theirs) and len(own) == len(ours):
            fitted[name] = own.clone()
            fitted[name][targets] = tensor[sources].to(own)
        elif name == KERNELS:
            count = min(len(own), len(tensor))
            fitted[name] = own.clone()
            fitted[name][:count] = tensor[:count].to(own)
    return fitted, rows
