"""The authors' own stack: mmcv 1.3, mmdet 2 or mmseg 0, with a checkout of K-Net or any config of theirs.

These functions are the stack ``classic`` of :mod:`seg2knet.trainer.stacks`. Importing them imports no package of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

if TYPE_CHECKING:
    from seg2knet.doctor.diagnosis import Line
    from seg2knet.doctor.facts import Facts
    from seg2knet.trainer.classic.inference import ClassicSegmenter
    from seg2knet.trainer.evaluate.evaluation import Evaluation
    from seg2knet.trainer.options import TrainOptions
    from seg2knet.trainer.run.session import TrainResult

PathLike = Union[str, Path]


def available() -> bool:
    """Whether mmdet 2 is what is installed here."""
    from seg2knet.trainer.classic import stack

    return (stack.mmdet_version() or "").startswith("2.")


def train(options: TrainOptions, **given: Any) -> TrainResult:
    """Train; see :func:`seg2knet.trainer.classic.run.train`."""
    from seg2knet.trainer.classic import run

    return run.train(options, **given)


def evaluate(
    checkpoint: PathLike, data: Optional[Path] = None, split: Optional[str] = None, **given: Any
) -> Evaluation:
    """Evaluate; see :func:`seg2knet.trainer.classic.inference.evaluate`."""
    from seg2knet.trainer.classic import stack

    stack.enter(given.get("knet"))
    from seg2knet.trainer.classic import inference

    return inference.evaluate(checkpoint, data, split, **given)


def segmenter(checkpoint: PathLike, device: Optional[str] = None, **given: Any) -> ClassicSegmenter:
    """The model of a checkpoint; see :class:`seg2knet.trainer.classic.inference.ClassicSegmenter`."""
    from seg2knet.trainer.classic import stack

    stack.enter(given.get("knet"))
    from seg2knet.trainer.classic.inference import ClassicSegmenter

    return ClassicSegmenter(checkpoint, device, **given)


def setup(venv: Path, **given: Any) -> None:
    """Make its environment; see :func:`seg2knet.trainer.classic.installation.setup`."""
    from seg2knet.trainer.classic import installation

    installation.setup(venv, **given)


def doctor_lines(facts: Facts, task: Optional[str]) -> Optional[list[Line]]:
    """What the doctor says of its packages; ``None`` where mmdet 2 is not what is installed."""
    from seg2knet.trainer.classic import checks

    return checks.lines(facts, task) if checks.is_classic(facts) else None
