"""``seg2knet models``: what can be trained by name."""

from __future__ import annotations

import json
from typing import Optional

import click

from seg2knet.cli.terminal import echo


@click.command()
@click.option("--task", type=click.Choice(["instance", "panoptic", "semantic"]), help="Models for this task only.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def models(task: Optional[str], as_json: bool) -> None:
    """List the models that can be trained by name: seg2knet train --model NAME.

    Figures are the published ones, on COCO and ADE20K; "-" means that none is known here.
    """
    from seg2knet.trainer.config.models import MODELS

    chosen = [spec for spec in MODELS.values() if task is None or spec.task == task]
    if as_json:
        echo(json.dumps([spec.as_dict() for spec in chosen], indent=2))
        return
    rows = [("name", "task", "backbone", "schedule", "published")]
    for spec in chosen:
        feature = f"{spec.head} {spec.backbone}" if spec.head else spec.backbone
        first, *others = [f"{figure}, {figure.source}" for figure in spec.figures] or ["-"]
        rows.append((spec.name, spec.task, feature, spec.schedule, first))
        rows.extend(("", "", "", "", other) for other in others)
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths)]
        echo("  ".join([*cells, row[4]]).rstrip())
