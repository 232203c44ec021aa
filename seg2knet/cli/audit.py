"""``seg2knet audit``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import click

from seg2knet.cli.train import option

_FILE = click.Path(path_type=Path, dir_okay=False)
TRAINING = ("epochs", "backbone", "batch_size", "img_size", "gpus", "device")
"""Options of train that the trainings of the folds take."""


@click.command(params=[option(name) for name in TRAINING], short_help="Rank the labels that look wrong.")
@click.argument("data", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", default="train", show_default=True, metavar="NAME", help="Which labels to look at.")
@click.option("--checkpoint", metavar="FILE", help="Judge with this model, which has not seen the split.")
@click.option("--folds", type=int, default=3, show_default=True, metavar="N", help="Models to train otherwise.")
@click.option("--work-dir", type=click.Path(path_type=Path), metavar="DIR", help="Where the folds are trained.")
@click.option("--html", type=_FILE, default=Path("audit.html"), show_default=True, help="The page to go through.")
@click.option("--json", "json_file", type=_FILE, metavar="FILE", help="Write all suspects; - prints them.")
@click.option("--most", type=int, default=50, show_default=True, metavar="N", help="Suspects to print.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the folds and their trainings.")
def audit(
    data: Optional[Path],
    split: str,
    checkpoint: Optional[str],
    folds: int,
    work_dir: Optional[Path],
    html: Path,
    json_file: Optional[Path],
    most: int,
    seed: int,
    **options: Any,
) -> None:
    """Which labels of DATA look wrong to models that have not seen them?

    Trains --folds models, each on the images that it does not judge, or takes --checkpoint. The same command resumes
    a run that was stopped.

    \b
    seg2knet audit data/coco --folds 3
    seg2knet audit data/coco --split val --checkpoint work_dirs/coco/best.pth
    """
    import json
    import sys

    from seg2knet.judge.page import audit_page
    from seg2knet.trainer.evaluate.audit import audit as run

    quiet = str(json_file) == "-"
    given = {name: value for name, value in options.items() if value is not None}
    result = run(
        data, split, checkpoint=checkpoint, folds=folds, work_dir=work_dir, seed=seed,
        say=lambda line: click.echo(line, err=quiet), **given,
    )  # fmt: skip
    text = json.dumps(result.as_dict(), indent=2, ensure_ascii=False) + "\n"
    if quiet:
        sys.stdout.write(text)
    else:
        files = {image["id"]: image["file_name"] for image in result.judged.truth["images"]}
        for rank, suspect in enumerate(result.suspects[:most], 1):
            numbers = f" annotation {', '.join(map(str, suspect.annotation_ids))}" if suspect.annotation_ids else ""
            click.echo(
                f"{rank:4} {suspect.score:.2f} {suspect.kind}: {files[suspect.image_id]}{numbers}: {suspect.reason}"
            )
    if json_file is not None and not quiet:
        json_file.write_text(text, encoding="utf-8")
    html.write_text(
        audit_page(f"{result.data}, {result.split} split", result.judged, result.suspects), encoding="utf-8"
    )
    click.echo(f"{len(result.suspects)} suspects; look at them in {html}", err=quiet)
