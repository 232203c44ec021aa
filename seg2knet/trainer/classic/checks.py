"""What ``seg2knet doctor`` says of the authors' own stack: its versions, and the failures that it is known for.

Where limits come from: the version checks in mmdet 2.17.0 and mmsegmentation 0.18.0 (``__init__.py``), and runs of this
project.
"""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from packaging.version import Version

from seg2knet.doctor.diagnosis import Line, Package, error, ok, warning
from seg2knet.doctor.facts import Facts

CONSTRAINTS = Path(__file__).with_name("constraints.txt")
PINS = dict(line.split("==") for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines() if line[:1].isalpha())
"""The versions with which the project's own tests of this stack run."""


def _install(*packages: str) -> str:
    return "pip install " + " ".join(f"{name}=={PINS[name]}" for name in packages)


TORCH = _install("torch", "torchvision")
TESTED = "the classic stack was tested with torch 1.10.1 and torchvision 0.11.2 only"
PACKAGES = (
    Package("torch", TORCH, "mmcv 1.3 imports it", "==1.10.*", TESTED, "warning"),
    Package("torchvision", TORCH, "mmcv 1.3 imports it", "==0.11.*", TESTED, "warning"),
    Package(
        "numpy", "pip install 'numpy<1.24'", "everything needs it", "<1.24",
        "mmdet 2 uses np.int and np.bool, which 1.24 removed",
    ),
    Package(
        "mmdet", _install("mmdet"), "the classic stack trains with it", "<2.19",
        "newer than 2.18: it registers names of the K-Net checkout, and importing that fails", "warning",
    ),
    Package("scipy", _install("scipy"), "K-Net's Hungarian assigner imports it at the first step"),
    Package(
        "setuptools", "pip install 'setuptools<60'", None, "<60",
        "60 and later cannot build mmcv-full, and break torch 1.10's TensorBoard", "warning",
    ),
    Package(
        "yapf", "pip install 'yapf<0.40'", None, "<0.40",
        "mmcv 1.3 cannot print a config with it (FormatCode has lost verify)", "warning",
    ),
)  # fmt: skip


def doctor_lines(facts: Facts, task: Optional[str]) -> Optional[list[Line]]:
    """The lines on the classic stack for a task (``None``: all); ``None`` where mmdet 2 is not what is installed."""
    if "mmcv-full" not in facts.versions and not facts.versions.get("mmdet", "").startswith("2."):
        return None
    python = ".".join(map(str, facts.python))
    problem = "there is no torch 1.10.1 for it; the classic stack needs Python 3.9"
    newer = facts.python[:2] > (3, 9)
    semantic = "semantic segmentation needs it" if task == "semantic" else None
    panoptic = "mmdet 2 reads panoptic PNGs with it" if task == "panoptic" else None
    names, repair = ("panopticapi", "panopticapi-lite"), "pip install --no-deps panopticapi-lite"
    return [
        error("python", python, problem, "seg2knet setup classic") if newer else ok("python", python),
        _mmcv(facts),
        *(package.line(facts) for package in PACKAGES),
        Package("mmseg", _install("mmsegmentation"), semantic, distributions=("mmsegmentation",)).line(facts),
        Package("panopticapi", repair, panoptic, distributions=names).line(facts),
    ]


def _mmcv(facts: Facts) -> Line:
    both = [name for name in ("mmcv", "mmcv-full") if name in facts.versions]
    found = ", ".join(f"{name} {facts.versions[name]}" for name in both)
    rebuild = f"pip uninstall -y mmcv mmcv-full && {_install('mmcv-full')} --no-build-isolation"
    if not both:
        return error("mmcv", "not installed", "mmdet 2 and mmseg 0 are built on it", "seg2knet setup classic")
    if len(both) == 2:
        return error("mmcv", found, "two packages with the same files: one has overwritten the other", rebuild)
    if not Version("1.3.13") <= Version(facts.versions[both[0]]) <= Version("1.4.0"):
        problem = "mmdet 2.17 and mmseg 0.18 refuse it: they take 1.3.13 to 1.4.0"
        return error("mmcv", found, problem, f"{_install(both[0])} --no-build-isolation")
    if facts.operators:
        return ok("mmcv", f"{found}, with operators")
    problem = "K-Net trains without; models with boxes (Mask R-CNN) or deformable convolutions (-dcn) do not"
    return warning("mmcv", f"{found}, without operators", problem, f"{rebuild}   (compiles for minutes)")
