"""The doctor: each defect, planted in facts about a sound machine, gives its line, its status and its command."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from seg2knet.doctor import environment, facts
from seg2knet.doctor.diagnosis import Line, Report
from seg2knet.doctor.facts import Driver, Facts, Gpu, Torch
from seg2knet.errors import EnvironmentProblem, extra

GIB = 1024**3
H100 = Gpu("NVIDIA H100", 80 * GIB, (9, 0))
SOUND = Facts(
    python=(3, 11, 7),
    versions={
        **environment.TESTED,
        "pycocotools": "2.0.11",
        "opencv-python-headless": "4.12.0.88",
        "setuptools": "80.0",
    },
    work_dir=Path("work_dirs"),
    disk_free=100 * GIB,
    torch=Torch(cuda="13.0", available=True, arches=("sm_80", "sm_90", "compute_90"), gpus=(H100,)),
    driver=Driver("580.65.06", ("NVIDIA H100",)),
    shm=(8 * GIB, 8 * GIB),
)


def changed(**parts: Any) -> Facts:
    """The sound machine with some facts replaced; ``versions`` are merged, ``None`` removes one."""
    if "versions" in parts:
        merged = {**SOUND.versions, **parts["versions"]}
        parts["versions"] = {name: version for name, version in merged.items() if version is not None}
    return dataclasses.replace(SOUND, **parts)


def line(report: Report, name: str) -> Line:
    return next(found for found in report.lines if found.name == name)


def only(report: Report, name: str) -> Line:
    """The line of that name, which must be the only one that is not ok."""
    assert [found.name for found in report.lines if found.status != "ok"] == [name]
    return line(report, name)


def test_a_sound_machine_is_sound() -> None:
    report = environment.judge(SOUND, task="panoptic", device="cuda")
    assert not [found for found in report.lines if found.status != "ok"]
    assert line(report, "versions").found == "tested together"
    assert "80 GiB" in line(report, "gpu 0").found
    report.raise_for_errors()


def test_the_set_that_was_tried_is_the_one_that_is_pinned() -> None:
    pinned = Path(__file__).parents[2] / "constraints.txt"
    versions = dict(
        row.split(";")[0].split("==") for row in pinned.read_text().splitlines() if "==" in row and row[0] != "#"
    )
    assert {name: versions[name] for name in environment.TESTED} == environment.TESTED


ORIGINALS = {
    **dict.fromkeys(environment.TESTED),
    "numpy": "1.26.4",
    "torch": "2.5.1",
    "mmengine": "0.10.7",
    "mmcv": "2.1.0",
    "mmdet": "3.3.0",
    "mmsegmentation": "1.2.2",
}
CPU = Torch()
TWO_OPENCV = {"opencv-python": "4.10.0.84", "opencv-python-headless": "4.12.0.88"}


@pytest.mark.parametrize(
    ("parts", "name", "status", "problem", "command"),
    [
        ({"python": (3, 9, 18)}, "python", "error", "3.10", "seg2knet setup classic"),
        ({"versions": {"torch": None}, "torch": None}, "torch", "error", "training needs it", extra("train")),
        (
            {"broken": {"torch": "libcudart.so.13: cannot open"}, "torch": None},
            "torch", "error", "libcudart", "--force-reinstall",
        ),
        ({"versions": {"torch": "2.1.2"}}, "torch", "warning", "2.4", "--upgrade"),
        (
            {"versions": {"torch": "2.1.2"}, "torch": Torch(bridge="Numpy is not available"), "driver": None},
            "torch", "error", "Numpy is not available", "pip install 'numpy<2'",
        ),
        ({"broken": {"numpy": "no multiarray"}}, "numpy", "error", "no multiarray", "numpy==2.2.6"),
        ({"versions": {"onedl-mmdetection": None}}, "mmdet", "error", "training needs it", extra("train")),
        (
            {"versions": {"mmcv": "2.1.0"}},
            "mmcv", "error", "only one", "pip uninstall -y onedl-mmcv mmcv && pip install onedl-mmcv",
        ),
        (
            {"missing": {"onedl-mmsegmentation": ("ftfy",)}},
            "mmseg", "error", "ftfy", "pip install ftfy",
        ),
        ({"versions": {**ORIGINALS, "torch": "2.6.0"}}, "mmengine", "warning", "--resume", "onedl-mmengine"),
        ({"versions": {**ORIGINALS, "mmcv": "2.2.0"}}, "mmcv", "error", "refuse mmcv 2.2", "onedl-mmdetection"),
        ({"versions": {"onedl-mmcv": None, "mmcv": "1.7.2"}}, "mmcv", "error", "too old", "pip install onedl-mmcv"),
        ({"broken": {"mmcv": "boom"}}, "mmcv", "error", "boom", "--force-reinstall"),
        ({"versions": TWO_OPENCV}, "opencv", "warning", "same files", "opencv-python-headless==4.12.0.88"),
        (
            {"versions": {"opencv-python": "4.12.0.88"}, "broken": {"cv2": "libGL.so.1: cannot open"}},
            "opencv", "error", "display", "pip uninstall -y",
        ),
        ({"versions": {"opencv-python-headless": None}}, "opencv", "error", "read", "pip install opencv"),
        (
            {"broken": {"pycocotools.mask": "numpy.dtype size changed, may indicate binary incompatibility"}},
            "pycocotools", "error", "size changed", "--force-reinstall",
        ),
        ({"versions": {"pycocotools": None}}, "pycocotools", "error", "masks", "pip install pycocotools"),
        ({"torch": CPU}, "gpu", "warning", "CPU build", "whl/cu130"),
        ({"torch": CPU, "driver": Driver("470.57.02", ("T4",))}, "gpu", "warning", "CPU build", "whl/cu118"),
        (
            {"torch": Torch(cuda="13.0"), "driver": Driver("550.54.15", ("L4",))},
            "gpu", "warning", "580.65.06", "whl/cu126",
        ),
        ({"torch": Torch(cuda="13.0", why_not="out of luck")}, "gpu", "warning", "out of luck", "torch.zeros"),
        (
            {"torch": Torch(cuda="13.0", available=True, arches=("sm_80", "sm_90"), gpus=(Gpu("P100", GIB, (6, 0)),))},
            "gpu 0", "error", "no code for it", "whl/cu126",
        ),
        ({"disk_free": GIB // 2}, "disk", "error", "checkpoint", "--work-dir"),
        ({"disk_free": 3 * GIB}, "disk", "warning", "checkpoint", "--work-dir"),
        ({"writable": False}, "disk", "error", "written", "--work-dir"),
        ({"shm": (60 * 1024**2, 64 * 1024**2)}, "shared memory", "warning", "workers", "--shm-size"),
    ],
)  # fmt: skip
def test_a_planted_defect(parts: dict[str, Any], name: str, status: str, problem: str, command: str) -> None:
    found = only(environment.judge(changed(**parts)), name)
    assert found.status == status
    assert problem in str(found.problem)
    assert command in str(found.command)


@pytest.mark.parametrize(
    "parts",
    [
        {"versions": ORIGINALS},
        {"versions": {**ORIGINALS, "mmcv": None, "mmcv-lite": "2.1.0"}},
        {"versions": {"opencv-python": "4.12.0.88"}},
        {"torch": CPU, "driver": None},
        {"torch": Torch(mps=True), "driver": None},
        {"shm": None},
        {"versions": {"torch": "2.9.0"}},
    ],
)
def test_these_are_no_defects(parts: dict[str, Any]) -> None:
    report = environment.judge(changed(**parts))
    assert not [found for found in report.lines if found.status != "ok"]


def test_the_task_says_what_is_needed() -> None:
    bare = changed(versions={"onedl-mmsegmentation": None})
    assert environment.judge(bare, task="instance").ok
    assert not environment.judge(bare, task="semantic").ok
    assert only(environment.judge(bare), "mmseg").status == "warning"


def test_the_device_says_what_is_needed() -> None:
    blind = changed(torch=CPU, driver=None)
    assert environment.judge(blind, device="cpu").ok
    assert only(environment.judge(blind, device="cuda"), "gpu").status == "error"
    assert only(environment.judge(changed(torch=CPU), device="cuda"), "gpu").status == "error"


def test_operators_and_deformable_convolution_are_told() -> None:
    assert "without compiled" in line(environment.judge(SOUND), "mmcv").found
    assert "with compiled" in line(environment.judge(changed(operators=True)), "mmcv").found
    assert "mmcv's" in line(environment.judge(changed(operators=True)), "dcn").found
    assert "torchvision 0.28" in line(environment.judge(changed(versions={"torchvision": "0.28"})), "dcn").found
    broken = changed(broken={"mmcv._ext": "undefined symbol: _ZN3c10"})
    assert "_ZN3c10" in line(environment.judge(broken), "mmcv").found


@pytest.mark.parametrize(
    ("arches", "capability", "answer"),
    [
        (("sm_80",), (8, 6), True),
        (("sm_86",), (8, 0), False),
        (("sm_80",), (9, 0), False),
        (("sm_80", "compute_80"), (9, 0), True),
        (("sm_90a",), (9, 0), True),
        (("sm_90a",), (10, 0), False),
        (("sm_120",), (12, 0), True),
        (("compute_90",), (8, 9), False),
    ],
)
def test_what_code_runs_on_what_gpu(arches: tuple[str, ...], capability: tuple[int, int], answer: bool) -> None:
    assert environment.runs_on(arches, capability) is answer


def test_errors_are_raised_together() -> None:
    report = environment.judge(changed(disk_free=0, versions={"pycocotools": None}))
    with pytest.raises(EnvironmentProblem) as caught:
        report.raise_for_errors()
    assert "disk" in str(caught.value)
    assert "pip install pycocotools" in str(caught.value)


def test_a_line_that_is_not_ok_says_why() -> None:
    with pytest.raises(ValueError, match="says what is wrong"):
        Line("x", "error", "found")


BLOCKED = """
import sys
from importlib import metadata
from seg2knet.doctor import facts
real = facts.installed
absent = ("torch", "mm", "onedl", "panopticapi", "ftfy", "regex")
facts.installed = lambda name: None if name.startswith(absent) else real(name)
from seg2knet.cli import cli
cli(["doctor", "--json"], standalone_mode=False)
"""


def test_without_the_train_extra() -> None:
    code = BLOCKED.replace("cli([", "try:\n    cli([").rstrip() + "\nexcept SystemExit as end:\n    status = end.code\n"
    code += "assert status == 1\nassert 'torch' not in sys.modules and 'mmcv' not in sys.modules\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert extra("train") in done.stdout
    assert "Traceback" not in done.stderr


def test_a_broken_package_is_a_fact_not_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_one.py").write_text(
        "import sys\nprint('noise', file=sys.stderr)\nraise OSError('libfoo.so\\nmore')"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert facts._load("broken_one") == "libfoo.so"


def test_nvidia_smi_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'NVIDIA A100-SXM4, 40GB, 535.104.05'\necho 'NVIDIA T4, 535.104.05'\n")
    smi.chmod(0o755)
    monkeypatch.setattr(facts, "SMI", (str(smi),))
    found = facts._driver()
    assert found == Driver("535.104.05", ("NVIDIA A100-SXM4, 40GB", "NVIDIA T4"))


def test_a_hanging_nvidia_smi_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\nexec sleep 60\n")
    smi.chmod(0o755)
    monkeypatch.setattr(facts, "SMI", (str(smi),))
    monkeypatch.setattr(facts, "SMI_SECONDS", 0.05)
    assert facts._driver() is None


def test_the_work_dir_need_not_exist(tmp_path: Path) -> None:
    found = facts.gather(tmp_path / "not" / "yet")
    assert found.disk_free > 0
    assert found.writable
    assert not (tmp_path / "not").exists()
