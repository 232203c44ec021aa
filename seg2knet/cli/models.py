"""``seg2knet models``: what can be trained by name."""

from __future__ import annotations

from typing import Optional

import click

from seg2knet.cli.terminal import echo, write_json


@click.command()
@click.option("--task", type=click.Choice(["instance", "panoptic", "semantic"]), help="Models for this task only.")
def models(task: Optional[str], json_file: Optional[str] = None) -> None:
    """List the models that can be trained by name: seg2knet train --model NAME.

    Figures are the published ones, on COCO and ADE20K; "-" means that none is known here.
    """
    from seg2knet.trainer.config.models import MODELS

    chosen = [spec for spec in MODELS.values() if task is None or spec.task == task]
    write_json(json_file, [spec.as_dict() for spec in chosen])
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
