"""``seg2knet models`` lists the table."""

from __future__ import annotations

import json

from click.testing import CliRunner

from seg2knet.cli import cli
from seg2knet.trainer.config.models import MODELS


def test_every_model_is_listed_with_its_figures() -> None:
    result = CliRunner().invoke(cli, ["models"])
    assert result.exit_code == 0
    for spec in MODELS.values():
        row = next(line for line in result.output.splitlines() if line.split()[0] == spec.name)
        assert spec.task in row
        assert spec.backbone in row
        assert (str(spec.figures[0].value) if spec.figures else "-") in row.split()


def test_a_task_alone() -> None:
    result = CliRunner().invoke(cli, ["models", "--task", "panoptic", "--json"])
    told = json.loads(result.output)
    assert {entry["task"] for entry in told} == {"panoptic"}
    assert told[0]["figures"][0] == {
        "metric": "PQ", "value": 44.3, "data": "COCO val2017", "source": "arXiv 2106.14855 and its release",
    }  # fmt: skip
