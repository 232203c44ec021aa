"""What ``seg2knet doctor`` says of the authors' own stack: its versions, and the failures that it is known for.

Where limits come from: the version checks in mmdet 2.17.0 and mmsegmentation 0.18.0 (``__init__.py``), and runs of this
project.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

from packaging.version import Version

from seg2knet.doctor.diagnosis import Line, error, ok, warning
from seg2knet.doctor.facts import Facts

SETUP = "seg2knet setup classic"
PINS = {
    "torch": "1.10.1",
    "torchvision": "0.11.2",
    "mmcv": "1.3.14",
    "mmcv-full": "1.3.14",
    "mmdet": "2.17.0",
    "mmsegmentation": "0.18.0",
    "scipy": "1.13.1",
    "panopticapi-lite": "0.2.0",
}
"""The versions with which the project's own tests of this stack run."""


def is_classic(facts: Facts) -> bool:
    """Whether mmdet 2 is what is installed here."""
    mmdet = facts.version("mmdet")
    return "mmcv-full" in facts.versions or (mmdet is not None and mmdet < Version("3"))


def clash(mmdet: str) -> bool:
    """Whether this mmdet's registry has names that the K-Net checkout registers too: 2.18 is the last without."""
    return Version(mmdet) >= Version("2.19")


def lines(facts: Facts, task: Optional[str]) -> list[Line]:
    """The lines on the classic stack, in the order in which they are to be repaired.

    Args:
        facts: what is on the machine.
        task: ``instance``, ``panoptic``, ``semantic``, or ``None`` for all.
    """
    return [*_python(facts), *_torch(facts), *_numpy(facts), *_mmcv(facts), *_packages(facts, task), *_tools(facts)]


def _install(*packages: str) -> str:
    return "pip install " + " ".join(f"{name}=={PINS[name]}" for name in packages)


def _python(facts: Facts) -> Iterator[Line]:
    found = ".".join(map(str, facts.python))
    if facts.python[:2] > (3, 9):
        yield error("python", found, "there is no torch 1.10.1 for it; the classic stack needs Python 3.9", SETUP)
    else:
        yield ok("python", found)


def _torch(facts: Facts) -> Iterator[Line]:
    repair = _install("torch", "torchvision")
    for name in ("torch", "torchvision"):
        version = facts.version(name)
        if version is None:
            yield error(name, "not installed", "mmcv 1.3 imports it", repair)
        elif name in facts.broken:
            yield error(name, str(version), f"it does not import: {facts.broken[name]}", repair)
        elif version.release[:2] != Version(PINS[name]).release[:2]:
            yield warning(name, str(version), f"the classic stack was tested with {PINS[name]} only", repair)
        else:
            yield ok(name, str(version))


def _numpy(facts: Facts) -> Iterator[Line]:
    version = facts.version("numpy")
    if version is None:
        yield error("numpy", "not installed", "everything needs it", "pip install 'numpy<1.24'")
    elif version >= Version("1.24"):
        problem = "mmdet 2 uses np.int and np.bool, which 1.24 removed"
        yield error("numpy", str(version), problem, "pip install 'numpy<1.24'")
    else:
        yield ok("numpy", str(version))


def _mmcv(facts: Facts) -> Iterator[Line]:
    both = [name for name in ("mmcv", "mmcv-full") if name in facts.versions]
    if not both:
        yield error("mmcv", "not installed", "mmdet 2 and mmseg 0 are built on it", SETUP)
        return
    found = ", ".join(f"{name} {facts.versions[name]}" for name in both)
    reinstall = f"pip uninstall -y mmcv mmcv-full && {_install('mmcv-full')} --no-build-isolation"
    if len(both) == 2:
        yield error("mmcv", found, "two packages with the same files: one has overwritten the other", reinstall)
    elif not Version("1.3.13") <= Version(facts.versions[both[0]]) <= Version("1.4.0"):
        problem = "mmdet 2.17 and mmseg 0.18 refuse it: they take 1.3.13 to 1.4.0"
        yield error("mmcv", found, problem, f"{_install(both[0])} --no-build-isolation")
    elif not facts.operators:
        yield warning(
            "mmcv",
            f"{found}, without operators",
            "K-Net trains without; models with boxes (Mask R-CNN) or deformable convolutions (-dcn) do not",
            f"{reinstall}   (compiles for minutes)",
        )
    else:
        yield ok("mmcv", f"{found}, with operators")


def _packages(facts: Facts, task: Optional[str]) -> Iterator[Line]:
    mmdet = facts.versions.get("mmdet")
    if mmdet is None:
        yield error("mmdet", "not installed", "the classic stack trains with it", _install("mmdet"))
    elif clash(mmdet):
        problem = "newer than 2.18: it registers names that the K-Net checkout registers too, and importing that fails"
        yield warning("mmdet", mmdet, problem, _install("mmdet"))
    else:
        yield ok("mmdet", mmdet)
    mmseg = facts.versions.get("mmsegmentation")
    if mmseg is not None:
        yield ok("mmseg", mmseg)
    elif task == "semantic":
        yield error("mmseg", "not installed", "semantic segmentation needs it", _install("mmsegmentation"))
    else:
        yield ok("mmseg", "not installed; only semantic segmentation needs it")
    if "scipy" in facts.versions:
        yield ok("scipy", facts.versions["scipy"])
    else:
        yield error(
            "scipy", "not installed", "K-Net's Hungarian assigner imports it at the first step", _install("scipy")
        )
    if task == "panoptic" and facts.first("panopticapi", "panopticapi-lite") is None:
        repair = "pip install --no-deps panopticapi-lite"
        yield error("panopticapi", "not installed", "mmdet 2 reads panoptic PNGs with it", repair)


def _tools(facts: Facts) -> Iterator[Line]:
    for name, limit, problem in (
        ("setuptools", "60", "60 and later cannot build mmcv-full, and break torch 1.10's TensorBoard"),
        ("yapf", "0.40", "mmcv 1.3 cannot print a config with it (FormatCode has lost verify)"),
    ):
        version = facts.version(name)
        if version is not None and version >= Version(limit):
            yield warning(name, str(version), problem, f"pip install '{name}<{limit}'")
