"""Which labels of a data set look wrong: judged by models that have not seen them."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

from seg2knet.dataset.folder import DataFolder, Split, read_folder
from seg2knet.dataset.layout import CocoLayout
from seg2knet.errors import DataError, UsageError
from seg2knet.judge.objects import Judged
from seg2knet.judge.suspects import Suspect, suspects
from seg2knet.trainer.evaluate.evaluation import evaluate

Say = Callable[[str], None]


@dataclass(frozen=True)
class Audit:
    """The labels that look wrong.

    Attributes:
        data, split: what was looked at.
        suspects: most suspicious first.
        judged: annotations, results and the folder of the images.
    """

    data: Path
    split: str
    suspects: list[Suspect]
    judged: Judged = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        files = {image["id"]: image["file_name"] for image in self.judged.truth["images"]}
        rows = [{**vars(suspect), "file_name": files[suspect.image_id]} for suspect in self.suspects]
        return {"data": str(self.data), "split": self.split, "suspects": rows}


def audit(
    data: Union[str, Path, None] = None,
    split: str = "train",
    *,
    checkpoint: Union[str, Path, None] = None,
    folds: int = 3,
    work_dir: Optional[Path] = None,
    seed: int = 0,
    say: Say = print,
    **options: Any,
) -> Audit:
    """Rank the labels of a split that look wrong.

    Args:
        data: a data set's folder in COCO layout; by default ``data/coco``.
        split: which.
        checkpoint: a model that has not seen the split; without it ``folds`` models are trained, each on the images
            that it does not judge.
        folds: how many models, 2 or more.
        work_dir: where they are trained; finished folds in it are not trained again. By default
            ``work_dirs/audit-<name of the data>``.
        seed: decides which image is in which fold.
        say: takes lines for the user.
        options: of the trainings, fields of :class:`seg2knet.trainer.options.TrainOptions`.

    Raises:
        DataError: the data cannot be used.
        UsageError: there is no such split, or too few images for the folds.
    """
    folder = read_folder(Path(data) if data is not None else None, "instance")
    part = folder.split(split)
    truth = json.loads(part.annotations.read_bytes())
    if checkpoint is not None:
        results = evaluate(checkpoint, folder.root, split, device=options.get("device")).predictions
    else:
        root = work_dir or Path("work_dirs") / f"audit-{folder.root.name}"
        results = _by_folds(folder, part, truth, folds, root, seed, say, options)
    return Audit(folder.root, split, suspects(truth, results), Judged(truth, results, part.images))


def _by_folds(
    folder: DataFolder, part: Split, truth: dict[str, Any], folds: int, root: Path, seed: int, say: Say,
    options: dict[str, Any],
) -> list[dict[str, Any]]:  # fmt: skip
    from seg2knet.trainer.api import train

    images = [image["id"] for image in truth["images"]]
    if folds < 2 or len(images) < 2 * folds:
        raise UsageError("too few images for the folds", found=f"{len(images)} images, --folds {folds}",
                         expected="2 folds or more, of 2 images or more each")  # fmt: skip
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
            run = train(
                place / "data", work_dir=place / "run", task="instance", validate=False, resume=stopped, say=say,
                **({} if stopped else options),
            )  # fmt: skip
            if run.interrupted:
                raise DataError("the audit was stopped", hint="the same command resumes it")
            (place / "done").touch()
        say(f"fold {number + 1} of {folds}: judging {len(held_out)} images")
        results += evaluate(best, place / "data", "val", device=options.get("device")).predictions
    return results


def fold_data(root: Path, part: Split, truth: dict[str, Any], held_out: frozenset[int]) -> None:
    """Write a data set whose val split are the images held out, and whose train split are the others.

    Images are hard links where that is possible; ids stay those of ``truth``.
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
                _link(part.images / image["file_name"], layout.images(name) / plain)
                images.append({**image, "file_name": plain})
                ids.add(image["id"])
        own = [annotation for annotation in truth["annotations"] if annotation["image_id"] in ids]
        file = layout.instances(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({**truth, "images": images, "annotations": own}), encoding="utf-8")


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
