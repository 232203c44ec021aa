"""``seg2knet predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from seg2knet.cli.checks import check_checkpoint, check_names, check_outputs
from seg2knet.cli.outcome import Outcome, speaks
from seg2knet.cli.terminal import CLASSES, DEVICE, KNET, PATH, STACK, bar, echo, loading, styled
from seg2knet.errors import DataError, UsageError


@speaks(works=True)
@click.command()
@click.argument("checkpoint")
@click.argument("images", nargs=-1, required=True)
@click.option(
    "--out", type=PATH, default=Path("predictions"), show_default=True, metavar="DIR", help="The folder to write to."
)
@click.option(
    "--format", "formats", default="overlay", show_default=True, metavar="NAME[,NAME]",
    help="overlay: images; coco: results JSON; labelme: JSON to correct in LabelMe; or a data set to correct in a "
    "label tool or to train on: cvat, labelstudio, yolo, voc, masks, coco-dataset.",
)  # fmt: skip
@click.option(
    "--score-thr", type=click.FloatRange(0, 1), metavar="SCORE",
    help="Leave out objects with a lower score; by default the one that was best for F1 on the validation split, "
    "else 0.3.",
)  # fmt: skip
@click.option(
    "--dedup", type=click.FloatRange(0, 1), default=0.7, show_default=True, metavar="IOU",
    help="Of two objects of one class whose masks overlap more, keep the better one; 0 keeps both.",
)  # fmt: skip
@click.option("--batch-size", type=click.IntRange(1), default=1, show_default=True, help="Images segmented together.")
@click.option("--workers", type=click.IntRange(0), help="Processes that read images; by default up to 4 beside a GPU.")
@click.option("--half", is_flag=True, help="Compute in bfloat16 (float16 on GPUs without it): faster.")
@click.option("--tile", type=click.IntRange(64), metavar="N", help="Segment large images in tiles of N pixels.")
@click.option(
    "--overlap", type=click.FloatRange(0, 0.5), default=0.2, show_default=True,
    help="Share of a tile that the next sees.",
)  # fmt: skip
@click.option("--tta", is_flag=True, help="Segment mirrored images too, and take the mean of both scores.")
@CLASSES
@DEVICE
@STACK
@KNET
def predict(checkpoint: str, images: tuple[str, ...], out: Path, formats: str, **how: Any) -> Outcome:
    """Segment IMAGES (files, folders, patterns, videos, numbers of webcams) with CHECKPOINT, which holds its classes.

    \b
    seg2knet predict work_dirs/coco/best.pth photos/
    seg2knet predict knet-s3-r50-fpn-1x photo.jpg
    seg2knet predict best.pth 'photos/*.jpg' --format labelme --out photos
    seg2knet predict best.pth aerial/ --tile 1024 --overlap 0.2
    seg2knet predict best.pth clip.mp4
    """
    from seg2knet.converters.classes import read_classes
    from seg2knet.converters.predictions import TARGETS, PredictedSet, new_folder
    from seg2knet.trainer import stacks
    from seg2knet.trainer.api import load
    from seg2knet.trainer.predict.files import PredictionWriter, find_images, segmented
    from seg2knet.trainer.predict.video import is_video, segment_video

    wanted = check_names(formats, ("overlay", "coco", "labelme", *TARGETS), "format of predictions")
    check_outputs(out, *(new_folder(name, out) for name in wanted if name in TARGETS))
    check_checkpoint(checkpoint)
    videos = [source for source in images if is_video(source)]
    paths = find_images(source for source in images if source not in videos)
    workers, knet, score_thr, dedup = how.pop("workers"), how.pop("knet"), how["score_thr"], how["dedup"]
    other = stacks.choose(how.pop("stack"), knet)
    if other is not None and (how["half"] or how["tile"] or how["tta"] or videos):
        raise UsageError("--half, --tile, --tta and videos need the current stack", hint="--stack mmengine")
    how["classes"] = how["classes"] and read_classes(how["classes"])
    failures: list[DataError] = []
    done = objects = 0
    names: set[Path] = set()
    model: Any
    loading()
    with bar("predicting") as ticked:
        if other is not None:
            model = other.segmenter(checkpoint, how["device"], knet=knet, classes=how["classes"])
            shown = 0.3 if score_thr is None else score_thr
        else:
            model = load(checkpoint, **how)
            shown = model.score_thr
        for video in videos:
            for count in segment_video(model, video, out, shown, ticked, dedup, names):
                done, objects = done + 1, objects + count
        sets = [PredictedSet(name, out, model.classes) for name in wanted if name in TARGETS]
        others = [name for name in wanted if name not in TARGETS]
        files = [PredictionWriter(out, model.classes, model.task, others)] if others or not sets else []
        for prediction in segmented(
            model, paths, [*files, *sets] if paths else [], score_thr=shown, dedup=dedup,
            failed=failures.append, ticked=ticked, batch_size=how["batch_size"], workers=workers,
        ):  # fmt: skip
            done, objects = done + 1, objects + len(prediction.labels)
    echo(f"{done} images, {objects} objects: {out}")
    if score_thr is None and getattr(model, "judged_score", None) is not None:
        echo(f"objects with a score of {shown:g} or more, the best for F1 when the model was judged (--score-thr)")
    for target in sets:
        for line in target.skipped():
            echo(line)
    for failure in failures:
        echo(styled("skipped: ", fg="yellow"), failure, err=True)
    facts = {"images": done, "objects": objects, "out": out, "skipped": [str(failure) for failure in failures]}
    return Outcome(facts, 1 if failures else 0)
