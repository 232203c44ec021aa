"""Makes the environment of the authors' own stack: Python 3.9, torch 1.10.1, mmcv 1.3.14, mmdet 2.17, mmseg 0.18."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Callable, Optional

from seg2knet._version import __version__
from seg2knet.errors import EnvironmentProblem, UsageError
from seg2knet.trainer.classic.checks import CONSTRAINTS, PINS

PYTHON = "3.9"
TORCH_PAGE = "https://download.pytorch.org/whl/torch_stable.html"
CUDA = {"10.2": "", "11.1": "+cu111", "11.3": "+cu113", "cpu": "+cpu"}
"""CUDA version of the build of torch -> the suffix of its version. 10.2 is what PyPI has; the others are PyTorch's."""
DEFAULT_CUDA = "10.2"
HOW_TO_GET_PYTHON = (
    "get it with one of: uv python install 3.9; pyenv install 3.9; conda create -n py39 python=3.9; "
    "apt-get install python3.9 python3.9-venv (Ubuntu: after add-apt-repository ppa:deadsnakes/ppa); "
    "then name it: --python PATH"
)

Step = tuple[str, tuple[str, ...]]
"""One command of the installation: what it does, for people, and its words."""


def setup(
    venv: Path,
    *,
    python: Optional[Path] = None,
    ops: bool = True,
    cuda: str = DEFAULT_CUDA,
    dry_run: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Make the environment, or complete one that was begun; ``dry_run``: only ``say`` what would be done.

    ``python`` is an interpreter of Python 3.9, by default looked for; ``ops``: compile mmcv's operators (minutes, needs
    a C++ compiler), without which K-Net itself runs; ``cuda`` is a key of :data:`CUDA`.

    Raises EnvironmentProblem: Python 3.9 is missing, or a step failed; UsageError: ``cuda`` is unknown, or ``venv`` is
    something else.
    """
    if cuda not in CUDA:
        raise UsageError(f"there is no torch 1.10.1 for CUDA {cuda}", expected=", ".join(CUDA))
    if venv.exists() and not ((venv / "pyvenv.cfg").is_file() and _version(venv / "bin" / "python") == PYTHON):
        hint = "name another: --venv DIR, or remove it"
        raise UsageError("this folder exists, and is no environment of Python 3.9", file=venv, hint=hint)
    variables = {"MMCV_WITH_OPS": str(int(ops)), "MAX_JOBS": os.environ.get("MAX_JOBS", str(os.cpu_count() or 1))}
    todo = steps(venv, _python39(python), ops=ops, cuda=cuda)
    say(" ".join(["export", *(f"{name}={value}" for name, value in variables.items())]))
    for number, (title, command) in enumerate(todo, 1):
        say(f"[{number}/{len(todo)}] {title}\n      {shlex.join(command)}")
        if not dry_run:
            started = time.monotonic()
            _run(title, command, venv, variables)
            say(f"      done in {time.monotonic() - started:.0f} s")
    say(f"ready: {venv / 'bin' / 'seg2knet'} train data/coco --knet ./K-Net --gpus 2")


def steps(venv: Path, python: Path, *, ops: bool, cuda: str) -> list[Step]:
    """The commands, in the order that works."""
    root = Path(__file__).resolve().parents[3]
    in_source_tree = (root / "pyproject.toml").is_file()
    this_package = ("--editable", f"{root}[report]") if in_source_tree else (f"seg2knet[report]=={__version__}",)
    quiet = "--disable-pip-version-check"
    pip = (str(venv / "bin" / "python"), "-m", "pip", "install", quiet, "--constraint", str(CONSTRAINTS))
    torch = f"torch==1.10.1{CUDA[cuda]}", f"torchvision==0.11.2{CUDA[cuda]}"
    page = ("--find-links", TORCH_PAGE) if CUDA[cuda] else ()
    mmcv = f"mmcv-full=={PINS['mmcv-full']}" if ops else f"mmcv=={PINS['mmcv']}"
    how = "with operators: compiles for minutes" if ops else "without operators: K-Net needs none"
    build = f"torch 1.10.1 {'for the CPU' if cuda == 'cpu' else f'for CUDA {cuda}'}, and what mmcv is built with"
    old_setuptools = "pip, and the setuptools that can still build mmcv (60 and later cannot)"
    return [
        ("a virtual environment of Python 3.9", (str(python), "-m", "venv", str(venv))),
        (old_setuptools, (*pip, "pip<24.1", "setuptools", "wheel")),
        # mmcv's setup asks for opencv-python, which needs a display's libraries, unless the headless one is installed
        (build, (*pip, *page, *torch, "numpy", "scipy", "opencv-python-headless", "yapf")),
        (f"{mmcv}, {how}", (*pip, "--no-build-isolation", mmcv)),
        ("mmdet, mmsegmentation and mim, which runs their own tools", (*pip, "mmdet", "mmsegmentation", "openmim")),
        ("panopticapi (its own pins ask for other versions)", (*pip, "--no-deps", "panopticapi-lite")),
        ("seg2knet itself", (*pip, *this_package)),
    ]


def _python39(asked: Optional[Path]) -> Path:
    """An interpreter of Python 3.9. Raises EnvironmentProblem: there is none, or the one asked for is another."""
    for candidate in _candidates() if asked is None else [asked]:
        if _version(candidate) == PYTHON:
            return candidate
    missing = "the classic stack needs Python 3.9, and none is found"
    raise EnvironmentProblem(missing if asked is None else f"{asked} is not Python 3.9", hint=HOW_TO_GET_PYTHON)


def _candidates() -> Iterator[Path]:
    yield Path(sys.executable)
    yield from (Path(path) for name in ("python3.9", "python3", "python") if (path := shutil.which(name)))
    for pattern in (".pyenv/versions/3.9*/bin/python", ".local/share/uv/python/cpython-3.9*/bin/python"):
        yield from sorted(Path.home().glob(pattern), reverse=True)


def _version(python: Path) -> str:
    """``3.9`` of an interpreter; nothing where it does not run."""
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        return subprocess.run([str(python), "-c", program], capture_output=True, text=True, timeout=60).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _run(title: str, command: tuple[str, ...], venv: Path, variables: Mapping[str, str]) -> None:
    """Raises EnvironmentProblem: the command failed; its output is in ``setup.log``."""
    venv.mkdir(parents=True, exist_ok=True)
    log, environment = venv / "setup.log", {**os.environ, **variables}
    with open(log, "a", encoding="utf-8") as stream:
        print(f"\n$ {shlex.join(command)}", file=stream, flush=True)
        done = subprocess.run(command, env=environment, stdout=stream, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        last = ([line for line in lines[-200:] if "error" in line.lower()] or lines)[-1].strip()
        compiled = "mmcv-full" in command[-1]
        hint = f"the whole output: {log}"
        hint += "; without a working compiler: --no-ops (K-Net needs no operator)" if compiled else ""
        raise EnvironmentProblem(f"this step failed: {title}", file=log, found=last, hint=hint)
