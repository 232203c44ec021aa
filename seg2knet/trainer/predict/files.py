"""Predictions as files: overlays, COCO results, LabelMe JSON that LabelMe opens."""

from __future__ import annotations

import glob
import itertools
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Optional, Union

import cv2
import numpy as np

from seg2knet.dataset import geometry, labelme_json
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.drawing import save
from seg2knet.dataset.images import is_image
from seg2knet.dataset.label_image import rgb_of
from seg2knet.dataset.sample import Object, Polygons
from seg2knet.errors import DataError, UsageError
from seg2knet.trainer.predict import drawing
from seg2knet.trainer.predict.prediction import Prediction

FORMATS = ("overlay", "coco", "labelme")
SPECK = 3
"""In LabelMe files holes and pieces of a mask that are no larger, in pixels, are left out."""
SMOOTH = 0.8
"""LabelMe polygons may stray this many pixels from a mask's outline, so that they have few enough corners to move."""


def find_images(sources: Iterable[Union[str, Path]]) -> list[tuple[Path, Path]]:
    """Images named by files, folders and patterns, each once, and the name to write its results under.

    The name is relative to the folder given, or to the part of a pattern that has no wildcard. Where two images would
    have the same name, both get as many of their parent folders in front as tell them apart.

    Raises UsageError: a source has no images.
    """
    names: dict[Path, Path] = {}
    for source in sources:
        path = Path(source)
        if path.is_file():
            names.setdefault(path.resolve(), Path(path.name))
            continue
        if path.is_dir():
            paths, base = sorted(path.rglob("*")), path
        else:
            paths = [Path(match) for match in sorted(glob.glob(str(source), recursive=True))]
            base = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), path.parts))
        images = [image for image in paths if is_image(image) and image.is_file()]
        if not images:
            expected = "an image, a folder of images, or a pattern like 'in/*.jpg'"
            raise UsageError("no images here", file=source, expected=expected)
        for image in images:
            names.setdefault(image.resolve(), image.relative_to(base))
    for depth in range(2, max((len(path.parts) for path in names), default=0) + 1):
        many = Counter(names.values())
        for path, name in names.items():
            if many[name] > 1 and len(name.parts) < depth:
                names[path] = Path(*path.parts[1:][-depth:])
    return list(names.items())


def segmented(
    model: Any,
    images: Sequence[tuple[Path, Path]],
    writers: Sequence[Any] = (),
    *,
    score_thr: float,
    dedup: float = 0.0,
    failed: Callable[[DataError], None],
    ticked: Optional[Callable[[int, int], None]] = None,
    batch_size: int = 1,
    workers: Optional[int] = None,
) -> Iterator[Prediction]:
    """Segment images (:func:`find_images`) and write what is found.

    Args:
        model: a :class:`~seg2knet.trainer.predict.inference.Segmenter`, or a tiled or another stack's in its place.
        writers: of :class:`PredictionWriter`, or others with its ``write`` and ``close``; closed at the end.
        failed: called for an image that cannot be read, or whose labels would be overwritten; it is skipped.
        ticked: called with images done and in all.
    """
    paths = [path for path, _ in images]
    found = model.many(paths, batch_size, workers) if hasattr(model, "many") else _one_by_one(model, paths)
    for place, (prediction, (_, name)) in enumerate(zip(found, images), 1):
        if isinstance(prediction, DataError):
            failed(prediction)
        else:
            if model.task == "instance":
                prediction = prediction.best(score_thr, dedup)
            prediction.classes = model.classes
            try:
                for writer in writers:
                    writer.write(prediction, name)
            except DataError as error:
                failed(error)
            else:
                yield prediction
        if ticked is not None:
            ticked(place, len(images))
    for writer in writers:
        writer.close()


def _one_by_one(model: Any, paths: Iterable[Path]) -> Iterator[Union[Prediction, DataError]]:
    for path in paths:
        try:
            yield model(path)
        except DataError as error:
            yield error


class PredictionWriter:
    """Writes predictions as they come.

    Leaves ``NAME.jpg`` or ``NAME.png``, the smaller one, for ``overlay``, and ``NAME.json`` for ``labelme``;
    :meth:`close` writes ``predictions.json`` (COCO results) and ``images.json`` (the images and categories that its
    ids mean) for ``coco``, with ``labels/NAME.png`` for semantic and ``panoptic/NAME.png`` for panoptic segmentation.
    NAME is the image's without its suffix; of ``a.jpg`` and ``a.png`` the second gets ``a.png.json`` and the like.
    ``formats`` are some of ``FORMATS``.
    """

    def __init__(self, out: Path, classes: ClassList, task: str, formats: Sequence[str]) -> None:
        unknown = [name for name in formats if name not in FORMATS]
        if unknown or not formats:
            expected = " or ".join(FORMATS) + ", or several"
            raise UsageError("--format is not known", found=", ".join(unknown) or "none", expected=expected)
        self.out, self.classes, self.task, self.formats = out, classes, task, tuple(formats)
        self.images: list[dict[str, Any]] = []
        self.results: list[dict[str, Any]] = []
        self._taken: set[Path] = set()

    def write(self, prediction: Prediction, name: Path) -> None:
        """Write one image's predictions under ``name``, relative. Raises DataError: other labels stand there."""
        stem = drawing.free_stem(name, self._taken)
        if "overlay" in self.formats:
            image = drawing.read_image(prediction.path)
            drawn = drawing.overlay(*drawing.enlarged(image, prediction), self.classes)
            drawing.save(drawn, self.out / stem, prediction.path)
        if "labelme" in self.formats:
            file = self.out / f"{stem}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            content = labelme(prediction, self.classes, file.parent)
            if file.exists() and file.read_bytes() != content:
                hint = "name another folder with --out, or move these labels away"
                raise DataError("other labels stand there and are not overwritten", file=file, hint=hint)
            file.write_bytes(content)
        if "coco" in self.formats:
            self._coco(prediction, name, stem)

    def _coco(self, prediction: Prediction, name: Path, stem: Path) -> None:
        number, size = len(self.images) + 1, {"width": prediction.width, "height": prediction.height}
        self.images.append({"id": number, "file_name": name.as_posix(), **size})
        ids = range(1, len(self.classes) + 1)
        results, pixels = coco_results(prediction, self.task, number, ids, f"{stem.as_posix()}.png")
        self.results += results
        if pixels is not None:
            save(pixels, self.out / ("panoptic" if self.task == "panoptic" else "labels") / stem, [".png"])

    def close(self) -> None:
        """Write the files that have all images in them."""
        if "coco" not in self.formats:
            return
        self.out.mkdir(parents=True, exist_ok=True)
        categories = self.classes.to_coco_panoptic() if self.task == "panoptic" else self.classes.to_coco()
        listed: dict[str, Any] = {"images": self.images, "categories": categories}
        (self.out / "images.json").write_text(json.dumps(listed, ensure_ascii=False), encoding="utf-8")
        if self.task != "semantic":
            content: Any = {**listed, "annotations": self.results} if self.task == "panoptic" else self.results
            (self.out / "predictions.json").write_text(json.dumps(content), encoding="utf-8")


def coco_results(
    prediction: Prediction, task: str, image_id: int, category_ids: Sequence[int], png: str
) -> tuple[list[dict[str, Any]], Optional[np.ndarray]]:
    """COCO's results of an image, of category ids given by label, and the pixels of the file ``png``: panoptic: id =
    R + 256 G + 65536 B, ``(H, W, 3)`` uint8 BGR as OpenCV writes it; semantic: ``(H, W)`` classes from 1, without
    results; instance: none.
    """
    if task == "instance":
        return prediction.to_coco(image_id, category_ids), None
    if task == "semantic":
        assert prediction.labelmap is not None
        return [], prediction.labelmap + 1
    ids = np.zeros((prediction.height, prediction.width), np.int32)
    segments = []
    for number, (label, mask) in enumerate(zip(prediction.labels.tolist(), prediction.masks), 1):
        ids[mask] = number
        segments.append({"id": number, "category_id": category_ids[label], "area": int(mask.sum())})
    return [{"image_id": image_id, "file_name": png, "segments_info": segments}], rgb_of(ids)[..., ::-1]


def labelme(prediction: Prediction, classes: ClassList, folder: Path) -> bytes:
    """A LabelMe file that is to be in ``folder``.

    An object of one piece without holes is a polygon; several pieces are polygons with one ``group_id``; one with
    holes is a mask shape, which keeps them.
    """
    shapes: list[dict[str, Any]] = []
    objects = zip(prediction.labels.tolist(), prediction.scores.tolist(), prediction.rles, prediction.masks)
    for number, (label, score, rle, mask) in enumerate(objects, 1):
        rings = geometry.mask_to_rings(mask)
        holed = any(geometry.polygon_area(hole) > SPECK for _, holes in rings for hole in holes)
        shape = rle if holed else Polygons(_outlines([outer for outer, _ in rings]))
        attributes = None if prediction.semantic else {"score": round(score, 3)}
        found = Object(classes[label].name, shape, attributes=attributes)
        shapes += labelme_json.shapes(found, number)
    path = Path(os.path.relpath(prediction.path, folder.resolve())).as_posix()
    return labelme_json.document(path, labelme_json.encoded(shapes, prediction.width, prediction.height))


def _outlines(exact: Sequence[Sequence[float]]) -> list[list[float]]:
    """Flat outlines of a mask's pieces with no more corners than ``SMOOTH`` asks for; specks are left out."""
    parts = []
    for part in exact:
        points = np.array(part, np.float32).reshape(-1, 2)
        fewer = cv2.approxPolyDP(points, SMOOTH, closed=True)
        corners = (fewer if len(fewer) >= 3 else points).ravel().tolist()
        if geometry.polygon_area(corners) > SPECK or len(exact) == 1:
            parts.append([round(number, 2) for number in corners])
    return parts
