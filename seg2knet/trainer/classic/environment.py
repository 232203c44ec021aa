"""What ``seg2knet doctor`` says of the authors' own stack: its versions, and the failures that it is known for.

Where limits come from: the version checks in mmdet 2.17.0 and mmsegmentation 0.18.0 (``__init__.py``), and runs of this
project.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

from seg2knet.doctor.diagnosis import Line, error, ok, warning
from seg2knet.doctor.facts import Facts, dotted, numbers

SETUP = "seg2knet setup classic"
NEWEST_MMDET = (2, 18)
"""The newest mmdet whose registry has no name that the K-Net checkout registers too."""
MMCV_RANGE = ((1, 3, 13), (1, 4, 0))
PINS = {
    "torch": "1.10.1",
    "torchvision": "0.11.2",
    "mmcv": "1.3.14",
    "mmcv-full": "1.3.14",
    "mmdet": "2.17.0",
    "mmsegmentation": "0.18.0",
}
"""The versions with which the project's own tests of this stack run."""


def is_classic(facts: Facts) -> bool:
    """Whether mmdet 2 is what is installed here."""
    mmdet = facts.versions.get("mmdet")
    return "mmcv-full" in facts.versions or (mmdet is not None and numbers(mmdet) < (3,))


def lines(facts: Facts, task: Optional[str]) -> list[Line]:
    """The lines on the classic stack, in the order in which they are to be mended.

    Args:
        facts: what is on the machine.
        task: ``instance``, ``panoptic``, ``semantic``, or ``None`` for all.
    """
    found = [*_python(facts), *_torch(facts), *_numpy(facts), *_mmcv(facts), *_mmdet(facts), *_mmseg(facts, task)]
    return [*found, *_panoptic(facts, task), *_tools(facts)]


def clash(mmdet: str) -> bool:
    """Whether this mmdet's registry clashes with the K-Net checkout."""
    return numbers(mmdet)[:2] > NEWEST_MMDET


def _install(*packages: str) -> str:
    return "pip install " + " ".join(f"{name}=={PINS[name]}" for name in packages)


def _python(facts: Facts) -> Iterator[Line]:
    found = dotted(facts.python)
    if facts.python[:2] > (3, 9):
        yield error("python", found, "torch 1.10.1 is not to be had for it; the classic stack needs Python 3.9", SETUP)
    else:
        yield ok("python", found)


def _torch(facts: Facts) -> Iterator[Line]:
    for name in ("torch", "torchvision"):
        version = facts.versions.get(name)
        if version is None:
            yield error(name, "not installed", "mmcv 1.3 imports it", _install("torch", "torchvision"))
        elif name in facts.broken:
            yield error(name, version, f"it does not import: {facts.broken[name]}", _install("torch", "torchvision"))
        elif numbers(version)[:2] != numbers(PINS[name])[:2]:
            problem = f"the classic stack was tried with {PINS[name]} alone"
            yield warning(name, version, problem, _install("torch", "torchvision"))
        else:
            yield ok(name, version)


def _numpy(facts: Facts) -> Iterator[Line]:
    version = facts.versions.get("numpy")
    if version is None:
        yield error("numpy", "not installed", "everything needs it", "pip install 'numpy<1.24'")
    elif numbers(version) >= (1, 24):
        yield error(
            "numpy", version, "mmdet 2 uses np.int and np.bool, which 1.24 took away", "pip install 'numpy<1.24'"
        )
    else:
        yield ok("numpy", version)


def _mmcv(facts: Facts) -> Iterator[Line]:
    both = [name for name in ("mmcv", "mmcv-full") if name in facts.versions]
    if not both:
        yield error("mmcv", "not installed", "mmdet 2 and mmseg 0 stand on it", SETUP)
        return
    found = ", ".join(f"{name} {facts.versions[name]}" for name in both)
    if len(both) == 2:
        mend = f"pip uninstall -y mmcv mmcv-full && {_install('mmcv-full')} --no-build-isolation"
        yield error("mmcv", found, "two packages with the same files: one has overwritten the other", mend)
        return
    low, high = MMCV_RANGE
    if not low <= numbers(facts.versions[both[0]])[:3] <= high:
        problem = f"mmdet 2.17 and mmseg 0.18 refuse it: they take {dotted(low)} to {dotted(high)}"
        yield error("mmcv", found, problem, f"{_install(both[0])} --no-build-isolation")
    elif not facts.operators:
        yield warning(
            "mmcv",
            f"{found}, without operators",
            "K-Net trains without; models with boxes (Mask R-CNN) or deformable convolutions do not",
            f"pip uninstall -y mmcv mmcv-full && {_install('mmcv-full')} --no-build-isolation   (compiles for minutes)",
        )
    else:
        yield ok("mmcv", f"{found}, with operators")


def _mmdet(facts: Facts) -> Iterator[Line]:
    version = facts.versions.get("mmdet")
    if version is None:
        yield error("mmdet", "not installed", "the classic stack trains with it", _install("mmdet"))
    elif clash(version):
        problem = (
            "newer than 2.18: its registry has names that the K-Net checkout registers too, and importing it fails"
        )
        yield warning("mmdet", version, problem, _install("mmdet"))
    else:
        yield ok("mmdet", version)


def _mmseg(facts: Facts, task: Optional[str]) -> Iterator[Line]:
    version = facts.versions.get("mmsegmentation")
    if version is not None:
        yield ok("mmseg", version)
    elif task == "semantic":
        yield error("mmseg", "not installed", "semantic segmentation needs it", _install("mmsegmentation"))
    else:
        yield ok("mmseg", "not installed; only semantic segmentation needs it")


def _panoptic(facts: Facts, task: Optional[str]) -> Iterator[Line]:
    if task == "panoptic" and facts.first("panopticapi", "panopticapi-lite") is None:
        mend = "pip install --no-deps panopticapi-lite"
        yield error("panopticapi", "not installed", "mmdet 2 reads panoptic PNGs with it", mend)


def _tools(facts: Facts) -> Iterator[Line]:
    setuptools = facts.versions.get("setuptools")
    if setuptools is not None and numbers(setuptools) >= (60,):
        problem = "60 and later cannot build mmcv-full, and break torch 1.10's TensorBoard"
        yield warning("setuptools", setuptools, problem, "pip install 'setuptools<60'")
    yapf = facts.versions.get("yapf")
    if yapf is not None and numbers(yapf) >= (0, 40):
        problem = "mmcv 1.3 cannot print a config with it (FormatCode has lost verify)"
        yield warning("yapf", yapf, problem, "pip install 'yapf<0.40'")
