"""``seg2knet doctor``: is everything here that training needs, do the versions fit, and what repairs it if not.

:mod:`seg2knet.doctor.facts` gathers facts about the machine; the functions here turn them into lines, each one thing.
``train`` calls :func:`check` before its first step and stops at errors only.

Where limits come from: the version checks in mmdet 3.3.0 and mmsegmentation 1.2.2 (``__init__.py``), NVIDIA's table of
minimum driver versions for minor-version compatibility (CUDA release notes), and runs of this project.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

from packaging.version import Version

from seg2knet import plugins
from seg2knet.doctor.diagnosis import REINSTALL, Line, Package, Report, error, ok, warning
from seg2knet.doctor.facts import STACK, Driver, Facts, Torch, gather
from seg2knet.errors import extra

NEEDED = "training needs it; convert and validate do not"
TESTED = {
    "torch": "2.13.0",
    "onedl-mmengine": "0.10.12",
    "onedl-mmcv": "2.3.6",
    "onedl-mmdetection": "3.5.1",
    "onedl-mmsegmentation": "1.4.2",
    "numpy": "2.2.6",
}
"""The versions with which the project's own tests run (constraints.txt)."""
NUMPY = Package("numpy", "pip install numpy", "everything needs it")
COCOTOOLS = Package("pycocotools", "pip install pycocotools", "masks and evaluation need it", module="pycocotools.mask")


def check(task: Optional[str] = None, device: Optional[str] = None, work_dir: Path = Path(".")) -> Report:
    """Check this machine; ``work_dir`` is where training will write.

    With a ``task`` packages that only other tasks need are no error; with the ``device`` ``cuda`` a missing GPU is one,
    and with ``cpu`` GPUs do not matter.
    """
    return judge(gather(work_dir), task, device)


def judge(facts: Facts, task: Optional[str] = None, device: Optional[str] = None) -> Report:
    """The report on these facts; see :func:`check`."""
    others = (stack.doctor_lines(facts, task) for stack in plugins.load("seg2knet.stacks").values())
    packages = next((lines for lines in others if lines is not None), None)
    if packages is None:
        packages = [_python(facts), _torch(facts), NUMPY.line(facts)]
        packages += [*_stack(facts, task), *_tested(facts), _dcn(facts)]
    machine = (*gpus(facts, device), disk(facts), *shared_memory(facts))
    return Report((*packages, _opencv(facts), COCOTOOLS.line(facts), *machine))


def _python(facts: Facts) -> Line:
    found = ".".join(map(str, facts.python))
    problem = "training on current PyTorch needs Python 3.10 or newer; this one can run the authors' own stack"
    if facts.python >= (3, 10):
        return ok("python", found)
    return error("python", found, problem, "seg2knet setup classic")


def _torch(facts: Facts) -> Line:
    line = Package("torch", extra("train"), NEEDED).line(facts)
    if line.status != "ok" or facts.torch is None:
        return line
    version, bridge = Version(facts.versions["torch"]), facts.torch.bridge
    builds = {"CUDA": facts.torch.cuda, "ROCm": facts.torch.hip}
    found = f"{version}, " + next((f"{name} {build}" for name, build in builds.items() if build), "CPU build")
    if bridge is not None:  # torch before 2.3 was built for NumPy 1; handed a NumPy 2 array it fails
        numpy = facts.versions.get("numpy", "none")
        command = "pip install 'numpy<2'" if version < Version("2.3") else f"{REINSTALL}numpy=={numpy}"
        return error("torch", found, f"it and NumPy {numpy} do not fit one another: {bridge}", command)
    if version < Version("2.4"):
        return warning("torch", found, "older than any that was tested (2.4)", extra("train") + " --upgrade")
    return ok("torch", found)


def _stack(facts: Facts, task: Optional[str]) -> list[Line]:
    lines, optional = [], "mmdet" if task == "semantic" else "mmseg"
    for module, names in STACK.items():
        line = ok(module, f"not installed; {task} does without it")
        if facts.first(*names) is not None or module != optional:
            line = _openmmlab(facts, module, names)
        elif task is None:
            line = warning(module, "not installed", "semantic segmentation needs it, nothing else", extra("train"))
        lines.append(line)
    return lines


def _openmmlab(facts: Facts, module: str, names: tuple[str, ...]) -> Line:
    """One OpenMMLab package: there, once, importable, complete, and of a version that its neighbours take."""
    installed = [name for name in names if name in facts.versions]
    line = Package(module, extra("train"), NEEDED, distributions=names).line(facts)
    if len(installed) > 1:
        found = ", ".join(f"{name} {facts.versions[name]}" for name in installed)
        command = f"pip uninstall -y {' '.join(installed)} && pip install {names[0]}"
        return error(module, found, "they write the same files: only one can be installed", command)
    if line.status != "ok":
        return line
    (name,) = installed
    found, absent = f"{name} {facts.versions[name]}", " ".join(facts.missing.get(name, ()))
    if absent:
        return error(module, found, f"what it requires is absent: {absent}", f"pip install {absent}")
    if module == "mmcv":
        return _mmcv(facts, name, found)
    torch = facts.versions.get("torch", "0")
    old = module == "mmengine" and Version(facts.versions[name]) < Version("0.10.8")
    if old and Version(torch) >= Version("2.6"):
        problem = f"with torch {torch} it cannot load its own checkpoints, so --resume fails (0.10.8 and later can)"
        command = f"pip uninstall -y {name} && pip install 'onedl-mmengine>={TESTED['onedl-mmengine']}'"
        return warning(module, found, problem, command)
    return ok(module, found)


def _mmcv(facts: Facts, name: str, found: str) -> Line:
    """OpenMMLab's own mmdet 3 and mmseg 1 refuse, when they are imported, an mmcv of 2.2 or later, or before 2."""
    version, said = Version(facts.versions[name]), facts.broken.get("mmcv._ext")
    found += f", with{'' if facts.operators else 'out'} compiled operators"
    if not facts.operators:
        found += " (K-Net needs none)" + (f"; those it has do not load: {said}" if said else "")
    strict = [own for own in ("mmdet", "mmsegmentation") if own in facts.versions]
    if version < Version("2"):
        return error("mmcv", found, "too old for mmdet 3", f"pip uninstall -y {name} && pip install onedl-mmcv")
    if strict and version >= Version("2.2"):
        problem = f"{' and '.join(f'{own} {facts.versions[own]}' for own in strict)} refuse mmcv 2.2 and later"
        forks = (names[0] for names in STACK.values() if set(names) & set(strict))
        command = f"pip uninstall -y {' '.join(strict)} && pip install {' '.join(forks)}"
        return error("mmcv", found, problem, command)
    return ok("mmcv", found)


def _tested(facts: Facts) -> list[Line]:
    """Whether these versions were tested together: no fault if not."""
    installed = {name: facts.versions[name] for name in TESTED if name in facts.versions}
    if len(installed) < len(TESTED):
        original = {"mmengine", "mmcv", "mmcv-lite", "mmdet"} & set(facts.versions)
        found = "OpenMMLab's own packages (tested together: mmengine 0.10, mmcv-lite 2.1, mmdet 3.3)"
        return [ok("versions", found)] if original and not any(name.startswith("onedl") for name in installed) else []
    others = {name: v for name, v in installed.items() if Version(v).release != Version(TESTED[name]).release}
    differ = [f"{name} {version} ({TESTED[name]})" for name, version in others.items()]
    return [ok("versions", f"not all as tested (in brackets): {', '.join(differ)}" if differ else "tested together")]


def _opencv(facts: Facts) -> Line:
    names = [name for name in facts.versions if name.startswith("opencv")]
    if not names:
        return error("opencv", "not installed", "images cannot be read", "pip install opencv-python-headless")
    found = ", ".join(f"{name} {facts.versions[name]}" for name in names)
    newest = max((facts.versions[name] for name in names), key=Version)
    repair = f"pip uninstall -y {' '.join(names)} && pip install --no-deps opencv-python-headless=={newest}"
    said = facts.broken.get("cv2")
    if said is not None:
        display = any(library in said for library in ("libGL", "libgthread", "libglib"))
        why = "a display's libraries are missing, which the headless package does without: " if display else ""
        return error("opencv", found, f"cv2 does not import: {why}{said}", repair)
    if len({facts.versions[name] for name in names}) > 1:
        return warning("opencv", found, "packages of different versions write the same files", repair)
    return ok("opencv", found)


def _dcn(facts: Facts) -> Line:
    """Deformable convolution, which only the -dcn models need."""
    vision = facts.versions.get("torchvision")
    nothing = "no deformable convolution here (mmcv's or torchvision's): all models but the -dcn ones"
    operator = "mmcv's compiled operator" if facts.operators else vision and f"torchvision {vision}'s operator"
    return ok("dcn", operator or nothing)


GIB = 1024**3
CHECKPOINT = "a checkpoint of K-Net R-50 with its optimizer takes 0.4 GiB"
WHEELS = "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/"
DRIVERS = (("580.65.06", "13", "cu130"), ("525.60.13", "12", "cu126"), ("450.80.02", "11", "cu118"))
"""Lowest Linux driver for a CUDA major version, and the wheel index of PyTorch for it."""


def gpus(facts: Facts, device: Optional[str]) -> Iterator[Line]:
    """The GPUs that torch sees; or why it sees none though a driver is there."""
    torch = facts.torch
    if device == "cpu" or torch is None:
        return
    needed = device is not None and device.startswith("cuda")
    if torch.available and torch.gpus:
        for index, gpu in enumerate(torch.gpus):
            found = f"{gpu.name}, {gpu.memory / GIB:.0f} GiB, compute capability {'.'.join(map(str, gpu.capability))}"
            if torch.hip or runs_on(torch.arches, gpu.capability):
                yield ok(f"gpu {index}", found)
            else:
                problem = f"this torch holds no code for it (only for {', '.join(torch.arches)})"
                yield error(f"gpu {index}", found, problem, WHEELS + ("cu130" if gpu.capability >= (9, 0) else "cu126"))
    elif torch.mps and not needed:
        yield ok("gpu", "Apple MPS")
    elif facts.driver is not None:
        yield _unused_gpu(torch, facts.driver, needed)
    elif needed:
        yield error("gpu", "none", "nvidia-smi finds no GPU", "seg2knet train --gpus 0   (trains on the CPU)")
    else:
        yield ok("gpu", "none; training runs on the CPU")


def _unused_gpu(torch: Torch, driver: Driver, needed: bool) -> Line:
    """There is a GPU with a driver, and torch does not use it."""
    have = Version(driver.version)
    command = next((WHEELS + wheel for lowest, _, wheel in DRIVERS if have >= Version(lowest)), None)
    lowest = next((low for low, major, _ in DRIVERS if (torch.cuda or "").split(".")[0] == major), "0")
    if torch.cuda is None:
        problem = "this torch is a CPU build and cannot use it"
    elif have < Version(lowest):
        problem = f"the driver is too old for CUDA {torch.cuda}, which needs {lowest}"
    else:
        problem = f"torch cannot use it: {torch.why_not or 'is it hidden by CUDA_VISIBLE_DEVICES?'}"
        command = f'{sys.executable} -c "import torch; torch.zeros(1).cuda()"   (says why)'
    return (error if needed else warning)("gpu", f"{', '.join(driver.gpus)}; driver {driver.version}", problem, command)


def runs_on(arches: tuple[str, ...], capability: tuple[int, int]) -> bool:
    """Whether code compiled for ``arches`` runs on a GPU: binaries within a major version, PTX on anything later."""
    for arch in arches:
        match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([a-z]?)", arch)
        if match is None:
            continue
        built_for = int(match[2]), int(match[3])
        later = built_for <= capability and (match[1] == "compute" or built_for[0] == capability[0])
        if built_for == capability if match[4] else later:  # sm_90a: for that very GPU
            return True
    return not arches


def disk(facts: Facts) -> Line:
    found = f"{facts.disk_free / GIB:.1f} GiB free for {facts.work_dir}"
    if not facts.writable:
        return error("disk", found, "the folder cannot be written to", "seg2knet train --work-dir ANOTHER_FOLDER")
    if facts.disk_free >= 5 * GIB:
        return ok("disk", found)
    complain = error if facts.disk_free < GIB else warning
    return complain("disk", found, CHECKPOINT, "seg2knet train --work-dir ANOTHER_DISK")


def shared_memory(facts: Facts) -> Iterator[Line]:
    if facts.shm is not None:
        free, total = facts.shm
        found = f"{free / GIB:.2f} of {total / GIB:.2f} GiB free in /dev/shm"
        problem = "workers hand images to training through it and die when it is full"
        repair = "docker run --shm-size=8g ...   (or seg2knet train --workers 0)"
        yield warning("shared memory", found, problem, repair) if free < GIB else ok("shared memory", found)
