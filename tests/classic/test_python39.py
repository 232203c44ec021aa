"""seg2knet itself on Python 3.9: everything but training imports, converts and validates."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import seg2knet

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("dataset", "converters", "validators", "engines", "cli")
MODULES = [
    module.name
    for package in PACKAGES
    for module in pkgutil.walk_packages([str(Path(seg2knet.__file__).parent / package)], f"seg2knet.{package}.")
]
SEG2KNET = str(Path(sys.executable).with_name("seg2knet"))


@pytest.mark.parametrize("name", MODULES)
def test_every_module_imports(name: str) -> None:
    importlib.import_module(name)


def call(*words: str, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run([SEG2KNET, *words], capture_output=True, text=True, cwd=cwd, check=False, timeout=300)


def test_convert_and_validate(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, str(ROOT / "examples" / "draw_shapes.py"), "raw", "--images", "12"], cwd=tmp_path, check=True
    )
    converted = call("convert", "labelme", "raw", "--to", "coco", "--boxes", "as-polygons", cwd=tmp_path)
    assert converted.returncode == 0, converted.stdout + converted.stderr
    validated = call("validate", "data/coco", cwd=tmp_path)
    assert validated.returncode == 0, validated.stdout + validated.stderr


@pytest.mark.parametrize("command", ["convert", "validate", "train", "test", "predict", "doctor", "setup", "stats"])
def test_help(command: str, tmp_path: Path) -> None:
    done = call(command, "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
