"""``seg2knet predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import click


@click.command(short_help="Segment images with a checkpoint.")
@click.argument("checkpoint")
@click.argument("images", nargs=-1, required=True)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("predictions"), show_default=True, metavar="DIR",
    help="Where to write to.",
)  # fmt: skip
@click.option(
    "--format", "formats", default="overlay", show_default=True, metavar="NAME[,NAME]",
    help="overlay: pictures; coco: results JSON; labelme: JSON to correct in LabelMe.",
)  # fmt: skip
@click.option(
    "--score-thr", type=click.FloatRange(0, 1), default=0.3, show_default=True, help="Leave out what is less certain."
)
@click.option("--device", metavar="cuda|cpu", help="By default a GPU where there is one.")
@click.option("--stack", metavar="NAME", help="mmengine, or classic (mmdet 2): chosen by what is installed.")
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
    """Segment IMAGES (files, folders or patterns) with CHECKPOINT, which says itself what its classes are.

    \b
    seg2knet predict work_dirs/coco/best.pth photos/
    seg2knet predict best.pth 'photos/*.jpg' --format labelme --out photos
    """
    from functools import partial

    from seg2knet.cli._bar import bar
    from seg2knet.trainer import stacks
    from seg2knet.trainer.predict.prediction import predict_files
    from seg2knet.trainer.predict.predictions import find_pictures

    pictures = find_pictures(images)
    wanted = [each.strip() for each in formats.split(",") if each.strip()]
    other = stacks.choose(stack, knet)
    load = partial(other.segmenter, knet=knet) if other is not None else None
    with bar("predicting") as ticked:
        found = predict_files(
            checkpoint, pictures, out, wanted, score_thr=score_thr, device=device, ticked=ticked, load=load
        )  # fmt: skip
    click.echo(f"{found.images} images, {found.objects} objects: {out}")
    for failure in found.failures:
        click.secho("skipped: ", fg="yellow", nl=False, err=True)
        click.echo(failure, err=True)
    if found.failures:
        raise SystemExit(1)
