"""The authors' own stack: mmcv 1.3, mmdet 2 or mmseg 0, with a checkout of K-Net or any config of theirs.

These functions are the stack ``classic`` of :mod:`seg2knet.trainer.stacks`. Importing them imports no package of it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    from seg2knet.doctor.diagnosis import Line
    from seg2knet.doctor.facts import Facts
    from seg2knet.trainer.classic.inference import ClassicSegmenter
    from seg2knet.trainer.evaluate.evaluation import Evaluation
    from seg2knet.trainer.options import TrainOptions
    from seg2knet.trainer.run.session import TrainResult


def available() -> bool:
    """Whether mmdet 2 is what is installed here."""
    from seg2knet.trainer.classic import stack

    return stack.is_installed()


def train(options: TrainOptions, *, knet: Optional[Path] = None, say: Callable[[str], None] = print) -> TrainResult:
    """Train; ``options.config`` is a path or the name of a config of the checkout, mmdet or mmseg."""
    from seg2knet.trainer.classic import run
    from seg2knet.trainer.run.session import TrainResult

    work_dir = run.train(options, knet=knet, config=str(options.config) if options.config else None, say=say)
    return TrainResult(work_dir, work_dir / "config.py")


def evaluate(
    checkpoint: Path,
    data: Optional[Path] = None,
    split: Optional[str] = None,
    *,
    device: Optional[str] = None,
    knet: Optional[Path] = None,
) -> Evaluation:
    """Evaluate a checkpoint that this stack wrote."""
    from seg2knet.trainer.classic import run

    return run.evaluate(checkpoint, data, split, device=device, knet=knet)


def segmenter(checkpoint: Path, device: Optional[str] = None, *, knet: Optional[Path] = None) -> ClassicSegmenter:
    """The model of a checkpoint that this stack wrote."""
    from seg2knet.trainer.classic import run

    return run.segmenter(checkpoint, device, knet=knet)


def convert_checkpoint(content: dict[str, Any], path: Path) -> Optional[dict[str, Any]]:
    """A K-Net checkpoint of this stack with the meta information that the current stack reads."""
    from seg2knet.trainer.classic import convert

    return convert.modernised(content, path) if convert.is_classic(content) else None


def setup(venv: Path, **options: Any) -> None:
    """Make its environment; see :func:`seg2knet.trainer.classic.installation.setup`."""
    from seg2knet.trainer.classic import installation

    installation.setup(venv, **options)


def doctor_lines(facts: Facts, task: Optional[str]) -> Optional[list[Line]]:
    """What the doctor says of its packages; ``None`` where mmdet 2 is not what is installed."""
    from seg2knet.trainer.classic import environment

    return environment.lines(facts, task) if environment.is_classic(facts) else None
