"""What is on this machine, looked up without judging it: versions, imports, GPUs, driver, disk, shared memory.

Nothing here raises: a package that is broken in any way is a fact with the text of what broke. torch is imported only
where it is installed; mmdet and mmseg, which take seconds, never are.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from types import ModuleType
from typing import Any, Optional

from packaging.requirements import Requirement

STACK = {
    "mmengine": ("onedl-mmengine", "mmengine", "mmengine-lite"),
    "mmcv": ("onedl-mmcv", "mmcv", "mmcv-lite", "mmcv-full"),
    "mmdet": ("onedl-mmdetection", "mmdet"),
    "mmseg": ("onedl-mmsegmentation", "mmsegmentation"),
}
"""Import name -> distributions that install it: the maintained fork, then OpenMMLab's own."""
DISTRIBUTIONS = (
    "torch", "torchvision", "numpy", "scipy", "setuptools", "pycocotools", "panopticapi", "panopticapi-lite",
    *(name for names in STACK.values() for name in names), "ftfy", "regex", "yapf",
    "opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless",
)  # fmt: skip
SMI = ("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
SMI_SECONDS = 2.0


@dataclass(frozen=True)
class Gpu:
    """A GPU that torch sees: ``memory`` in bytes, ``capability`` as (major, minor)."""

    name: str
    memory: int
    capability: tuple[int, int]


@dataclass(frozen=True)
class Torch:
    """What the installed torch says of itself."""

    cuda: Optional[str] = None  # the version it was built with; of ROCm below
    hip: Optional[str] = None
    available: bool = False  # whether it can use a GPU now
    why_not: Optional[str] = None  # what it warned of when it was asked
    arches: tuple[str, ...] = ()  # what it was compiled for: sm_80, compute_90
    gpus: tuple[Gpu, ...] = ()
    mps: bool = False
    bridge: Optional[str] = None  # what broke when it was handed a NumPy array


@dataclass(frozen=True)
class Driver:
    """NVIDIA's driver and the GPUs it has, as nvidia-smi tells."""

    version: str
    gpus: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """All that the judgement in :mod:`seg2knet.doctor.environment` rests on."""

    python: tuple[int, int, int]
    versions: Mapping[str, str]  # of those in DISTRIBUTIONS that are installed
    work_dir: Path
    disk_free: int  # bytes
    writable: bool = True  # whether work_dir can be made and written to
    broken: Mapping[str, str] = field(default_factory=dict)  # installed module -> what its import said
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # distribution -> requirements that are absent
    torch: Optional[Torch] = None
    operators: bool = False  # whether mmcv's compiled operators are there
    driver: Optional[Driver] = None
    shm: Optional[tuple[int, int]] = None  # free and total bytes of /dev/shm

    def first(self, *names: str) -> Optional[str]:
        """The first of these distributions that is installed."""
        return next((name for name in names if name in self.versions), None)


def gather(work_dir: Path) -> Facts:
    """Look at this machine; ``work_dir`` (which need not exist yet) is where training will write."""
    versions = {name: found for name in DISTRIBUTIONS if (found := installed(name)) is not None}
    broken: dict[str, str] = {}

    def load(module: str) -> Any:
        loaded = _load(module)
        if isinstance(loaded, str):
            broken[module] = loaded
        return None if isinstance(loaded, str) else loaded

    for module, prefix in (("numpy", "numpy"), ("cv2", "opencv"), ("pycocotools.mask", "pycocotools")):
        if any(name.startswith(prefix) for name in versions):
            load(module)
    torch = load("torch") if "torch" in versions else None
    # the nearest folder that is there already: the one whose disk the new one will be on
    existing = next(folder for folder in (work_dir.absolute(), *work_dir.absolute().parents) if folder.is_dir())
    shm = shutil.disk_usage("/dev/shm") if os.path.isdir("/dev/shm") else None
    mmcv = load("mmcv") if torch is not None and any(name in versions for name in STACK["mmcv"]) else None
    return Facts(
        python=sys.version_info[:3],
        versions=versions,
        broken=broken,
        missing={name: names for name in versions if "mm" in name and (names := _missing(name))},
        torch=_torch(torch) if torch is not None else None,
        operators=mmcv is not None and _operators(load),
        driver=_driver(),
        work_dir=work_dir,
        disk_free=shutil.disk_usage(existing).free,
        writable=os.access(existing, os.W_OK),
        shm=(shm.free, shm.total) if shm is not None else None,
    )


def installed(name: str) -> Optional[str]:
    """The installed version of a distribution, or ``None``. Imports nothing."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@contextlib.contextmanager
def _quiet() -> Iterator[list[Any]]:
    """Swallows what is printed (torch 1.10 does); gives the list of what is warned of."""
    output = io.StringIO()
    quiet = contextlib.redirect_stderr(output), contextlib.redirect_stdout(output)
    with warnings.catch_warnings(record=True) as said, quiet[0], quiet[1]:
        warnings.simplefilter("always")
        yield said


def _load(module: str) -> ModuleType | str:
    """The module, or what went wrong, in one line."""
    try:
        with _quiet():
            return importlib.import_module(module)
    except Exception as problem:  # a broken package may raise anything; that it broke is the fact
        return next((line for line in str(problem).splitlines() if line.strip()), type(problem).__name__)


def _missing(name: str) -> tuple[str, ...]:
    """Distributions that ``name`` requires without condition and that are not installed."""
    required = [requirement for requirement in map(Requirement, requires(name) or ()) if requirement.marker is None]
    absent = [requirement.name for requirement in required if installed(requirement.name) is None]
    return tuple(name for name in absent if not name.startswith("opencv"))  # any of the four OpenCV packages will do


def _operators(load: Any) -> bool:
    """Whether mmcv's compiled module is there (our stand-in is not) and loads."""
    present = sys.modules.get("mmcv._ext")
    if present is not None:
        return getattr(present, "__file__", None) is not None
    return importlib.util.find_spec("mmcv._ext") is not None and load("mmcv._ext") is not None


def _torch(torch: Any) -> Torch:
    with _quiet() as said:
        available = bool(torch.cuda.is_available())
    seen = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count() if available else 0)]
    mps = getattr(torch.backends, "mps", None)
    return Torch(
        cuda=torch.version.cuda,
        hip=getattr(torch.version, "hip", None),
        available=available,
        why_not=str(said[-1].message).splitlines()[0] if said and not available else None,
        arches=tuple(torch.cuda.get_arch_list()) if available else (),
        gpus=tuple(Gpu(gpu.name, int(gpu.total_memory), (int(gpu.major), int(gpu.minor))) for gpu in seen),
        mps=bool(mps is not None and mps.is_available()),
        bridge=_bridge(torch),
    )


def _bridge(torch: Any) -> Optional[str]:
    """What goes wrong when torch is handed a NumPy array: they may be built for different NumPy ABIs."""
    try:
        with _quiet():
            torch.from_numpy(importlib.import_module("numpy").zeros(1)).numpy()
    except Exception as problem:  # RuntimeError("Numpy is not available"), ImportError of a broken NumPy
        return str(problem).splitlines()[0]
    return None


def _driver() -> Optional[Driver]:
    try:
        done = subprocess.run(SMI, capture_output=True, text=True, timeout=SMI_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    rows = [line.rpartition(",") for line in done.stdout.splitlines() if "," in line]
    return Driver(rows[0][2].strip(), tuple(name.strip() for name, _, _ in rows)) if rows else None
