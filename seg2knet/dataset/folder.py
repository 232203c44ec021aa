"""What a data set folder holds, as far as training needs it: task, classes, counts, where each split's files are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

from seg2knet.dataset import coco_json
from seg2knet.dataset.classes import ClassInfo, ClassList
from seg2knet.dataset.coco_json import Category, Instances, Panoptic, PanopticAnnotation
from seg2knet.dataset.files import read_text
from seg2knet.dataset.images import is_image
from seg2knet.dataset.layout import SPLITS, AdeLayout, CocoLayout, find_ade, find_coco, find_dataset
from seg2knet.dataset.text import class_rows
from seg2knet.errors import DataError, UsageError


@dataclass(frozen=True)
class Split:
    name: str  # ``train``, ``val`` or ``test``
    images: Path  # folder of the images
    annotations: Path  # JSON file (instance, panoptic) or folder of masks (semantic)
    pngs: Optional[Path]  # panoptic: folder of the PNGs
    count: int  # images
    objects: int  # objects or segments; 0 for semantic, where they are not counted
    most: int = 0  # the most that are on one image
    has_truth: bool = True  # False for a list of images alone (``image_info_*.json``)
    # semantic: a list of the images that belong to it, a name below ``images`` a line; by default all
    names: Optional[Path] = None


@dataclass(frozen=True)
class DataFolder:
    """A data set: for which ``task`` (``instance``, ``panoptic`` or ``semantic``), the training split's classes
    (panoptic: things first), splits by name, and another task that the folder could be used for.
    """

    root: Path
    task: str
    classes: ClassList
    splits: dict[str, Split]
    also: Optional[str] = None

    def split(self, name: str) -> Split:
        """Raises UsageError: there is no such split."""
        if name in self.splits:
            return self.splits[name]
        expected = f"one of {', '.join(self.splits)}"
        raise UsageError(f"the data set has no {name} split", file=self.root, expected=expected)


def read_folder(root: Optional[Path] = None, task: Optional[str] = None) -> DataFolder:
    """Read a data set's folder, by default ``data/coco`` or ``data/ade``; ``task`` is panoptic before instance.

    Raises DataError: there is no data set, or its files are not what they should be; UsageError: it cannot be used for
    ``task``.
    """
    layout = find_dataset() if root is None else find_dataset([Path(root)])
    if task is not None and (task == "semantic") != isinstance(layout, AdeLayout):
        holds = "semantic"
        if isinstance(layout, CocoLayout):
            holds = "panoptic" if layout.panoptic_splits() else "instance"
        other = find_ade(layout.root) if task == "semantic" else find_coco(layout.root)
        if other is None:
            raise _no_such_task(layout.root, task, holds)
        layout = other
    return _read_ade(layout) if isinstance(layout, AdeLayout) else _read_coco(layout, task)


def _no_such_task(root: Path, task: str, holds: str) -> UsageError:
    target = {"semantic": "ade", "panoptic": "panoptic", "instance": "coco"}[task]
    return UsageError(
        f"this folder cannot train {task} segmentation",
        file=root,
        found=f"what {holds} segmentation needs",
        hint=f"seg2knet convert coco {root} --to {target}",
    )


def _read_coco(layout: CocoLayout, task: Optional[str]) -> DataFolder:
    instances, panoptic = layout.splits(), layout.panoptic_splits()
    wanted = task or ("panoptic" if "train" in panoptic else "instance")
    present = panoptic if wanted == "panoptic" else instances
    if not present:
        raise _no_such_task(layout.root, wanted, "instance" if wanted == "panoptic" else "panoptic")
    is_panoptic = wanted == "panoptic"
    splits: dict[str, Split] = {}
    classes: dict[str, ClassList] = {}
    for name in SPLITS:
        truth = layout.panoptic(name) if is_panoptic else layout.instances(name)
        lists = (layout.image_info(f"{name}-dev"), layout.image_info(name))
        without_truth = next((file for file in lists if file.is_file()), None)
        file = truth if name in present else without_truth
        if file is None:
            continue
        kind: type[Union[Instances, Panoptic]] = Panoptic if is_panoptic and file == truth else Instances
        content = coco_json.read(file, kind)
        pngs = layout.panoptic_pngs(name) if kind is Panoptic else None
        counts = len(content.images), *_count(content.annotations or [])
        splits[name] = Split(name, layout.images(name), file, pngs, *counts, has_truth=file == truth)
        if file == truth:
            classes[name] = class_list(content.categories, file, is_panoptic)
    first = "train" if "train" in classes else next(iter(classes))
    for name, listed in classes.items():
        if unknown := [each for each in listed.names if each not in classes[first]]:
            known = classes[first].names
            raise DataError(
                "classes that the training split does not have",
                file=splits[name].annotations,
                place="categories",
                found=", ".join(unknown[:10]),
                expected=", ".join(known[:10]) + (", ..." if len(known) > 10 else ""),
                hint="convert both splits in one run, so that they share their classes",
            )
    also = "instance" if wanted == "panoptic" and "train" in instances and task is None else None
    return DataFolder(layout.root, wanted, classes[first], splits, also)


def _count(annotations: list) -> tuple[int, int]:
    """Objects in all, and on the image that has the most."""
    if annotations and isinstance(annotations[0], PanopticAnnotation):
        counts = [len(each.segments_info) for each in annotations]
    else:
        counts = list(Counter(each.image_id for each in annotations).values())
    return sum(counts), max(counts, default=0)


def class_list(categories: list[Category], file: Path, panoptic: bool) -> ClassList:
    """The categories in the file's order; panoptic: things first.

    Raises DataError: there are none, or one is listed twice.
    """
    if not categories:
        raise DataError("no categories", file=file, hint=f"seg2knet validate {file.parent.parent}")
    found = ClassList(
        tuple(
            ClassInfo(
                each.name,
                isthing=bool(each.isthing) or not panoptic,
                color=(each.color[0], each.color[1], each.color[2]) if each.color and len(each.color) == 3 else None,
                supercategory=each.supercategory or "",
            )
            for each in categories
        )
    )
    return found.things_first() if panoptic else found


def _read_ade(layout: AdeLayout) -> DataFolder:
    splits = {}
    for name in SPLITS:
        folder = layout.images(name)
        if not folder.is_dir():
            continue
        count = sum(1 for path in folder.rglob("*") if is_image(path))
        truth = layout.annotations(name)
        splits[name] = Split(name, folder, truth, None, count, 0, 0, truth.is_dir())
    return DataFolder(layout.root, "semantic", _object_info(layout.object_info), splits)


def _object_info(file: Path) -> ClassList:
    """Classes of ``objectInfo.txt`` (ADE20K's ``objectInfo150.txt`` too), which must be numbered from 1 on."""
    there = next((each for each in (file, file.with_name("objectInfo150.txt")) if each.is_file()), None)
    if there is None:
        raise DataError("the list of classes is missing", file=file, expected="objectInfo.txt with a class a row")
    names: list[str] = []
    for row in class_rows(read_text(there)):
        if row.number != len(names) + 1:
            expected = "number, tab, ..., name" if row.number is None else f"number {len(names) + 1}"
            message = "not a class" if row.number is None else "classes must be numbered from 1 on"
            raise DataError(message, file=there, place=f"row {row.line}", found=row.text, expected=expected)
        names.append(row.name)
    return ClassList.of(names)
