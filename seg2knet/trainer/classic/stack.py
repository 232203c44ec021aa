"""The classic stack itself: what is installed, its configs, its registries. Imports mmcv 1, mmdet 2, mmseg 0 late."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import io
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Optional

from seg2knet.doctor.facts import installed
from seg2knet.errors import EnvironmentProblem, UsageError
from seg2knet.trainer.classic.counts import Signature, constructor_parameters
from seg2knet.trainer.openmmlab import operators

DEFAULTS = {"instance": "knet_s3_r50_fpn_1x_coco", "panoptic": "knet_s3_r50_fpn_1x_coco-panoptic"}
"""The configs of the K-Net release that are taken when none is named."""


def enter(knet: Optional[Path] = None) -> None:
    """Make this process able to import mmdet 2, mmseg 0 and the checkout's modules. Nothing is written anywhere.

    Raises EnvironmentProblem: the packages are not installed; UsageError: ``knet`` is no checkout.
    """
    version = installed("mmdet")
    if version is None or not version.startswith("2."):
        found = f"mmdet {version}" if version else "no mmdet"
        hint = "seg2knet setup classic   makes it; then call .venv-classic/bin/seg2knet train ..."
        raise EnvironmentProblem("the classic stack is not installed in this environment", found=found, hint=hint)
    sys.dont_write_bytecode = True  # importing from the checkout must not leave __pycache__ in it
    logging.captureWarnings(True)  # warnings of packages of 2021 go to the run's log file, not on the screen
    warnings.simplefilter("once")
    logging.getLogger("py.warnings").addHandler(logging.NullHandler())
    logging.getLogger("py.warnings").propagate = False
    with silent():  # torch 1.10 announces that it found CUDA's compiler and no GPU
        operators.install()
        importlib.import_module("mmdet.models")
        importlib.import_module("mmdet.datasets")
    if knet is not None:
        add_checkout(knet)


def package(task: str, part: str) -> Any:
    """A module of the task's package: ``mmseg.models`` for semantic segmentation, else ``mmdet.models``."""
    try:
        with silent():
            return importlib.import_module(f"{'mmseg' if task == 'semantic' else 'mmdet'}.{part}")
    except ModuleNotFoundError as error:
        raise EnvironmentProblem(f"{task} segmentation needs {error.name}", hint="seg2knet doctor") from None


def add_checkout(knet: Path) -> None:
    """Put a checkout of K-Net in front of ``sys.path``. Raises UsageError: it is none, or has moved."""
    checkout = Path(knet).resolve()
    if not (checkout / "configs").is_dir():
        found = "no folder configs in it" if checkout.is_dir() else "no such folder: has it moved?"
        hint = "git clone https://github.com/ZwwWayne/K-Net and name it: --knet ./K-Net"
        raise UsageError("this is no checkout of K-Net", file=knet, found=found, hint=hint)
    if str(checkout) not in sys.path:
        sys.path.insert(0, str(checkout))


def recorded_checkout(record: Mapping[str, Any], knet: Optional[Path]) -> Optional[Path]:
    """The checkout that a run's record names, or ``knet`` where one is given; it is made importable."""
    checkout = knet or (Path(record["knet"]) if record.get("knet") else None)
    if checkout is None:
        return None
    add_checkout(checkout)
    return checkout.resolve()


def config_folders(knet: Optional[Path]) -> list[Path]:
    """Where configs are looked for by name: the checkout's, then those that came with mmdet and mmseg."""
    specs = [importlib.util.find_spec(name) for name in ("mmdet", "mmseg")]
    folders = [Path(knet) / "configs"] if knet else []
    folders += [Path(spec.origin).parent / ".mim" / "configs" for spec in specs if spec and spec.origin]
    return [folder for folder in folders if folder.is_dir()]


def find_config(name: str, knet: Optional[Path] = None) -> Path:
    """The config called ``name``: a path, or a file's name (with ``.py`` or without) in :func:`config_folders`.

    Raises UsageError: there is none, or several in one place.
    """
    if Path(name).is_file():
        return Path(name).resolve()
    stem = Path(name).name.removesuffix(".py")
    known: list[str] = []
    for folder in config_folders(knet):
        files = [file for file in sorted(folder.rglob("*.py")) if "_base_" not in file.parts]
        hits = [file for file in files if file.stem == stem]
        if len(hits) > 1:
            found = ", ".join(str(file.relative_to(folder)) for file in hits)
            raise UsageError("several configs have this name", found=found, hint="give the path of one")
        if hits:
            return hits[0].resolve()
        known += [file.stem for file in files]
    close = difflib.get_close_matches(stem, known, 3, 0.5)
    places = ", ".join(map(str, config_folders(knet))) or "nowhere: no --knet and no configs with mmdet"
    hint = f"did you mean {' or '.join(close)}?" if close else "give a path, or name the checkout: --knet ./K-Net"
    raise UsageError(f"no config is called {name}", found=f"looked in {places}", hint=hint)


def default_config(task: str, knet: Optional[Path]) -> Path:
    """The config taken when none is named, for which a checkout must be."""
    if task in DEFAULTS and knet is not None:
        return find_config(DEFAULTS[task], knet)
    hint = "--config NAME   (of the checkout, mmdet or mmseg, or a path)"
    hint = hint if task == "semantic" else f"--knet ./K-Net   or   {hint}"
    raise UsageError(f"nothing says which {task} model to train", hint=hint)


def load_config(path: Path, run_imports: bool = True) -> dict[str, Any]:
    """The merged config of a file, as plain dicts; ``run_imports``: import the modules of its ``custom_imports`` too.

    Raises UsageError: it cannot be read, or what it imports cannot.
    """
    from mmcv import Config

    try:
        with silent():
            config = Config.fromfile(str(path), import_custom_modules=run_imports)._cfg_dict.to_dict()
    except ImportError as error:
        hint = "name the checkout that has it: --knet ./K-Net"
        raise UsageError("the config's imports fail", file=path, found=str(error), hint=hint) from None
    except (SyntaxError, OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError("the config cannot be read", file=path, found=f"{type(error).__name__}: {error}") from None
    return {key: value for key, value in config.items() if not isinstance(value, (ModuleType, FunctionType))}


def signature_of(task: str) -> Signature:
    """Looks up constructors in the registry of the task's package; see :data:`.counts.Signature`."""
    registry = package(task, "models").builder.MODELS

    def signature(name: str) -> Mapping[str, Any]:
        registered = registry.get(name)
        return constructor_parameters(registered) if isinstance(registered, type) else {}

    return signature


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Swallow what libraries print and log while they load."""
    logging.disable(logging.INFO)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)
