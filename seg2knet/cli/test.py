"""``seg2knet test`` and ``seg2knet compare``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Optional

import click

from seg2knet.cli.checks import check_checkpoint, check_outputs
from seg2knet.cli.outcome import Outcome, speaks
from seg2knet.cli.terminal import CLASSES, DATA, DEVICE, FILE, KNET, LOADERS, PATH, SPLIT, STACK, bar, echo, loading


@speaks(file=True)
@click.command()
@click.argument("checkpoint")
@DATA
@SPLIT
@click.option("--show-dir", type=PATH, metavar="DIR", help="Draw prediction beside truth for each image.")
@click.option("--out", type=PATH, metavar="FILE", help="Write the predictions as COCO results.")
@click.option(
    "--format-only", "submission", type=PATH, metavar="ZIP",
    help="Write what COCO's or ADE's evaluation server accepts; no figures.",
)  # fmt: skip
@click.option(
    "--html", type=PATH, metavar="FILE",
    help="The page to write; by default beside the checkpoint, test-<split>.html.",
)  # fmt: skip
@click.option("--no-html", is_flag=True, help="Write no page.")
@click.option("--csv", "csv_file", type=PATH, metavar="FILE", help="Write figures by class.")
@CLASSES
@DEVICE
@STACK
@KNET
@LOADERS
def test(
    checkpoint: str, out: Optional[Path], html: Optional[Path], no_html: bool, csv_file: Optional[Path], **how: Any
) -> Outcome:
    """Evaluate CHECKPOINT on DATA, by default on the data it was trained on.

    Mask AP as COCO counts it, panoptic quality or mean IoU, whichever the checkpoint was trained for; also by class.
    """
    from seg2knet.converters.classes import read_classes
    from seg2knet.trainer import stacks

    check_checkpoint(checkpoint)
    check_outputs(how["show_dir"], out, how["submission"], html, csv_file)
    loading()
    from seg2knet.trainer.evaluate import evaluation, judging

    other = stacks.choose(how.pop("stack"), how["knet"])
    how["classes"] = how["classes"] and read_classes(how["classes"])
    del how["knet" if other is None else "workers"]
    with bar("evaluating") as ticked:
        result = (other or evaluation).evaluate(checkpoint, ticked=ticked, **how)
    page: Optional[Path] = None
    if result.figures and not no_html and other is None:
        page = html or result.checkpoint.parent / f"test-{result.split}.html"
    if page is not None or csv_file is not None:
        report = judging.report(result)
        if page is not None:
            page.write_text(report.html, encoding="utf-8")
        if csv_file is not None:
            csv_file.write_text(report.csv, encoding="utf-8")
    if out is not None:
        out.write_text(json.dumps(result.predictions))
    _print(result, how["show_dir"], csv_file, out, how["submission"], page)
    return Outcome(result.as_dict())


def _print(result: Any, *files: Optional[Path]) -> None:
    from rich.console import Console

    from seg2knet.trainer.run.progress import class_table

    echo(f"{result.checkpoint} on {result.data}, {result.split} split, {result.images} images")
    if result.classes:
        Console(highlight=False).print(class_table(result.classes))
    if result.figures:
        echo("  ".join(f"{name} {value:.3f}" for name, value in result.figures.items()))
    else:
        echo("no figures: no truth to compare with")
    if result.score_thr is not None:
        echo(f"best score threshold for F1: {result.score_thr:g}")
    for file in files:
        if file is not None:
            echo(f"wrote {file}")


@speaks(file=True)
@click.command()
@click.argument("a")
@click.argument("b")
@DATA
@SPLIT
@click.option("--html", type=FILE, metavar="FILE", help="Write a page with the objects that were won and lost.")
@click.option("--junit", type=FILE, metavar="FILE", help="Write a JUnit file: a test case for each --fail-if.")
@click.option("--fail-if", "conditions", multiple=True, metavar="CONDITION", help="Exit 1 if it holds: 'AP < -0.01'.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the bootstrap.")
@DEVICE
@LOADERS
def compare(
    a: str, b: str, html: Optional[Path], junit: Optional[Path], conditions: tuple[str, ...], **how: Any
) -> Outcome:
    """Is B better than A? Two checkpoints, or two files of COCO results, on the same split of DATA.

    Differences are B - A, with 95 % intervals of a paired bootstrap over images.

    \b
    seg2knet compare old/best.pth new/best.pth data/coco --html compare.html
    seg2knet compare old.json new.json data/coco --fail-if 'AP < -0.01'
    """
    from seg2knet.judge import compare as judging
    from seg2knet.judge.page import compare_page

    for condition in conditions:
        judging.check_condition(condition)
    check_outputs(html, junit)
    for model in (a, b):
        check_checkpoint(model)
    if not all(model.endswith(".json") for model in (a, b)):
        loading()
    from seg2knet.trainer.evaluate.judging import compare as run

    with bar("evaluating") as ticked:
        comparison = run(a, b, ticked=ticked, **how)
    failed = [condition for condition in conditions if comparison.fails(condition)]
    echo(judging.text(comparison))
    if html is not None:
        html.write_text(compare_page(comparison), encoding="utf-8")
    if junit is not None:
        junit.write_text(judging.junit(comparison, conditions), encoding="utf-8")
    for condition in failed:
        echo(f"failed: {condition}", err=True)
    return Outcome(comparison.as_dict(), 1 if failed else 0)
