"""Lets mmdet and mmseg be imported where mmcv was installed without its compiled operators.

pip builds mmcv in an isolated environment, where torch is absent, and therefore without ``mmcv._ext``; ``import mmdet``
then fails although K-Net needs no more than a focal loss of it. :func:`install` puts a module in the place of
``mmcv._ext`` which has that one in PyTorch, and whose every other operator raises when it is *called*. A compiled mmcv
is left alone. No file is written.

torchvision from PyPI has the same problem beside a torch that it was not built for, the CPU's for instance: it fails to
import, and with it timm and mmseg. :func:`declare_torchvision` lets it import.

Works with mmcv 1.x (the classic stack) and 2.x, on Python 3.9 and later.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, NoReturn, Optional

from seg2knet.errors import EnvironmentProblem, extra

NAME = "mmcv._ext"
HINTS = {
    1: "build the operators: pip uninstall -y mmcv && pip install --no-build-isolation mmcv-full==1.3.14",
    2: "pip install --force-reinstall --no-deps --no-build-isolation --no-binary :all: onedl-mmcv  "
    "(needs a C++ compiler and torch installed)",
}
"""Major version of mmcv -> what to do about a missing operator."""


class MissingOperatorError(EnvironmentProblem):
    """A model called a compiled operator of mmcv, and this mmcv has none."""


class StandIn(ModuleType):
    """The module in the place of ``mmcv._ext``: it has every operator by name. ``reason`` says why mmcv's is not there.

    The focal loss computes; every other raises when it is called.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(NAME, "Stands in for mmcv's compiled operators: each raises MissingOperatorError when called.")
        # With a spec that has no loader, mmcv.utils.ext_loader.check_ops_exist() answers False, which is the truth.
        self.__spec__ = ModuleSpec(NAME, loader=None)
        self.reason = reason
        from seg2knet.trainer.openmmlab import focal_loss

        self.sigmoid_focal_loss_forward = focal_loss.sigmoid_focal_loss_forward
        self.sigmoid_focal_loss_backward = focal_loss.sigmoid_focal_loss_backward

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith("__"):  # what inspect, pickle and copy probe for must stay absent
            raise AttributeError(f"module {NAME!r} has no attribute {name!r}")

        def operator(*_args: object, **_kwargs: object) -> NoReturn:
            major = 1 if getattr(sys.modules.get("mmcv"), "__version__", "2").startswith("1.") else 2
            raise MissingOperatorError(
                f"the model calls mmcv's compiled operator {name}, which this installation lacks", found=self.reason,
                expected="an mmcv that was built with its operators",
                hint=f"{HINTS[major]}; or choose a model without that operator",
            )  # fmt: skip

        operator.__name__ = operator.__qualname__ = name
        setattr(self, name, operator)
        return operator


def compiled() -> bool:
    """Whether mmcv's own compiled operators are there and load. Imports mmcv."""
    return _why_not() is None


def install() -> bool:
    """Make ``import mmdet`` and ``import mmseg`` work whether or not mmcv and torchvision have their operators.

    Call it before the first import of either; again it changes nothing. Returns whether the stand-in is used.

    Raises EnvironmentProblem: mmcv itself is not installed.
    """
    declare_torchvision()
    reason = _why_not()
    if reason is not None:
        stand_in = sys.modules.get(NAME)
        if not isinstance(stand_in, StandIn):
            stand_in = sys.modules[NAME] = StandIn(reason)
        sys.modules["mmcv"]._ext = stand_in  # type: ignore[attr-defined]
    return reason is not None


@cache
def declare_torchvision() -> Optional[Any]:
    """Make ``import torchvision`` work where its compiled operators do not load; returns the operators declared for it.

    It registers how the shapes of two of its operators follow, which needs them declared; nothing here calls them.
    They are gone when what is returned is, which the cache keeps.
    """
    import torch

    spec = importlib.util.find_spec("torchvision") if "torchvision" not in sys.modules else None
    if spec is None or spec.origin is None or not hasattr(torch, "library"):  # torch 1.10 has none
        return None
    compiled_files = [file for file in Path(spec.origin).parent.glob("_C*") if file.suffix in (".so", ".pyd")]
    with contextlib.suppress(OSError):
        for file in compiled_files:
            torch.ops.load_library(str(file))
            return None
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


def _why_not() -> Optional[str]:
    """Why the compiled module does not load; ``None`` where it does."""
    present = sys.modules.get(NAME)
    if present is not None:
        return present.reason if isinstance(present, StandIn) else None
    if importlib.util.find_spec("mmcv") is None:
        raise EnvironmentProblem("mmcv is not installed", hint=extra("train"))
    if importlib.util.find_spec(NAME) is None:
        return "mmcv was installed without compiled operators"
    try:
        importlib.import_module(NAME)
    except (ImportError, OSError) as error:  # built for another torch: of no use, but the reason differs
        return f"mmcv's compiled operators do not load: {str(error).splitlines()[0]}"
    return None
