"""The authors' own stack: mmcv 1.3, mmdet 2 or mmseg 0, with a checkout of K-Net or any config of theirs.

These functions, and those of ``ELSEWHERE``, are the stack ``classic`` of :mod:`seg2knet.trainer.stacks`. Importing them
imports no package of it.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Optional

ELSEWHERE = {"train": "run", "setup": "installation", "doctor_lines": "checks"}
"""Function -> module, imported when it is asked for."""


def __getattr__(name: str) -> Any:
    if name not in ELSEWHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{ELSEWHERE[name]}"), name)


def available() -> bool:
    """Whether mmdet 2 is what is installed here."""
    from seg2knet.doctor.facts import installed

    return (installed("mmdet") or "").startswith("2.")


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
