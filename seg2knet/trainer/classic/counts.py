"""Class counts in a model of the classic stack: every place that holds one gets the data's.

A config of mmdet 2 repeats its class counts: in each head, in lists of heads, in the fusion head, and, in the K-Net
release, as defaults of constructors that no config mentions. :func:`set_class_counts` walks the merged model and
returns a new one, in which all of them are right, and so are arguments that the installed versions call otherwise.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from seg2knet.dataset.classes import ClassList
from seg2knet.trainer.openmmlab.packages import values

THINGS = ("num_thing_classes", "num_things_classes")
STUFF = "num_stuff_classes"
CLASSES = "num_classes"
RANGES = ("fg_range", "bg_range")
"""First and last label of the things, and of the stuff, in PanopticFPN's semantic head."""
COCO = (80, 53)
"""Things and stuff of COCO panoptic: what the release and mmdet take when nothing is said."""
RENAMED = {"embed_dim": "embed_dims", "use_checkpoint": "with_cp", "ape": "use_abs_pos_embed"}
"""Arguments of the authors' Swin -> what mmdet 2.17 and mmseg 0.18 call them."""

Signature = Callable[[str], Mapping[str, Any]]
"""A registered type's name -> the parameters of its constructor with their defaults (``REQUIRED`` where none)."""
REQUIRED = object()


@dataclass(frozen=True)
class Counts:
    """How many classes the data have; all are things where the task is not panoptic."""

    task: str
    things: int
    stuff: int = 0

    @classmethod
    def of(cls, task: str, classes: ClassList) -> Counts:
        """Those of a data set's or a checkpoint's classes."""
        stuff = len(classes.stuff) if task == "panoptic" else 0
        return cls(task, len(classes) - stuff, stuff)

    @property
    def total(self) -> int:
        return self.things + self.stuff

    def by_key(self) -> dict[str, int]:
        """The counts by the names that configs give them."""
        return {CLASSES: self.total, **dict.fromkeys(THINGS, self.things), STUFF: self.stuff}


def set_class_counts(
    model: Mapping[str, Any], counts: Counts, signature: Optional[Signature] = None
) -> tuple[dict[str, Any], Change]:
    """A new ``model`` of a merged config with the data's class counts, and what was changed; with a ``signature``
    counts that the config leaves to a constructor's default are said too."""
    things, stuff = (
        next((value for key in keys for value in values(model, key) if isinstance(value, int)), of_coco)
        for keys, of_coco in ((THINGS, COCO[0]), ((STUFF,), COCO[1]))
    )
    change = Change(counts, (things, stuff), signature or (lambda _name: {}))
    return change.node(dict(model), "model"), change


@dataclass
class Change:
    """A walk through a model, and what it changed: counts (place in the config -> old and new, those that were right
    already included), class weights for other classes that are left out, arguments renamed (``old -> new``)."""

    data: Counts
    old: tuple[int, int]
    signature: Signature
    counts: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    renamed: list[str] = field(default_factory=list)

    def node(self, node: Any, path: str) -> Any:
        """A node of the model as it should be."""
        if isinstance(node, (list, tuple)):
            return type(node)(self.node(value, f"{path}[{index}]") for index, value in enumerate(node))
        return self._mapping(node, path) if isinstance(node, Mapping) else node

    def _mapping(self, node: Mapping[str, Any], path: str) -> dict[str, Any]:
        changed: dict[str, Any] = {}
        sizes = (self.data.total, self.data.total + 1)  # of lists of class weights: without the background or with
        last = path.rsplit(".", 1)[-1]
        parameters = self.signature(node["type"]) if isinstance(node.get("type"), str) else {}
        for key, value in self._renamed(node, parameters).items():
            where = f"{path}.{key}"
            new = self._new(key, value, self.old)
            if new is not None:
                self.counts[where] = (value, new)
                changed[key] = new
            elif key == "class_weight" and isinstance(value, (list, tuple)) and len(value) not in sizes:
                self.dropped.append(where)
                changed[key] = None
            else:
                changed[key] = self.node(value, where)
        for key, default in parameters.items():  # counts that the constructor would else take by default
            # a backbone's num_classes belongs to its own classifier; a head's of 1 is none
            foreign = key == CLASSES and (default == 1 or not ("head" in last or last.startswith("loss")))
            new = None if key in changed or default is REQUIRED or foreign else self._new(key, default, COCO)
            if new is not None:
                self.counts[f"{path}.{key}"] = (default, new)
                changed[key] = new
        return changed

    def _renamed(self, node: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The node with the names that its constructor takes."""
        names = {
            old: new
            for old, new in RENAMED.items()
            if old in node and old not in parameters and new in parameters and new not in node
        }
        self.renamed += [f"{old} -> {new}" for old, new in names.items()]
        return {names.get(key, key): value for key, value in node.items()}

    def _new(self, key: str, value: Any, old: tuple[int, int]) -> Any:
        """The count or range that belongs at ``key``, or ``None`` where ``key`` holds none."""
        ours = self.data
        if key in RANGES and ours.task == "panoptic":
            return (0, ours.things - 1) if key == RANGES[0] else (ours.things, ours.total - 1)
        if isinstance(value, bool) or not isinstance(value, int) or key not in ours.by_key():
            return None
        if key == CLASSES and ours.task == "panoptic":
            # A head may count all classes, things alone, stuff and one for all things, or stuff.
            things, stuff = old
            meaning = {stuff: ours.stuff, stuff + 1: ours.stuff + 1, things: ours.things}
            return ours.total if value == things + stuff else meaning.get(value, ours.total)
        if key != CLASSES and ours.task == "semantic":
            return ours.total if value else 0
        return ours.by_key()[key]


def constructor_parameters(cls: type) -> dict[str, Any]:
    """The parameters that ``cls(...)`` takes by name, with their defaults (``REQUIRED`` where there is none).

    Parameters of a base class count where every constructor between passes its ``**kwargs`` on.
    """
    defaults: dict[str, Any] = {}
    for init in (owner.__dict__["__init__"] for owner in cls.__mro__ if "__init__" in owner.__dict__):
        parameters = list(inspect.signature(init).parameters.values())[1:]
        for parameter in parameters:
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                default = REQUIRED if parameter.default is parameter.empty else parameter.default
                defaults.setdefault(parameter.name, default)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    return defaults
