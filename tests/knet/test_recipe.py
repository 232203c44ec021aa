"""The learning rates and the schedule, and that reading them costs no import of torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from seg2knet.knet import recipe


@pytest.mark.parametrize(
    ("settings", "batch", "expected"),
    [
        ({}, 16, 1e-4),
        ({}, 2, 3.5355339e-5),
        ({"narrow": True}, 4, 5e-5),
        ({"semantic_swin": True}, 16, 6e-5),
        ({"scratch": True}, 2, 2e-4),
        ({"scratch": True}, 4, 4e-4),
        ({"scratch": True}, 8, 8e-4),
        ({"scratch": True}, 16, 8e-4),
        ({"scratch": True, "narrow": True}, 4, 8e-4),
        ({"scratch": True, "narrow": True}, 64, 1.6e-3),
    ],
)
def test_learning_rate(settings: dict[str, bool], batch: int, expected: float) -> None:
    assert recipe.learning_rate(**settings).at(batch) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("epochs", "schedule", "expected"),
    [(12, "1x", [8, 11]), (36, "3x", [27, 33]), (80, "80k", [60, 72]), (2, "1x", [1]), (1, "1x", [])],
)
def test_milestones(epochs: int, schedule: str, expected: list[int]) -> None:
    assert recipe.milestones(epochs, schedule) == expected


def test_importing_the_recipe_imports_no_torch() -> None:
    code = "import sys, seg2knet.knet.recipe; print(sorted({'torch', 'numpy', 'mmdet'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
