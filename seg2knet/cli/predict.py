"""``seg2knet predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import click


@click.command(short_help="Segment images with a checkpoint.")
@click.argument("checkpoint")
@click.argument("images", nargs=-1, required=True)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("predictions"), show_default=True, metavar="DIR",
    help="The folder to write to.",
)  # fmt: skip
@click.option(
    "--format", "formats", default="overlay", show_default=True, metavar="NAME[,NAME]",
    help="overlay: images; coco: results JSON; labelme: JSON to correct in LabelMe.",
)  # fmt: skip
@click.option(
    "--score-thr",
    type=click.FloatRange(0, 1),
    default=0.3,
    show_default=True,
    help="Leave out objects with a lower score.",
)
@click.option("--device", metavar="cuda|cpu", help="By default a GPU where there is one.")
@click.option("--stack", metavar="NAME", help="mmengine, or classic (mmdet 2): by default what is installed.")
@click.option("--knet", type=click.Path(path_type=Path), metavar="DIR", help="Classic stack: a checkout of K-Net.")
def predict(
    checkpoint: str,
    images: tuple[str, ...],
    out: Path,
    formats: str,
    score_thr: float,
    device: Optional[str],
    stack: Optional[str],
    knet: Optional[Path],
) -> None:
    """Segment IMAGES (files, folders or patterns) with CHECKPOINT, which holds its classes and config.

    \b
    seg2knet predict work_dirs/coco/best.pth photos/
    seg2knet predict best.pth 'photos/*.jpg' --format labelme --out photos
    """
    from functools import partial

    from seg2knet.cli.terminal import bar
    from seg2knet.errors import DataError
    from seg2knet.trainer import stacks
    from seg2knet.trainer.predict.files import PredictionWriter, find_images, segmented
    from seg2knet.trainer.predict.inference import Segmenter

    paths = find_images(images)
    other = stacks.choose(stack, knet)
    load: Any = partial(other.segmenter, knet=knet) if other is not None else Segmenter
    failures: list[DataError] = []
    done = objects = 0
    with bar("predicting") as ticked:
        model = load(checkpoint, device)
        wanted = [name.strip() for name in formats.split(",") if name.strip()]
        writer = PredictionWriter(out, model.classes, model.task, wanted)
        for prediction in segmented(model, paths, writer, score_thr=score_thr, failed=failures.append, ticked=ticked):
            done, objects = done + 1, objects + len(prediction.labels)
    click.echo(f"{done} images, {objects} objects: {out}")
    for failure in failures:
        click.secho("skipped: ", fg="yellow", nl=False, err=True)
        click.echo(failure, err=True)
    if failures:
        raise SystemExit(1)
