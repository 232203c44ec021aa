"""Training stacks beside the current one, found by the entry point group ``seg2knet.stacks``.

The current stack is mmengine with mmdet 3 and mmseg 1: the rest of :mod:`seg2knet.trainer`. Another stack is a module
or an object with the functions of :class:`Stack`; importing it must not import its packages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Protocol, Union

from seg2knet import plugins
from seg2knet.errors import UsageError

if TYPE_CHECKING:
    from seg2knet.dataset.classes import ClassList
    from seg2knet.doctor.diagnosis import Line
    from seg2knet.doctor.facts import Facts
    from seg2knet.trainer.evaluate.evaluation import Evaluation
    from seg2knet.trainer.options import TrainOptions
    from seg2knet.trainer.predict.inference import Prediction
    from seg2knet.trainer.run.session import TrainResult

PathLike = Union[str, Path]
GROUP = "seg2knet.stacks"
CURRENT = "mmengine"


class Segmenter(Protocol):
    """A model that segments images; ``task`` is ``instance``, ``panoptic`` or ``semantic``."""

    task: str

    @property
    def classes(self) -> ClassList: ...

    def __call__(self, path: Path) -> Prediction: ...


class Stack(Protocol):
    """What another stack can do. ``knet`` is a checkout of K-Net, ``None`` where none is named."""

    def available(self) -> bool:
        """Whether its packages are installed in this environment."""

    def train(
        self, options: TrainOptions, *, knet: Optional[Path] = None, say: Callable[[str], None] = print
    ) -> TrainResult:
        """Train; see :func:`seg2knet.trainer.run.session.run`."""

    def evaluate(
        self, checkpoint: PathLike, data: Optional[Path] = None, split: Optional[str] = None, **given: Any
    ) -> Evaluation:
        """Evaluate a checkpoint.

        Args:
            checkpoint, data, split: see :func:`seg2knet.trainer.evaluate.evaluation.evaluate`.
            given: ``knet``, and that function's ``show_dir``, ``submission``, ``device``, ``classes``, ``ticked``.
        """

    def segmenter(self, checkpoint: PathLike, device: Optional[str] = None, **given: Any) -> Segmenter:
        """The model of a checkpoint; ``given`` are ``knet`` and ``classes``."""

    def setup(self, venv: Path, **options: Any) -> None:
        """Make an environment for it; ``options`` are those of ``seg2knet setup``."""

    def doctor_lines(self, facts: Facts, task: Optional[str]) -> Optional[list[Line]]:
        """What the doctor says of its packages; ``None`` where they are not the ones installed here."""


def known() -> Mapping[str, Stack]:
    """Name -> stack."""
    return plugins.load(GROUP)


def get(name: str) -> Stack:
    """The stack of that name.

    Raises:
        UsageError: there is none.
    """
    stacks = known()
    if name not in stacks:
        raise UsageError("no such stack", found=name, expected=" | ".join((CURRENT, *stacks)))
    return stacks[name]


def choose(name: Optional[str], knet: Optional[Path] = None) -> Optional[Stack]:
    """The stack to use; ``None`` for the current one.

    Args:
        name: the one asked for; by default the one whose packages are installed here.
        knet: a checkout of K-Net, which the current stack cannot use.

    Raises:
        UsageError: no such stack, or a checkout for the current one.
    """
    if name == CURRENT:
        if knet is not None:
            raise UsageError(
                "--knet is for the classic stack; the current one has its own K-Net", hint="--stack classic"
            )
        return None
    if name is not None:
        return get(name)
    if knet is not None:
        return get("classic")
    return next((stack for stack in known().values() if stack.available()), None)
