"""What the doctor says of the classic stack."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import pytest

from seg2knet.doctor.diagnosis import Line
from seg2knet.doctor.facts import Facts
from seg2knet.trainer import classic

GOOD = {
    "torch": "1.10.1",
    "torchvision": "0.11.2",
    "numpy": "1.23.5",
    "mmcv-full": "1.3.14",
    "mmdet": "2.17.0",
    "mmsegmentation": "0.18.0",
    "setuptools": "59.8.0",
    "yapf": "0.32.0",
    "scipy": "1.13.1",
    "panopticapi-lite": "0.2.0",
}


def lines(task: Optional[str] = None, operators: bool = True, python: Any = (3, 9, 18), **changes: Any) -> list[Line]:
    versions = {**GOOD, **{name.replace("_", "-"): version for name, version in changes.items()}}
    kept = {name: version for name, version in versions.items() if version is not None}
    facts = Facts(python=python, versions=kept, work_dir=Path("."), disk_free=1 << 40, operators=operators)
    found = classic.doctor_lines(facts, task)
    assert found is not None
    return found


def test_what_setup_installs_is_well() -> None:
    assert {line.status for line in lines()} == {"ok"}


@pytest.mark.parametrize(
    ("changes", "name", "status", "command"),
    [
        ({"setuptools": "65.0.0"}, "setuptools", "warning", "pip install 'setuptools<60'"),
        ({"numpy": "1.24.0"}, "numpy", "error", "pip install 'numpy<1.24'"),
        ({"yapf": "0.40.2"}, "yapf", "warning", "pip install 'yapf<0.40'"),
        ({"mmdet": "2.25.0"}, "mmdet", "warning", "pip install mmdet==2.17.0"),
        ({"operators": False}, "mmcv", "warning", "mmcv-full==1.3.14"),
        ({"mmcv": "1.3.14"}, "mmcv", "error", "pip uninstall -y mmcv mmcv-full"),
        ({"mmcv_full": "1.7.0"}, "mmcv", "error", "pip install mmcv-full==1.3.14"),
        ({"torch": None}, "torch", "error", "pip install torch==1.10.1 torchvision==0.11.2"),
        ({"torchvision": None}, "torchvision", "error", "pip install torch==1.10.1 torchvision==0.11.2"),
        ({"scipy": None}, "scipy", "error", "pip install scipy==1.13.1"),
        ({"mmsegmentation": None, "task": "semantic"}, "mmseg", "error", "pip install mmsegmentation==0.18.0"),
        ({"panopticapi_lite": None, "task": "panoptic"}, "panopticapi", "error", "--no-deps panopticapi-lite"),
        ({"python": (3, 11, 7)}, "python", "error", "seg2knet setup classic"),
    ],
)
def test_known_failures(changes: dict[str, Any], name: str, status: str, command: str) -> None:
    (wrong,) = [line for line in lines(**changes) if line.status != "ok"]
    assert (wrong.name, wrong.status) == (name, status)
    assert command in (wrong.command or "")


def test_the_other_tasks_do_without() -> None:
    assert {line.status for line in lines("instance", mmsegmentation=None, panopticapi_lite=None)} == {"ok"}
