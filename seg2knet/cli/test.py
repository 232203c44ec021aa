"""``seg2knet test``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Optional

import click

from seg2knet.cli import terminal
from seg2knet.cli.terminal import FILE, PATH, echo


@click.command(short_help="Evaluate a checkpoint.")
@click.argument("checkpoint")
@terminal.data_argument
@terminal.split_option
@click.option("--show-dir", type=PATH, metavar="DIR", help="Draw prediction beside truth for each image.")
@click.option("--out", type=FILE, metavar="FILE", help="Write the predictions as COCO results.")
@click.option(
    "--format-only", "submission", type=FILE, metavar="ZIP",
    help="Write what COCO's or ADE's evaluation server accepts; no figures.",
)  # fmt: skip
@click.option("--html", type=FILE, metavar="FILE", help="The page.  [beside the checkpoint, test-<split>.html]")
@click.option("--no-html", is_flag=True, help="Write no page.")
@click.option("--csv", "csv_file", type=FILE, metavar="FILE", help="Write figures by class.")
@terminal.classes_option
@terminal.device_option
@terminal.stack_option
@terminal.knet_option
@terminal.workers_option
def test(
    checkpoint: str,
    data: Optional[Path],
    split: Optional[str],
    show_dir: Optional[Path],
    out: Optional[Path],
    submission: Optional[Path],
    html: Optional[Path],
    no_html: bool,
    csv_file: Optional[Path],
    class_file: Optional[Path],
    device: Optional[str],
    stack: Optional[str],
    knet: Optional[Path],
    workers: int,
    json_file: Optional[str] = None,  # noqa: PT028
) -> None:
    """Evaluate CHECKPOINT on DATA, by default on the data it was trained on.

    Mask AP as COCO counts it, panoptic quality or mean IoU, whichever the checkpoint was trained for; also by class.
    """
    from seg2knet.converters.classes import read_classes
    from seg2knet.trainer import stacks
    from seg2knet.trainer.evaluate import judging
    from seg2knet.trainer.evaluate.evaluation import evaluate

    other = stacks.choose(stack, knet)
    classes = read_classes(class_file) if class_file is not None else None
    how: dict[str, Any] = {"show_dir": show_dir, "submission": submission, "device": device, "classes": classes}
    with terminal.bar("evaluating") as ticked:
        if other is not None:
            result = other.evaluate(checkpoint, data, split, knet=knet, ticked=ticked, **how)
        else:
            result = evaluate(checkpoint, data, split, workers=workers, ticked=ticked, **how)
    page: Optional[Path] = None
    if result.figures and not no_html and other is None:
        page = html or result.checkpoint.parent / f"test-{result.split}.html"
    if page is not None or csv_file is not None:
        report = judging.report(result)
        for file, text in ((page, report.html), (csv_file, report.csv)):
            if file is not None:
                file.write_text(text, encoding="utf-8")
    if out is not None:
        out.write_text(json.dumps(result.predictions))
    terminal.write_json(json_file, result.as_dict())
    _print(result, show_dir, json_file, csv_file, out, submission, page)


def _print(result: Any, *files: object) -> None:
    from rich.console import Console

    from seg2knet.trainer.run.progress import class_table

    echo(f"{result.checkpoint} on {result.data}, {result.split} split, {result.images} images")
    if result.classes:
        Console(highlight=False).print(class_table(result.classes))
    figures = "  ".join(f"{name} {value:.3f}" for name, value in result.figures.items())
    echo(figures or "no figures: no truth to compare with")
    if result.score_thr is not None:
        echo(f"best score threshold for F1: {result.score_thr:g}")
    for file in files:
        if file is not None:
            echo(f"wrote {file}")
