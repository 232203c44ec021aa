"""``seg2knet doctor``: is everything here that training needs, do the versions fit, and what mends it if not.

:mod:`seg2knet.doctor.facts` looks; the functions here judge, each one thing, from the facts alone. ``train`` calls
:func:`check` before its first step and stops at errors only.

Where limits come from: the version checks in mmdet 3.3.0 and mmsegmentation 1.2.2 (``__init__.py``), and runs of this
project.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Callable, Optional

from seg2knet import plugins
from seg2knet.doctor import hardware
from seg2knet.doctor.diagnosis import Line, Report, error, ok, warning
from seg2knet.doctor.facts import Facts, Torch, dotted, gather, numbers

TRAIN = "pip install 'seg2knet[train]'"
REINSTALL = "pip install --force-reinstall --no-deps --no-cache-dir "
TRIED = {
    "torch": "2.13.0",
    "onedl-mmengine": "0.10.12",
    "onedl-mmcv": "2.3.6",
    "onedl-mmdetection": "3.5.1",
    "onedl-mmsegmentation": "1.4.2",
    "numpy": "2.2.6",
}
"""The versions with which the project's own tests run (constraints.txt)."""
STACK = {
    "mmengine": ("onedl-mmengine", "mmengine", "mmengine-lite"),
    "mmcv": ("onedl-mmcv", "mmcv", "mmcv-lite", "mmcv-full"),
    "mmdet": ("onedl-mmdetection", "mmdet"),
    "mmseg": ("onedl-mmsegmentation", "mmsegmentation"),
}
"""Import name -> distributions that install it: the maintained fork, then OpenMMLab's own."""


def check(task: Optional[str] = None, device: Optional[str] = None, work_dir: Path = Path(".")) -> Report:
    """Look at this machine and judge it.

    Args:
        task: ``instance``, ``panoptic`` or ``semantic``: packages that only other tasks need are no error then.
        device: ``cuda`` (then a missing GPU is an error) or ``cpu`` (then GPUs are no matter).
        work_dir: where training will write.
    """
    return judge(gather(work_dir), task, device)


def judge(facts: Facts, task: Optional[str] = None, device: Optional[str] = None) -> Report:
    """The report on these facts; see :func:`check`."""
    others = (stack.doctor_lines(facts, task) for stack in plugins.load("seg2knet.stacks").values())
    stack: Optional[list[Line]] = next((lines for lines in others if lines is not None), None)
    if stack is None:
        stack = [*_python(facts), *_torch(facts), *_numpy(facts), *_stack(facts, task), *_versions(facts)]
    tools = [*_opencv(facts), *_pycocotools(facts), *_panopticapi(facts), *_deform(facts)]
    machine = [*hardware.gpus(facts, device), *hardware.disk(facts), *hardware.shared_memory(facts)]
    return Report((*stack, *tools, *machine))


def _python(facts: Facts) -> Iterator[Line]:
    found = dotted(facts.python)
    if facts.python < (3, 10):
        yield error(
            "python",
            found,
            "training on current PyTorch needs Python 3.10 or newer; this one can run the authors' own stack",
            "seg2knet setup classic",
        )
    else:
        yield ok("python", found)


def _torch(facts: Facts) -> Iterator[Line]:
    version = facts.versions.get("torch")
    if version is None:
        yield error("torch", "not installed", "training needs it; convert and validate do not", TRAIN)
        return
    if "torch" in facts.broken or facts.torch is None:
        problem = f"it does not import: {facts.broken.get('torch', 'no reason given')}"
        yield error("torch", version, problem, f"{REINSTALL}torch=={version}")
        return
    build = _build(facts.torch)
    if facts.torch.bridge is not None:
        yield _numpy_clash(facts, f"{version}, {build}", facts.torch.bridge)
    elif numbers(version) < (2, 4):
        yield warning("torch", f"{version}, {build}", "older than any that was tried (2.4)", TRAIN + " --upgrade")
    else:
        yield ok("torch", f"{version}, {build}")


def _build(torch: Torch) -> str:
    if torch.cuda:
        return f"CUDA {torch.cuda}"
    return f"ROCm {torch.hip}" if torch.hip else "CPU build"


def _numpy_clash(facts: Facts, found: str, said: str) -> Line:
    """torch before 2.3 was built for NumPy 1; handed a NumPy 2 array it fails."""
    old = numbers(facts.versions["torch"]) < (2, 3)
    numpy = facts.versions.get("numpy", "none")
    command = "pip install 'numpy<2'" if old else f"{REINSTALL}numpy=={numpy}"
    return error("torch", found, f"it and NumPy {numpy} do not fit one another: {said}", command)


def _numpy(facts: Facts) -> Iterator[Line]:
    version = facts.versions.get("numpy")
    if version is None:
        yield error("numpy", "not installed", "everything needs it", "pip install numpy")
    elif "numpy" in facts.broken:
        problem = f"it does not import: {facts.broken['numpy']}"
        yield error("numpy", version, problem, f"{REINSTALL}numpy=={version}")
    else:
        yield ok("numpy", version)


def _stack(facts: Facts, task: Optional[str]) -> Iterator[Line]:
    needed = {"mmengine", "mmcv", "mmseg" if task == "semantic" else "mmdet"}
    for module, names in STACK.items():
        if facts.first(*names) is not None or module in needed:
            yield _package(facts, module, names)
        elif task is None:
            yield warning(module, "not installed", "semantic segmentation needs it, the other tasks do not", TRAIN)
        else:
            yield ok(module, f"not installed; {task} does without it")


def _package(facts: Facts, module: str, names: tuple[str, ...]) -> Line:
    """One OpenMMLab package: there, once, importable, complete, and of a version that its neighbours take."""
    there = [name for name in names if name in facts.versions]
    if not there:
        return error(module, "not installed", "training needs it; convert and validate do not", TRAIN)
    found = ", ".join(f"{name} {facts.versions[name]}" for name in there)
    if len(there) > 1:
        command = f"pip uninstall -y {' '.join(there)} && pip install {names[0]}"
        return error(module, found, "both write the same files: only one can be installed", command)
    if module in facts.broken:
        again = f"{REINSTALL}{there[0]}=={facts.versions[there[0]]}"
        return error(module, found, f"it does not import: {facts.broken[module]}", again)
    absent = facts.missing.get(there[0])
    if absent:
        return error(
            module, found, f"what it requires is absent: {', '.join(absent)}", f"pip install {' '.join(absent)}"
        )
    if module == "mmcv":
        found += _operators(facts)
    return CLASHES.get(module, _no_clash)(facts, found) or ok(module, found)


def _operators(facts: Facts) -> str:
    if facts.operators:
        return ", with compiled operators"
    said = facts.broken.get("mmcv._ext")
    return ", without compiled operators (K-Net needs none)" + (f"; those it has do not load: {said}" if said else "")


def _no_clash(facts: Facts, found: str) -> Optional[Line]:
    return None


def _mmengine_clash(facts: Facts, found: str) -> Optional[Line]:
    name = facts.first(*STACK["mmengine"]) or ""
    torch = facts.versions.get("torch")
    if torch and numbers(facts.versions[name]) < (0, 10, 8) and numbers(torch) >= (2, 6):
        return warning(
            "mmengine",
            found,
            f"with torch {torch} it cannot load its own checkpoints, so --resume fails (0.10.8 and later can)",
            f"pip uninstall -y {name} && pip install 'onedl-mmengine>={TRIED['onedl-mmengine']}'",
        )
    return None


def _mmcv_clash(facts: Facts, found: str) -> Optional[Line]:
    """OpenMMLab's own mmdet 3 and mmseg 1 refuse, when they are imported, an mmcv of 2.2 or later, or before 2."""
    name = facts.first(*STACK["mmcv"]) or ""
    version = numbers(facts.versions[name])
    strict = [own for own in ("mmdet", "mmsegmentation") if own in facts.versions]
    if version < (2,):
        return error("mmcv", found, "too old for mmdet 3", f"pip uninstall -y {name} && pip install onedl-mmcv")
    if strict and version >= (2, 2):
        problem = f"{' and '.join(f'{own} {facts.versions[own]}' for own in strict)} refuse mmcv 2.2 and later"
        forks = {"mmdet": "onedl-mmdetection", "mmsegmentation": "onedl-mmsegmentation"}
        command = f"pip uninstall -y {' '.join(strict)} && pip install {' '.join(forks[own] for own in strict)}"
        return error("mmcv", found, problem, command)
    return None


CLASHES: dict[str, Callable[[Facts, str], Optional[Line]]] = {"mmengine": _mmengine_clash, "mmcv": _mmcv_clash}


def _versions(facts: Facts) -> Iterator[Line]:
    """Which of the sets that were tried together this one is: no fault if none."""
    have = {name: facts.versions.get(name) for name in TRIED}
    if any(version is None for version in have.values()):
        original = [name for name in ("mmengine", "mmcv", "mmcv-lite", "mmdet") if name in facts.versions]
        if original and not any(name.startswith("onedl") for name in facts.versions):
            yield ok("versions", "OpenMMLab's own packages (tried together: mmengine 0.10, mmcv-lite 2.1, mmdet 3.3)")
        return
    differs = [f"{n} {v} ({TRIED[n]})" for n, v in have.items() if v and numbers(v) != numbers(TRIED[n])]
    yield ok("versions", "tried together" if not differs else f"not all as tried (in brackets): {', '.join(differs)}")


def _opencv(facts: Facts) -> Iterator[Line]:
    names = [name for name in facts.versions if name.startswith("opencv")]
    if not names:
        yield error("opencv", "not installed", "pictures cannot be read", "pip install opencv-python-headless")
        return
    found = ", ".join(f"{name} {facts.versions[name]}" for name in names)
    newest = max((facts.versions[name] for name in names), key=numbers)
    mend = f"pip uninstall -y {' '.join(names)} && pip install --no-deps opencv-python-headless=={newest}"
    said = facts.broken.get("cv2")
    if said is not None:
        gl = "libGL" in said or "libgthread" in said or "libglib" in said
        why = "a display's libraries are missing, which the headless package does without: " if gl else ""
        yield error("opencv", found, f"cv2 does not import: {why}{said}", mend)
    elif len({facts.versions[name] for name in names}) > 1:
        yield warning("opencv", found, "packages of different versions write the same files", mend)
    else:
        yield ok("opencv", found)
    if facts.libgl is not None:
        windowed = [name for name in names if not name.endswith("headless")]
        yield ok("libGL", ("there" if facts.libgl else "absent") + (f"; {windowed[0]} asks for it" if windowed else ""))


def _pycocotools(facts: Facts) -> Iterator[Line]:
    version = facts.versions.get("pycocotools")
    if version is None:
        yield error("pycocotools", "not installed", "masks and evaluation need it", "pip install pycocotools")
    elif "pycocotools.mask" in facts.broken:
        problem = f"it does not import: {facts.broken['pycocotools.mask']}"
        yield error(
            "pycocotools", version, problem, "pip install --force-reinstall --no-deps --no-cache-dir pycocotools"
        )
    else:
        yield ok("pycocotools", version)


def _panopticapi(facts: Facts) -> Iterator[Line]:
    name = facts.first("panopticapi", "panopticapi-lite")
    yield ok("panopticapi", f"{name} {facts.versions[name]}" if name else "not installed; seg2knet computes PQ itself")


def _deform(facts: Facts) -> Iterator[Line]:
    """Deformable convolution, which only the -dcn models want."""
    if facts.operators:
        yield ok("dcn", "mmcv's compiled operator")
    elif "torchvision" in facts.versions:
        yield ok("dcn", f"torchvision {facts.versions['torchvision']}'s operator")
    else:
        yield ok("dcn", "no deformable convolution here (mmcv's or torchvision's): all models but the -dcn ones")
