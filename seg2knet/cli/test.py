"""``seg2knet test`` and ``seg2knet compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import click

from seg2knet.cli.outcome import Outcome, speaks
from seg2knet.cli.terminal import echo

_FILE = click.Path(path_type=Path, dir_okay=False)


@speaks(file=True)
@click.command(short_help="Evaluate a checkpoint.")
@click.argument("checkpoint")
@click.argument("data", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", metavar="NAME", help="train, val or test; by default val.")
@click.option(
    "--show-dir", type=click.Path(path_type=Path), metavar="DIR", help="Draw prediction beside truth for each image."
)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the predictions as COCO results.")
@click.option(
    "--format-only", "submission", type=click.Path(path_type=Path), metavar="ZIP",
    help="Write what COCO's or ADE's evaluation server accepts; no figures.",
)  # fmt: skip
@click.option(
    "--html",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The page to write; by default beside the checkpoint, test-<split>.html.",
)
@click.option("--no-html", is_flag=True, help="Write no page.")
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), metavar="FILE", help="Write figures by class.")
@click.option(
    "--classes", "class_file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="Class file of a released checkpoint; by default COCO's or ADE20K's classes.",
)  # fmt: skip
@click.option("--device", metavar="cuda|cpu", help="By default a GPU where there is one.")
@click.option("--stack", metavar="NAME", help="mmengine, or classic (mmdet 2): by default what is installed.")
@click.option("--knet", type=click.Path(path_type=Path), metavar="DIR", help="Classic stack: a checkout of K-Net.")
@click.option("--workers", type=int, default=2, show_default=True, metavar="N", help="Processes that load images.")
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
) -> Outcome:
    """Evaluate CHECKPOINT on DATA, by default on the data it was trained on.

    Mask AP as COCO counts it, panoptic quality or mean IoU, whichever the checkpoint was trained for; also by class.
    """
    import json

    from seg2knet.cli.checks import check_checkpoint, check_outputs
    from seg2knet.cli.terminal import bar, loading
    from seg2knet.converters.classes import read_classes
    from seg2knet.trainer import stacks

    check_checkpoint(checkpoint)
    check_outputs(show_dir, out, submission, html, csv_file)
    loading()
    from seg2knet.trainer.evaluate import judging
    from seg2knet.trainer.evaluate.evaluation import evaluate

    page: Optional[Path] = None
    other = stacks.choose(stack, knet)
    classes = read_classes(class_file) if class_file is not None else None
    how: dict[str, Any] = {"show_dir": show_dir, "submission": submission, "device": device, "classes": classes}
    with bar("evaluating") as ticked:
        if other is not None:
            result = other.evaluate(checkpoint, data, split, knet=knet, ticked=ticked, **how)
        else:
            result = evaluate(checkpoint, data, split, workers=workers, ticked=ticked, **how)
    if result.figures and not no_html and other is None:
        page = html or result.checkpoint.parent / f"test-{result.split}.html"
    report = judging.report(result) if page is not None or csv_file is not None else None
    if report is not None and page is not None:
        page.write_text(report.html, encoding="utf-8")
    if report is not None and csv_file is not None:
        csv_file.write_text(report.csv, encoding="utf-8")
    if out is not None:
        out.write_text(json.dumps(result.predictions))
    _print(result, show_dir, csv_file, out, submission, page)
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
@click.command(short_help="Compare two checkpoints or result files.")
@click.argument("a")
@click.argument("b")
@click.argument("data", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", metavar="NAME", help="train, val or test; by default val.")
@click.option("--html", type=_FILE, metavar="FILE", help="Write a page with the objects that were won and lost.")
@click.option("--junit", type=_FILE, metavar="FILE", help="Write a JUnit file: a test case for each --fail-if.")
@click.option("--fail-if", "conditions", multiple=True, metavar="CONDITION", help="Exit 1 if it holds: 'AP < -0.01'.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the bootstrap.")
@click.option("--device", metavar="cuda|cpu", help="By default a GPU where there is one.")
@click.option("--workers", type=int, default=2, show_default=True, metavar="N", help="Processes that load images.")
def compare(
    a: str,
    b: str,
    data: Optional[Path],
    split: Optional[str],
    html: Optional[Path],
    junit: Optional[Path],
    conditions: tuple[str, ...],
    seed: int,
    device: Optional[str],
    workers: int,
) -> Outcome:
    """Is B better than A? Two checkpoints, or two files of COCO results, on the same split of DATA.

    Differences are B - A, with 95 % intervals of a paired bootstrap over images.

    \b
    seg2knet compare old/best.pth new/best.pth data/coco --html compare.html
    seg2knet compare old.json new.json data/coco --fail-if 'AP < -0.01'
    """
    from seg2knet.cli.checks import check_checkpoint, check_outputs
    from seg2knet.cli.terminal import bar, loading
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
        comparison = run(a, b, data, split, seed=seed, device=device, workers=workers, ticked=ticked)
    failed = [condition for condition in conditions if comparison.fails(condition)]
    echo(judging.text(comparison))
    if html is not None:
        html.write_text(compare_page(comparison), encoding="utf-8")
    if junit is not None:
        junit.write_text(judging.junit(comparison, conditions), encoding="utf-8")
    for condition in failed:
        echo(f"failed: {condition}", err=True)
    return Outcome(comparison.as_dict(), 1 if failed else 0)
