"""Training stacks beside the current one, found by the entry point group ``seg2knet.stacks``.

The current stack is mmengine with mmdet 3 and mmseg 1: the rest of :mod:`seg2knet.trainer`. Another stack is a module
or an object whose import does not import its packages, with these functions (`given` has ``knet``, a K-Net checkout):

- ``available()``: whether its packages are installed in this environment
- ``train(options, *, knet, say)``: see :func:`seg2knet.trainer.run.session.run`
- ``evaluate(checkpoint, data, split, **given)``: see :func:`seg2knet.trainer.evaluate.evaluation.evaluate`
- ``segmenter(checkpoint, device, **given)``: a model with ``task`` and ``classes``; called with a path it predicts
- ``setup(venv, **options)``: make an environment for it; the options are those of ``seg2knet setup``
- ``doctor_lines(facts, task)``: what the doctor says of its packages, ``None`` where they are not installed here
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from seg2knet import plugins
from seg2knet.errors import UsageError

GROUP = "seg2knet.stacks"
CURRENT = "mmengine"


def known() -> Mapping[str, Any]:
    """Name -> stack."""
    return plugins.load(GROUP)


def get(name: str) -> Any:
    """The stack of that name. Raises UsageError: there is none."""
    stacks = known()
    if name not in stacks:
        raise UsageError("no such stack", found=name, expected=" | ".join((CURRENT, *stacks)))
    return stacks[name]


def choose(name: Optional[str], knet: Optional[Path] = None) -> Optional[Any]:
    """The stack asked for, else the one whose packages are installed here; ``None`` for the current one.

    Raises UsageError: no such stack, or ``knet``, a checkout of K-Net, for the current one, which cannot use it.
    """
    if name == CURRENT:
        if knet is not None:
            message = "--knet is for the classic stack; the current one has its own K-Net"
            raise UsageError(message, hint="--stack classic")
        return None
    if name is not None or knet is not None:
        return get(name or "classic")
    return next((stack for stack in known().values() if stack.available()), None)
