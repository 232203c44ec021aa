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
    from seg2knet.doctor.facts import installed

    return (installed("mmdet") or "").startswith("2.")


def train(options: Any, **named: Any) -> Any:
    """See :func:`seg2knet.trainer.classic.run.train`."""
    from seg2knet.trainer.classic import run

    return run.train(options, **named)


def evaluate(*given: Any, **named: Any) -> Any:
    """See :func:`seg2knet.trainer.classic.inference.evaluate`."""
    return _inference(named.get("knet")).evaluate(*given, **named)


def segmenter(*given: Any, **named: Any) -> Any:
    """See :class:`seg2knet.trainer.classic.inference.ClassicSegmenter`."""
    return _inference(named.get("knet")).ClassicSegmenter(*given, **named)


def _inference(knet: Optional[Path]) -> Any:
    from seg2knet.trainer.classic import stack

    stack.enter(knet)  # before anything of mmcv is imported
    from seg2knet.trainer.classic import inference

    return inference


def setup(venv: Path, **options: Any) -> None:
    """See :func:`seg2knet.trainer.classic.installation.setup`."""
    from seg2knet.trainer.classic import installation

    installation.setup(venv, **options)


def doctor_lines(facts: Facts, task: Optional[str]) -> Optional[list[Line]]:
    """See :func:`seg2knet.trainer.classic.checks.lines`."""
    from seg2knet.trainer.classic import checks

    return checks.lines(facts, task)
