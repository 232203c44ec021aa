"""What pre-annotation is worth: train on some images, predict others into label tools, correct, merge, train again.

    python benchmarks/circle.py --data ../shared/data/carparts --json circle.json

Of the training images ``--images`` are labelled at first; a model of them predicts as many others into LabelMe and CVAT
files. Both are converted back and compared (LabelMe's outlines have fewer corners, to be moved by hand). The person who
corrects is played by the truth: an object stays as it was predicted if it has the class and a mask IoU of ``--accept``,
else the true one takes its place. The corrected images and the first ones are merged and trained on, as many steps as
at first. AP is that of all test images. Every step is a command of seg2knet.

Written: ``before`` and ``after`` (mask AP and AP50); ``images``, and of the images that were predicted ``objects``
(true ones) and ``predicted``; of the predictions that were corrected ``accepted``, ``outline`` and ``label`` (to
correct), ``missed`` (to draw) and ``removed`` (nothing is there); ``cvat_iou``: least mask IoU of an object in the
LabelMe files with that in the CVAT file.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
from collections import Counter, defaultdict
from itertools import product
from pathlib import Path
from typing import Any

from carparts import COMMAND, weights
from pycocotools import mask as coco_mask

from seg2knet.judge.objects import rle_of

Content = dict[str, Any]
SAME = 0.5
"""Mask IoU from which a predicted object is taken for an annotated one, as AP50 takes it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with trainingset/ and testset/")
    parser.add_argument("--images", type=int, default=100, help="labelled at first, and then predicted  [100]")
    parser.add_argument("--shown", type=int, default=3000, help="images that each training is shown in all  [3000]")
    parser.add_argument("--accept", type=float, default=0.75, help="IoU from which an outline stays  [0.75]")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--work", type=Path, help="folder for data and runs  [a temporary one]")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (given.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        text = json.dumps(circle(given, work), indent=2)
    print(text)
    if given.json is not None:
        given.json.write_text(text + "\n")


def circle(given: argparse.Namespace, work: Path) -> Content:
    source = given.data.resolve()
    start = weights(work / "tf_efficientnet_lite0.pth")
    content = json.loads((source / "trainingset" / "annotations.json").read_bytes())
    images = sorted(content["images"], key=lambda image: image["file_name"])
    first = part(content, images[: given.images], source, work / "first")
    more = part(content, images[given.images : 2 * given.images], source, work / "more")
    test = f"test={source / 'testset'}"

    def trained(name: str, *folders: Path) -> tuple[Content, Path]:
        data, run, figures = work / name / "data", work / name / "run", work / name / "test.json"
        convert("coco", [*(f"train={folder}" for folder in folders), test], data)
        epochs = max(1, round(given.shown / (given.images * len(folders))))
        options = ["--backbone-weights", str(start), "--gpus", "0", "--val", "none", "--epochs", str(epochs)]
        command("train", str(data), *options, "--work-dir", str(run))
        command("test", str(run / "last.pth"), str(data), "--split", "test", "--json", str(figures))
        found = json.loads(figures.read_bytes())["figures"]
        return {"ap": found["AP"], "ap50": found["AP50"]}, run / "last.pth"

    before, checkpoint = trained("before", first)
    predictions = work / "predictions"
    pixels, back = source / "trainingset" / "JPEGImages", work / "back"
    paths = [str(pixels / Path(image["file_name"]).name) for image in images[given.images : 2 * given.images]]
    command("predict", str(checkpoint), *paths, "--format", "labelme,cvat", "--out", str(predictions))
    shutil.move(predictions / "cvat", work / "cvat")  # beside, not below: a data set of its own
    below = ["--images-dir", str(pixels)]
    convert("labelme", [f"train={predictions}"], back / "labelme", *below)
    convert("cvat", [f"train={work / 'cvat'}"], back / "cvat")
    predicted, same = [read(back / name) for name in ("labelme", "cvat")]
    truth = json.loads((more / "annotations.json").read_bytes())
    corrected, counts = correct(truth, predicted, given.accept)
    merged = write(corrected, source, work / "corrected")
    return {
        "images": given.images,
        "objects": len(truth["annotations"]),
        "predicted": len(predicted["annotations"]),
        **counts,
        "cvat_iou": least_iou(predicted, same),
        "before": before,
        "after": trained("after", first, merged)[0],
    }


def part(content: Content, images: list[Content], source: Path, folder: Path) -> Path:
    """A COCO data set of some of the images."""
    kept = {image["id"] for image in images}
    annotations = [one for one in content["annotations"] if one["image_id"] in kept]
    return write({**content, "images": images, "annotations": annotations}, source, folder)


def write(content: Content, source: Path, folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "annotations.json").write_text(json.dumps(content))
    (folder / "JPEGImages").symlink_to(source / "trainingset" / "JPEGImages")
    return folder


def read(data: Path) -> Content:
    content: Content = json.loads((data / "annotations" / "instances_train2017.json").read_bytes())
    return content


def masks_of(content: Content) -> dict[tuple[str, str], list[Content]]:
    """Masks by image and class."""
    images = {image["id"]: image for image in content["images"]}
    classes = {category["id"]: category["name"] for category in content["categories"]}
    masks = defaultdict(list)
    for one in content["annotations"]:
        image = images[one["image_id"]]
        mask = rle_of(one["segmentation"], image["height"], image["width"])
        masks[Path(image["file_name"]).name, classes[one["category_id"]]].append(mask)
    return masks


def least_iou(one: Content, other: Content) -> float:
    """The least of the IoUs of all objects, each with the most alike of its image and class."""
    left, right = masks_of(one), masks_of(other)
    assert {key: len(masks) for key, masks in left.items()} == {key: len(masks) for key, masks in right.items()}
    return min(float(coco_mask.iou(left[key], right[key], [0] * len(right[key])).max(axis=1).min()) for key in left)


def correct(truth: Content, predicted: Content, accept: float) -> tuple[Content, Content]:
    """The truth's annotations, with those that were predicted well enough as they were predicted; what was to do."""
    classes = {category["id"]: category["name"] for category in truth["categories"]}
    guessed = {category["id"]: category["name"] for category in predicted["categories"]}
    names = {image["id"]: Path(image["file_name"]).name for image in predicted["images"]}
    on_image = defaultdict(list)
    for one in predicted["annotations"]:
        on_image[names[one["image_id"]]].append(one)
    counts: Counter[str] = Counter(accepted=0, outline=0, label=0, missed=0, removed=0)
    annotations = []
    for image in truth["images"]:
        mine = [one for one in truth["annotations"] if one["image_id"] == image["id"]]
        theirs = on_image[Path(image["file_name"]).name]
        masks, guesses = [
            [rle_of(one["segmentation"], image["height"], image["width"]) for one in objects]
            for objects in (mine, theirs)
        ]
        ious = coco_mask.iou(masks, guesses, [0] * len(theirs))
        pairs = sorted(
            (guessed[theirs[k]["category_id"]] == classes[mine[i]["category_id"]], float(ious[i][k]), i, k)
            for i, k in product(range(len(mine)), range(len(theirs)))
            if ious[i][k] >= SAME
        )
        partners: dict[int, tuple[bool, float, Content]] = {}
        taken: set[int] = set()
        for same_class, iou, i, k in reversed(pairs):
            if i not in partners and k not in taken:
                partners[i] = same_class, iou, theirs[k]
                taken.add(k)
        counts["removed"] += len(theirs) - len(taken)
        for i, one in enumerate(mine):
            same_class, iou, guess = partners.get(i, (False, 0.0, one))
            kind = "missed" if i not in partners else "label" if not same_class else "outline"
            if same_class and iou >= accept:
                kind = "accepted"
                one = {**one, **{key: guess[key] for key in ("segmentation", "area", "bbox")}}
            counts[kind] += 1
            annotations.append(one)
    return {**truth, "annotations": annotations}, dict(counts)


def convert(form: str, sources: list[str], data: Path, *more: str) -> None:
    command("convert", form, *sources, "--to", "coco", "--out", str(data), "--no-sheet", *more)


def command(*arguments: str) -> None:
    subprocess.run([*COMMAND, *arguments], check=True)


if __name__ == "__main__":
    main()
