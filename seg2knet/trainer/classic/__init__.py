"""The authors' own stack: mmcv 1.3, mmdet 2 or mmseg 0, with a checkout of K-Net or any config of theirs.

These functions are the stack ``classic`` of :mod:`seg2knet.trainer.stacks`. Importing them imports no package of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    from seg2knet.doctor.diagnosis import Line
    from seg2knet.doctor.facts import Facts


def available() -> bool:
    """Whether mmdet 2 is what is installed here."""
    from seg2knet.trainer.classic import stack

    return (stack.mmdet_version() or "").startswith("2.")


def train(options: Any, **given: Any) -> Any:
    """Train; see :func:`seg2knet.trainer.classic.run.train`."""
    from seg2knet.trainer.classic import run

    return run.train(options, **given)


def evaluate(*given: Any, **named: Any) -> Any:
    """Evaluate; see :func:`seg2knet.trainer.classic.inference.evaluate`."""
    return _inference(named).evaluate(*given, **named)


def segmenter(*given: Any, **named: Any) -> Any:
    """The model of a checkpoint; see :class:`seg2knet.trainer.classic.inference.ClassicSegmenter`."""
    return _inference(named).ClassicSegmenter(*given, **named)


def _inference(named: dict[str, Any]) -> Any:
    from seg2knet.trainer.classic import stack

    stack.enter(named.get("knet"))
    from seg2knet.trainer.classic import inference

    return inference


def setup(venv: Path, **given: Any) -> None:
    """Make its environment; see :func:`seg2knet.trainer.classic.installation.setup`."""
    from seg2knet.trainer.classic import installation

    installation.setup(venv, **given)


def doctor_lines(facts: Facts, task: Optional[str]) -> Optional[list[Line]]:
    """What the doctor says of its packages; ``None`` where mmdet 2 is not what is installed."""
    from seg2knet.trainer.classic import checks

    return checks.lines(facts, task)
