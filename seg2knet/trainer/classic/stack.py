"""The classic stack itself: what is installed, its configs, its registries. Imports mmcv 1, mmdet 2, mmseg 0 late."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import io
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Optional

from seg2knet.errors import EnvironmentProblem, UsageError
from seg2knet.trainer.classic import environment, ops
from seg2knet.trainer.classic.counts import Signature, constructor_parameters

DEFAULTS = {"instance": "knet_s3_r50_fpn_1x_coco", "panoptic": "knet_s3_r50_fpn_1x_coco-panoptic"}
"""The configs of the K-Net release that are taken when none is named."""


def installed_version(package: str) -> Optional[str]:
    """The version of an installed package, or ``None``. Imports nothing."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def is_installed() -> bool:
    """Whether mmdet 2 is what is installed here: then the classic stack is chosen by itself."""
    return (installed_version("mmdet") or "").startswith("2.")


def require(task: Optional[str] = None) -> None:
    """
    Raises:
        EnvironmentProblem: the packages of the classic stack are not installed here.
    """
    found = installed_version("mmdet")
    if found is None or not found.startswith("2."):
        raise EnvironmentProblem(
            "the classic stack is not installed in this environment",
            found=f"mmdet {found}" if found else "no mmdet",
            expected="mmdet 2.17.0, in a Python 3.9 environment of its own",
            hint="seg2knet setup classic   makes it; then call .venv-classic/bin/seg2knet train ...",
        )
    wanted = {"semantic": ("mmsegmentation", "0.18.0"), "panoptic": ("panopticapi-lite", "0.2.0")}.get(task or "")
    if wanted and installed_version(wanted[0]) is None and installed_version("panopticapi") is None:
        raise EnvironmentProblem(
            f"{task} segmentation needs {wanted[0]}",
            hint=f"{sys.executable} -m pip install --no-deps {wanted[0]}=={wanted[1]}",
        )


def require_for_checkout() -> None:
    """
    Raises:
        EnvironmentProblem: this mmdet and the checkout of K-Net cannot be imported together.
    """
    version = installed_version("mmdet") or ""
    if environment.clash(version):
        raise EnvironmentProblem(
            "the K-Net checkout needs an older mmdet: both register the same names",
            found=f"mmdet {version}",
            expected="mmdet 2.17.0",
            hint=f"{sys.executable} -m pip install mmdet==2.17.0",
        )


def enter(knet: Optional[Path] = None) -> None:
    """Make this process able to import mmdet 2, mmseg 0 and the checkout's modules. Nothing is written anywhere.

    Args:
        knet: the checkout of K-Net; it goes in front of ``sys.path``, so that no PYTHONPATH is asked for.

    Raises:
        EnvironmentProblem: the packages are not installed.
        UsageError: ``knet`` is no checkout.
    """
    sys.dont_write_bytecode = True  # importing from the checkout must not leave __pycache__ in it
    _quiet()
    with silent():  # torch 1.10 announces that it found CUDA's compiler and no GPU
        ops.install()
        importlib.import_module("mmdet.models")
        importlib.import_module("mmdet.datasets")
    if knet is not None:
        add_checkout(knet)


def import_mmseg() -> None:
    """Import mmseg's registries."""
    with silent():
        importlib.import_module("mmseg.models")
        importlib.import_module("mmseg.datasets")


def enter_checkout_of(config: Path) -> None:
    """Make the modules importable that a written config's own checkout has."""
    from mmcv import Config

    knet = Config.fromfile(str(config), import_custom_modules=False).get("seg2knet", {}).get("knet")
    if knet:
        add_checkout(Path(knet))


def _quiet() -> None:
    """Keep the warnings of packages of 2021 off the screen; the run's log file has them."""
    logging.captureWarnings(True)
    warnings.simplefilter("once")
    logging.getLogger("py.warnings").addHandler(logging.NullHandler())
    logging.getLogger("py.warnings").propagate = False


def add_checkout(knet: Path) -> None:
    """
    Raises:
        UsageError: ``knet`` is no checkout of K-Net.
    """
    checkout = Path(knet).resolve()
    if not (checkout / "configs").is_dir():
        raise UsageError(
            "this is no checkout of K-Net",
            file=knet,
            found="no folder configs" if checkout.is_dir() else "no such folder",
            expected="a folder with configs/det/knet and the package knet",
            hint="git clone https://github.com/ZwwWayne/K-Net and name it: --knet ./K-Net",
        )
    if str(checkout) not in sys.path:
        sys.path.insert(0, str(checkout))


def config_folders(knet: Optional[Path]) -> list[Path]:
    """Where configs are looked for by name: the checkout's, then those that came with mmdet and mmseg."""
    folders = [Path(knet) / "configs"] if knet else []
    for package in ("mmdet", "mmseg"):
        with contextlib.suppress(ModuleNotFoundError):
            spec = importlib.util.find_spec(package)
            if spec and spec.origin:
                folders.append(Path(spec.origin).parent / ".mim" / "configs")
    return [folder for folder in folders if folder.is_dir()]


def find_config(name: str, knet: Optional[Path] = None) -> Path:
    """The config called ``name``: a path, or a file's name (with ``.py`` or without) in :func:`config_folders`.

    Raises:
        UsageError: there is none, or several in one place.
    """
    path = Path(name)
    if path.is_file():
        return path.resolve()
    stem = path.name[:-3] if path.name.endswith(".py") else path.name
    known: list[str] = []
    for folder in config_folders(knet):
        files = [file for file in sorted(folder.rglob("*.py")) if "_base_" not in file.parts]
        hits = [file for file in files if file.stem == stem]
        if len(hits) > 1:
            raise UsageError(
                "several configs have this name",
                found=", ".join(str(file.relative_to(folder)) for file in hits),
                hint="give the path of one",
            )
        if hits:
            return hits[0].resolve()
        known += [file.stem for file in files]
    close = difflib.get_close_matches(stem, known, 3, 0.5)
    places = ", ".join(map(str, config_folders(knet))) or "nowhere: no --knet and no configs with mmdet"
    raise UsageError(
        f"no config is called {name}",
        found=f"looked in {places}",
        expected="a path, or the name of a config of the checkout, mmdet or mmseg",
        hint=f"did you mean {' or '.join(close)}?" if close else "name the checkout: --knet ./K-Net",
    )


def default_config(task: str, knet: Optional[Path]) -> Path:
    """The config taken when none is named.

    Raises:
        UsageError: no checkout was named, or there is no default for the task.
    """
    if knet is None:
        raise UsageError(
            "nothing says which model to train",
            expected="a checkout of K-Net, or a config",
            hint="--knet ./K-Net   or   --config NAME   (a name of mmdet's or mmseg's, or a path)",
        )
    if task in DEFAULTS:
        return find_config(DEFAULTS[task], knet)
    folder = Path(knet) / "configs"
    names = sorted({file.stem for file in folder.rglob("*.py") if "ade" in file.stem and "_base_" not in file.parts})
    raise UsageError(
        "there are several semantic models: name one",
        expected=", ".join(names) if names else "a config of mmseg",
        hint=f"--config {names[0] if names else 'fcn_r50-d8_512x512_80k_ade20k'}",
    )


def load_config(path: Path) -> dict[str, Any]:
    """The merged config of a file, as plain dicts; its ``custom_imports`` are carried out.

    Raises:
        UsageError: it cannot be read, or what it imports cannot.
    """
    from mmcv import Config

    try:
        config = Config.fromfile(str(path))._cfg_dict.to_dict()
    except ImportError as error:
        raise UsageError(
            "the config imports a module that cannot be imported",
            file=path,
            found=str(error),
            hint="name the checkout that has it: --knet ./K-Net",
        ) from None
    except (SyntaxError, OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError("the config cannot be read", file=path, found=f"{type(error).__name__}: {error}") from None
    return config


def signature_of(task: str) -> Signature:
    """Looks up constructors in the registry of the task's package; see :data:`.counts.Signature`."""
    registry = importlib.import_module("mmseg.models" if task == "semantic" else "mmdet.models").builder.MODELS
    return _Signatures(registry)


class _Signatures:
    def __init__(self, registry: Any) -> None:
        self.registry = registry

    def __call__(self, name: str) -> Mapping[str, Any]:
        cls = self.registry.get(name)
        return constructor_parameters(cls) if isinstance(cls, type) else {}


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Swallow what libraries print while they load."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
