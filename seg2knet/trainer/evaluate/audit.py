"""Which labels of a data set look wrong: judged by models that have not seen them."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Optional, Union

from seg2knet.dataset.folder import Split, read_folder
from seg2knet.dataset.grouping import grouped
from seg2knet.dataset.layout import CocoLayout
from seg2knet.dataset.sample import Image, Object, Polygons, Sample
from seg2knet.download.transfer import TransferError
from seg2knet.errors import DataError, UsageError
from seg2knet.judge.objects import Judged
from seg2knet.judge.suspects import MISSING, Suspect, as_report, suspects
from seg2knet.trainer.evaluate.evaluation import Evaluation, as_rle, evaluate
from seg2knet.validators.report import Report

Say = Callable[[str], None]


@dataclass(frozen=True)
class Audit:
    """The labels of a split that look wrong, most suspicious first, what they were judged by, and the time it took."""

    data: Path
    split: str
    file: Path
    suspects: list[Suspect]
    judged: Judged = field(repr=False)
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        files = {image["id"]: image["file_name"] for image in self.judged.truth["images"]}
        rows = [{**vars(suspect), "file_name": files[suspect.image_id]} for suspect in self.suspects]
        return {"data": str(self.data), "split": self.split, "suspects": rows}

    def report(self) -> Report:
        """The suspects as findings, for every format of ``seg2knet validate``."""
        return as_report(self.judged, self.suspects, self.file, self.seconds)

    def samples(self, most: Optional[int] = None) -> Iterator[Sample]:
        """The images of the first suspects for a label tool, each with all its annotations; what is missing is added.

        Objects in question say kind and score of the suspicion, and the reason, as attributes.
        """
        by_image = grouped((suspect.image_id, suspect) for suspect in self.suspects[:most])
        names, truth = self.judged.named(), self.judged.truth
        for image in truth["images"]:
            if image["id"] not in by_image:
                continue
            own, size = by_image[image["id"]], (image["height"], image["width"])
            suspected = {number: suspect for suspect in own for number in suspect.annotation_ids}
            annotations = [entry for entry in truth["annotations"] if entry["image_id"] == image["id"]]
            entries = [(entry, suspected.get(entry["id"])) for entry in annotations]
            entries += [(self.judged.results[one.result or 0], one) for one in own if one.kind == MISSING]
            objects = tuple(_object(entry, names[entry["category_id"]], size, why) for entry, why in entries)
            path = str(self.judged.images / image["file_name"])
            yield Sample(Image(image["file_name"], size[1], size[0], path), objects)


def _object(entry: dict[str, Any], name: str, size: tuple[int, int], suspect: Optional[Suspect]) -> Object:
    """An annotation or result of a COCO file; its polygons stay polygons."""
    outline = entry["segmentation"]
    shape = Polygons(outline) if isinstance(outline, list) else as_rle(outline, *size)
    why = {"suspect": suspect.kind, "score": suspect.score, "reason": suspect.reason} if suspect else None
    return Object(name, shape, bool(entry.get("iscrowd")), attributes=why)


def audit(
    data: Union[str, Path, None] = None,
    split: str = "train",
    *,
    checkpoint: Union[str, Path, None] = None,
    folds: int = 3,
    work_dir: Optional[Path] = None,
    seed: int = 0,
    say: Say = print,
    ticked: Optional[Callable[[int, int], None]] = None,
    **options: Any,
) -> Audit:
    """Rank the labels of a split that look wrong.

    Args:
        data: a data set's folder in COCO layout; by default ``data/coco``.
        checkpoint: a model that has not seen the split; without it ``folds`` models are trained, each on the images
            that it does not judge.
        folds: how many models, 2 or more.
        work_dir: where they are trained; finished folds in it are not trained again. By default
            ``work_dirs/audit-<name of the data>``.
        seed: decides which image is in which fold.
        say: takes lines for the user.
        ticked: called with images judged and in all.
        options: of the trainings, fields of :class:`seg2knet.trainer.options.TrainOptions`.

    Raises:
        DataError: the data cannot be used.
        UsageError: there is no such split, or too few images for the folds.
    """
    started = time.monotonic()
    folder = read_folder(Path(data) if data is not None else None, "instance")
    part = folder.split(split)
    truth = json.loads(part.annotations.read_bytes())
    judge = partial(evaluate, device=options.get("device"), workers=options.get("workers") or 0, ticked=ticked)
    if checkpoint is not None:
        results = judge(checkpoint, folder.root, split).predictions
    else:
        root = work_dir or Path("work_dirs") / f"audit-{folder.root.name}"
        results = _by_folds(judge, part, truth, folds, root, seed, say, options)
    ranked, judged = suspects(truth, results), Judged(truth, results, part.images)
    return Audit(folder.root, split, part.annotations, ranked, judged, time.monotonic() - started)


def _by_folds(
    judge: Callable[..., Evaluation], part: Split, truth: dict[str, Any], folds: int, root: Path, seed: int, say: Say,
    options: dict[str, Any],
) -> list[dict[str, Any]]:  # fmt: skip
    from seg2knet.trainer.api import train

    images = [image["id"] for image in truth["images"]]
    if folds < 2 or len(images) < 2 * folds:
        found = f"{len(images)} images, --folds {folds}"
        raise UsageError("too few images for the folds", found=found, expected="2 or more, of 2 images or more each")
    random.Random(seed).shuffle(images)
    results: list[dict[str, Any]] = []
    for number in range(folds):
        held_out = frozenset(images[number::folds])
        place = root / f"fold-{number + 1}-of-{folds}-seed-{seed}"
        best = place / "run" / "best.pth"
        if not (place / "done").exists():
            say(f"fold {number + 1} of {folds}: training on {len(images) - len(held_out)} images")
            fold_data(place / "data", part, truth, held_out)
            stopped = (place / "run" / "last.pth").exists()
            fold = partial(train, place / "data", work_dir=place / "run", task="instance", validate=False, say=say)
            try:
                run = fold(resume=True) if stopped else fold(**options)
            except TransferError as error:
                if stopped or {"backbone", "backbone_weights", "pretrained"} & set(options):
                    raise
                say(f"{error}\nwithout them the folds train from scratch")
                options = {**options, "pretrained": "none"}
                run = fold(**options)
            if run.interrupted:
                raise DataError("the audit was stopped", hint="the same command resumes it")
            (place / "done").touch()
        say(f"fold {number + 1} of {folds}: judging {len(held_out)} images")
        results += judge(best, place / "data", "val").predictions
    return results


def fold_data(root: Path, part: Split, truth: dict[str, Any], held_out: frozenset[int]) -> None:
    """Write a data set whose val split are the images held out, and whose train split are the others; ids stay.

    Images are hard links where that is possible.
    """
    if root.exists():
        shutil.rmtree(root)
    layout = CocoLayout(root)
    for name, inside in (("train", False), ("val", True)):
        images, ids = [], set()
        layout.images(name).mkdir(parents=True)
        for image in truth["images"]:
            if (image["id"] in held_out) == inside:
                plain = f"{image['id']}{Path(image['file_name']).suffix}"  # no sub-folder, whatever the name is
                source, target = part.images / image["file_name"], layout.images(name) / plain
                try:
                    os.link(os.path.realpath(source), target)  # not the link to an image elsewhere
                except OSError:  # another file system, or one without links
                    shutil.copyfile(source, target)
                images.append({**image, "file_name": plain})
                ids.add(image["id"])
        own = [annotation for annotation in truth["annotations"] if annotation["image_id"] in ids]
        file = layout.instances(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({**truth, "images": images, "annotations": own}), encoding="utf-8")
