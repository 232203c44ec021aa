"""The OpenMMLab packages, imported without their output."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import pkgutil
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from seg2knet.trainer.openmmlab import operators

_CHATTY = ("matplotlib", "PIL", "tensorboard", "torch.distributed", "torch.nn.parallel.distributed")

_FSDP = "torch.distributed.fsdp"
_SHARDED = ("torch.distributed.optim", _FSDP, f"{_FSDP}.api", f"{_FSDP}.fully_sharded_data_parallel")
_SLOW = (
    "imagecorruptions", "imgaug", "imgaug.augmenters", "imgaug.augmentables.lines", "imgaug.augmentables.segmaps",
    "matplotlib", "matplotlib.colors", "matplotlib.patches", "matplotlib.pyplot",
    "scipy.interpolate", "scipy.linalg", "scipy.ndimage", "scipy.optimize", "scipy.sparse", "scipy.sparse.csgraph",
    "prettytable", "shapely", "shapely.geometry",
    "sklearn", "sklearn.gaussian_process", "sklearn.gaussian_process.kernels", "sklearn.mixture",
)  # fmt: skip


def load(semantic: bool = False) -> None:
    """Import mmdet (and mmseg), with or without mmcv's compiled operators; call it before anything that imports them.

    Raises EnvironmentProblem: mmcv is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
    with silence(), _later(_SHARDED):
        operators.install()
        importlib.import_module("mmengine.runner")
    with silence(), _later(_SLOW):
        for package in ("mmdet", "mmseg") if semantic else ("mmdet",):
            for part in ("datasets.transforms", "models", "evaluation", "visualization"):
                importlib.import_module(f"{package}.{part}")


class _Later(ModuleType):
    """A module, or something in it, that is imported when it is used, which is not before ``imported`` is true."""

    imported = True

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, loader=None)  # importlib.util.find_spec() fails on a module without

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        path = f"{self.__name__}.{name}"
        return pkgutil.resolve_name(path) if self.imported else _Later(path)

    def __call__(self, *given: Any, **named: Any) -> Any:
        return pkgutil.resolve_name(self.__name__)(*given, **named)

    def __mro_entries__(self, _bases: tuple[Any, ...]) -> tuple[()]:
        return ()  # mmengine's classes of sharded optimisers and models, of which no run here makes any


@contextlib.contextmanager
def _later(modules: Sequence[str]) -> Iterator[None]:
    """While mmengine and mmdet are imported, stand-ins for what they import for sharded models, lanes, tracks, plots
    and PAA, most of their import's time.

    Modules that are loaded already are left alone, and none of the stand-ins stays in ``sys.modules``: who imports
    imgaug or scikit-learn later gets the real one.
    """
    stand_ins = {name: _Later(name) for name in modules if name not in sys.modules}
    sys.modules.update(stand_ins)
    _Later.imported = False
    try:
        yield
    finally:
        _Later.imported = True
        for name in stand_ins:
            sys.modules.pop(name, None)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Drop what other packages print, and their warnings, which are theirs to fix."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def dictionaries(node: Any) -> Iterator[Any]:
    """Every dictionary of a config, outer ones first."""
    if isinstance(node, Mapping):
        yield node
    for child in node.values() if isinstance(node, Mapping) else node if isinstance(node, (list, tuple)) else ():
        yield from dictionaries(child)


def values(node: Any, key: str) -> Iterator[Any]:
    """What a config has under ``key``, wherever it stands, outer ones first."""
    return (part[key] for part in dictionaries(node) if key in part)


def first_line(error: BaseException) -> str:
    """The first line of another package's error, or its name where it has no text."""
    return (str(error) or type(error).__name__).splitlines()[0]
