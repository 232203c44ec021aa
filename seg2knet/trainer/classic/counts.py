"""Class counts in a model of the classic stack: every place that holds one gets the data's.

A config of mmdet 2 repeats its class counts: in each head, in lists of heads, in the fusion head, and, in the K-Net
release, as defaults of constructors that no config mentions. :func:`set_class_counts` walks the merged model and
answers with a new one, in which all of them are right.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

THINGS = ("num_thing_classes", "num_things_classes")
STUFF = "num_stuff_classes"
CLASSES = "num_classes"
COCO = (80, 53)
"""Things and stuff of COCO panoptic: what the release and mmdet take when nothing is said."""

Signature = Callable[[str], Mapping[str, Any]]
"""A registered type's name -> the parameters of its constructor with their defaults (``REQUIRED`` where none)."""
REQUIRED = object()


@dataclass(frozen=True)
class Counts:
    """How many classes the data have.

    Attributes:
        task: ``instance``, ``panoptic`` or ``semantic``.
        things: thing classes (instance: all classes).
        stuff: stuff classes (semantic: all classes are counted as ``things``, and this is 0).
    """

    task: str
    things: int
    stuff: int = 0

    @property
    def total(self) -> int:
        return self.things + self.stuff


@dataclass
class Change:
    """What was changed.

    Attributes:
        counts: place in the config -> (old, new) for every count, those that were right already included.
        dropped: class weights that were made for other classes.
    """

    counts: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)


def set_class_counts(
    model: Mapping[str, Any], counts: Counts, signature: Optional[Signature] = None
) -> tuple[dict[str, Any], Change]:
    """The model with the data's class counts.

    Args:
        model: the merged ``model`` of a config.
        counts: the data's.
        signature: tells the constructor's parameters of a registered type; where given, counts that the config leaves
            to a default are said too.

    Returns:
        the new model (the old one is left alone), and what was changed.
    """
    change = Change()
    walk = _Walk(counts, _old_counts(model), signature or (lambda _name: {}), change)
    return walk.node(dict(model), "model"), change


def _old_counts(model: Any) -> tuple[int, int]:
    """Things and stuff that the config was written for: the first that it says, else COCO's."""
    found = dict(_counts_in(model))
    things = next((found[key] for key in THINGS if key in found), COCO[0])
    return things, found.get(STUFF, COCO[1])


def _counts_in(node: Any) -> Iterable[tuple[str, int]]:
    """Pairs of key and count, those nearest to the root last, so that ``dict`` keeps them."""
    if isinstance(node, Mapping):
        for value in node.values():
            yield from _counts_in(value)
        for key, value in node.items():
            if key in (*THINGS, STUFF) and isinstance(value, int):
                yield key, value
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _counts_in(value)


@dataclass
class _Walk:
    counts: Counts
    old: tuple[int, int]
    signature: Signature
    change: Change

    def node(self, node: Any, path: str) -> Any:
        if isinstance(node, Mapping):
            return self._mapping(node, path)
        if isinstance(node, (list, tuple)):
            return type(node)(self.node(value, f"{path}[{index}]") for index, value in enumerate(node))
        return node

    def _mapping(self, node: Mapping[str, Any], path: str) -> dict[str, Any]:
        changed: dict[str, Any] = {}
        for key, value in node.items():
            where = f"{path}.{key}"
            new = self._count(key, value, self.old)
            if new is not None:
                self.change.counts[where] = (value, new)
                changed[key] = new
            elif key == "class_weight" and _made_for_other_classes(value, self.counts.total):
                self.change.dropped.append(where)
                changed[key] = None
            elif key in ("fg_range", "bg_range") and self.counts.task == "panoptic":
                changed[key] = self._range(key, value, where)
            else:
                changed[key] = self.node(value, where)
        if isinstance(node.get("type"), str):
            self._say_defaults(node["type"], changed, path)
        return changed

    def _count(self, key: str, value: Any, old: tuple[int, int]) -> Optional[int]:
        """The count that belongs at ``key``, or ``None`` where ``key`` holds no class count."""
        if isinstance(value, bool) or not isinstance(value, int):
            return None
        if key in THINGS or key == STUFF:
            return self._thing_or_stuff(key, value)
        if key != CLASSES:
            return None
        return self._panoptic_classes(value, old) if self.counts.task == "panoptic" else self.counts.total

    def _thing_or_stuff(self, key: str, value: int) -> int:
        if self.counts.task == "semantic":
            return self.counts.total if value else 0
        return self.counts.things if key in THINGS else self.counts.stuff

    def _panoptic_classes(self, value: int, old: tuple[int, int]) -> int:
        """A head of a panoptic model may count all classes, things alone, stuff and one for all things, or stuff."""
        things, stuff = old
        meaning = {
            stuff: self.counts.stuff,
            stuff + 1: self.counts.stuff + 1,
            things: self.counts.things,
            things + stuff: self.counts.total,
        }
        return meaning.get(value, self.counts.total)

    def _range(self, key: str, value: Any, where: str) -> tuple[int, int]:
        """First and last label of the things (``fg_range``) or of the stuff (``bg_range``) of PanopticFPN's head."""
        things, total = self.counts.things, self.counts.total
        new = (0, things - 1) if key == "fg_range" else (things, total - 1)
        self.change.counts[where] = (value, new)
        return new

    def _say_defaults(self, kind: str, node: dict[str, Any], path: str) -> None:
        """Say the counts that the constructor of ``kind`` would else take by default."""
        for key, default in self.signature(kind).items():
            where = f"{path}.{key}"
            if key in node or default is REQUIRED:
                continue
            if key in ("fg_range", "bg_range") and self.counts.task == "panoptic":
                node[key] = self._range(key, default, where)
                continue
            if key == CLASSES and not _is_head_or_loss(path):
                continue  # a backbone's num_classes belongs to its own classifier
            new = self._count(key, default, COCO)
            if new is not None and (key != CLASSES or default > 1):
                self.change.counts[where] = (default, new)
                node[key] = new


def _is_head_or_loss(path: str) -> bool:
    last = path.rsplit(".", 1)[-1]
    return "head" in last or last.startswith("loss")


def _made_for_other_classes(value: Any, total: int) -> bool:
    """Whether a list of class weights has neither one for each class nor one more for the background."""
    return isinstance(value, (list, tuple)) and len(value) not in (total, total + 1)


def constructor_parameters(cls: type) -> dict[str, Any]:
    """The parameters that ``cls(...)`` takes by name, with their defaults (``REQUIRED`` where there is none).

    Parameters of a base class count where every constructor between passes its ``**kwargs`` on.
    """
    found: dict[str, Any] = {}
    for owner in cls.__mro__:
        init = owner.__dict__.get("__init__")
        if init is None:
            continue
        parameters = list(inspect.signature(init).parameters.values())[1:]
        for parameter in parameters:
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                default = REQUIRED if parameter.default is parameter.empty else parameter.default
                found.setdefault(parameter.name, default)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    return found
