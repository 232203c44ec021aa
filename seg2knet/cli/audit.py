"""``seg2knet audit``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Optional

import click

from seg2knet.cli.checks import check_checkpoint, check_outputs
from seg2knet.cli.outcome import Outcome, speaks
from seg2knet.cli.terminal import DATA, FILE, PATH, bar, echo, loading
from seg2knet.cli.train import option
from seg2knet.cli.validate import FORMATS, write_report

TRAINING = (
    "epochs", "backbone", "pretrained", "backbone_weights", "batch_size", "img_size", "workers", "gpus", "device",
)  # fmt: skip
"""Options of train that the trainings of the folds take."""
SHAPES = ("labelme", "cvat")


@speaks(works=True, file=True)
@click.command(params=[option(name) for name in TRAINING])
@DATA
@click.option("--split", default="train", show_default=True, metavar="NAME", help="Which labels to look at.")
@click.option("--checkpoint", metavar="FILE", help="Judge with this model, which has not seen the split.")
@click.option("--folds", type=int, default=3, show_default=True, metavar="N", help="Models to train otherwise.")
@click.option("--work-dir", type=PATH, metavar="DIR", help="Where the folds are trained.")
@click.option("--html", type=FILE, default=Path("audit.html"), show_default=True, help="The page to go through.")
@click.option("--output-format", type=click.Choice(FORMATS), help="Print findings as seg2knet validate does.")
@click.option("--output-file", type=FILE, help="Write these findings there; text by default.")
@click.option("--shapes", type=click.Choice(SHAPES), multiple=True, help="Write suspects for a label tool.")
@click.option("--out", type=PATH, default=Path("audit"), show_default=True, help="In this folder.")
@click.option("--most", type=int, default=50, show_default=True, metavar="N", help="Suspects to print and to write.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the folds and their trainings.")
def audit(
    html: Path,
    output_format: Optional[str],
    output_file: Optional[Path],
    shapes: tuple[str, ...],
    out: Path,
    most: int,
    **options: Any,
) -> Outcome:
    """Which labels of DATA look wrong to models that have not seen them?

    Trains --folds models, each on the images that it does not judge, or takes --checkpoint. The same command resumes
    a run that was stopped.

    \b
    seg2knet audit data/coco --folds 3
    seg2knet audit data/coco --split val --checkpoint work_dirs/coco/best.pth
    seg2knet audit data/coco --output-format sarif --output-file audit.sarif --shapes labelme
    """
    from seg2knet.converters.predictions import PredictedSet, new_folder
    from seg2knet.dataset.classes import ClassList
    from seg2knet.judge.page import audit_page

    if options["checkpoint"] is not None:
        check_checkpoint(options["checkpoint"])
    check_outputs(html, output_file, options["work_dir"], *(new_folder(name, out) for name in shapes))
    loading()
    from seg2knet.trainer.evaluate.audit import audit as run

    aside = output_format is not None and output_file is None
    given = {name: value for name, value in options.items() if value is not None}
    with bar("judging", options["checkpoint"] is not None) as ticked:
        result = run(ticked=ticked, say=partial(echo, err=aside), **given)
    if output_format or output_file:
        write_report(result.report(), output_format or "text", output_file, False, True)
    if not aside:
        files = {image["id"]: image["file_name"] for image in result.judged.truth["images"]}
        for rank, suspect in enumerate(result.suspects[:most], 1):
            numbers = f" annotation {', '.join(map(str, suspect.annotation_ids))}" if suspect.annotation_ids else ""
            echo(f"{rank:4} {suspect.score:.2f} {suspect.kind}: {files[suspect.image_id]}{numbers}: {suspect.reason}")
    for name in shapes:
        target = PredictedSet(name, out, ClassList.of(list(result.judged.named().values())))
        for sample in result.samples(most):
            target.add(sample)
        target.close()
        for line in (*target.skipped(), f"the first {most} suspects as shapes: {target.root}"):
            echo(line, err=aside)
    title = f"{result.data}, {result.split} split"
    html.write_text(audit_page(title, result.judged, result.suspects), encoding="utf-8")
    echo(f"{len(result.suspects)} suspects; look at them in {html}", err=aside)
    return Outcome(result.as_dict())
