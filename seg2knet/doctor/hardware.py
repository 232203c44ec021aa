"""Judgement on GPUs, disk and shared memory, from the facts alone.

Driver limits: NVIDIA's CUDA release notes, table of minimum driver versions for minor-version compatibility.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Optional

from packaging.version import Version

from seg2knet.doctor.diagnosis import Line, error, ok, warning
from seg2knet.doctor.facts import Driver, Facts, Torch

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
        yield from _each_gpu(torch)
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
    found = f"{', '.join(driver.gpus)}; driver {driver.version}"
    return (error if needed else warning)("gpu", found, problem, command)


def _each_gpu(torch: Torch) -> Iterator[Line]:
    for index, gpu in enumerate(torch.gpus):
        found = f"{gpu.name}, {gpu.memory / GIB:.0f} GiB, compute capability {'.'.join(map(str, gpu.capability))}"
        if torch.hip or runs_on(torch.arches, gpu.capability):
            yield ok(f"gpu {index}", found)
        else:
            problem = f"this torch holds no code for it (only for {', '.join(torch.arches)})"
            yield error(f"gpu {index}", found, problem, WHEELS + ("cu130" if gpu.capability >= (9, 0) else "cu126"))


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
        name = "shared memory"
        yield warning(name, found, problem, repair) if free < GIB else ok(name, found)
