"""Dataset classes for mmdet 2, with the data's own class names, in mmdet's registry by being imported.

They repair what mmdet 2.17's own classes get wrong for data that are not COCO: labels follow the config's classes and
not the order of the ids; images whose only objects are crowds or too small are left out of training like those without
any, because the K-Net release fails on them; a panoptic PNG is the one that the JSON names; no prediction at all is a
score of 0 and not a crash.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from mmcv.runner import get_dist_info
from mmcv.utils import print_log
from mmdet.core import encode_mask_results
from mmdet.datasets.builder import DATASETS
from mmdet.datasets.coco import CocoDataset
from mmdet.datasets.coco_panoptic import COCOPanoptic, CocoPanopticDataset

from seg2knet.errors import DataError
from seg2knet.trainer.classic.stack import silent
from seg2knet.trainer.evaluate.average_precision import coco_ap, prepared
from seg2knet.trainer.evaluate.panoptic_quality import PanopticQuality

MIN_SIZE = 32
"""Images with a shorter side are not trained on; mmdet's own limit."""


def objects(result: Any) -> Iterator[tuple[int, float, Any]]:
    """Label, score and mask of every object in one image's result; masks as they are in it, arrays or codes."""
    boxes, masks = result
    scores = None
    if isinstance(masks, tuple):  # mask scoring models give scores of their own
        masks, scores = masks
    for label, (of_boxes, of_masks) in enumerate(zip(boxes, masks)):
        for number, mask in enumerate(of_masks):
            yield label, float(scores[label][number] if scores is not None else of_boxes[number][4]), mask


def panoptic_map(result: Any) -> np.ndarray:
    """The int32 map (H, W) of ``label + 1000 * number`` in one image's result: the result itself, its ``pan_results``,
    or one of these in a tuple with others.

    Raises DataError: there is no map in it.
    """
    if isinstance(result, (tuple, list)):
        result = next((part for part in reversed(result) if isinstance(part, (dict, np.ndarray))), None)
    if isinstance(result, dict):
        result = result.get("pan_results")
    if not isinstance(result, np.ndarray) or result.ndim != 2:
        expected = "dict(pan_results=array of label + 1000 * number), as mmdet 2.17's panoptic models return"
        raise DataError("the model's result has no panoptic map", found=type(result).__name__, expected=expected)
    return result.astype(np.int32)


class _ByName:
    """Numbers labels by the classes' names, and trains on images that have something to learn from."""

    def image_path(self: Any, index: int) -> str:
        return str(Path(self.img_prefix) / self.data_infos[index]["filename"])

    @staticmethod
    def packed(result: Any) -> Any:
        """One image's result with its masks as run-length codes, as they are kept until all images are done."""
        if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], (list, tuple)):
            return result[0], encode_mask_results(result[1])
        return result

    def number_labels(self: Any, categories: list[dict[str, Any]]) -> None:
        """Set ``cat_ids`` and ``cat2label`` in the order of ``CLASSES``."""
        by_name = {category["name"]: category["id"] for category in categories}
        missing = [name for name in self.CLASSES if name not in by_name]
        if missing:
            problem = f"the file lacks classes that the config has: {', '.join(missing)}"
            raise DataError(problem, file=self.ann_file, place="categories", found=", ".join(by_name))
        self.cat_ids = [by_name[name] for name in self.CLASSES]
        self.cat2label = {cat_id: label for label, cat_id in enumerate(self.cat_ids)}

    def _filter_imgs(self: Any, min_size: int = MIN_SIZE) -> list[int]:
        """Indices of the images that have at least one object to learn from."""
        total = len(self.data_infos)
        kept = [
            index
            for index, info in enumerate(self.data_infos)
            if min(info["width"], info["height"]) >= min_size
            and (not self.filter_empty_gt or len(self.get_ann_info(index)["labels"]))
        ]
        if not kept:
            found = f"{total} images, all without, or with a side under {MIN_SIZE} pixels"
            hint = "see why with: seg2knet validate"
            raise DataError("no image has an object to learn from", file=self.ann_file, found=found, hint=hint)
        if len(kept) < total and get_dist_info()[0] == 0:
            print_log(
                f"{total - len(kept)} of {total} images are not trained on: without an object that counts, or too small"
            )
        self.img_ids = [self.img_ids[index] for index in kept]
        return kept


@DATASETS.register_module()
class Seg2KNetInstance(_ByName, CocoDataset):
    """A COCO instance file. ``classes`` gives the labels' order, by name.

    Raises DataError: the file lacks a class, or no image can be trained on.
    """

    def load_annotations(self, ann_file: str) -> list[dict[str, Any]]:
        with silent():
            infos = super().load_annotations(ann_file)
        self.number_labels(self.coco.dataset["categories"])
        return infos

    def _parse_ann_info(self, img_info: dict[str, Any], ann_info: list[dict[str, Any]]) -> dict[str, Any]:
        """As mmdet's, but objects without an outline are left out, where mmdet would fail on them."""
        return super()._parse_ann_info(img_info, [entry for entry in ann_info if entry.get("segmentation")])

    def get_data_info(self, index: int) -> dict[str, Any]:
        """An image and its objects, as mmdet 3 has them (:func:`seg2knet.trainer.evaluate.evaluation.truth_of`)."""
        info = self.data_infos[index]
        instances = [
            {"bbox_label": self.cat2label[entry["category_id"]], "mask": entry["segmentation"]}
            for entry in self.coco.load_anns(self.coco.get_ann_ids(img_ids=[info["id"]]))
            if entry.get("segmentation") and not entry.get("iscrowd") and entry["category_id"] in self.cat2label
        ]
        return {**info, "img_path": self.image_path(index), "instances": instances}

    def coco_results(self, results: list) -> list[dict[str, Any]]:
        """All images' packed results in COCO's format (https://cocodataset.org/#format-results)."""
        return [
            {
                "image_id": image_id,
                "category_id": self.cat_ids[label],
                "score": score,
                "segmentation": {"size": list(map(int, rle["size"])), "counts": rle["counts"].decode()},
            }
            for image_id, result in zip(self.img_ids, results)
            for label, score, rle in objects(result)
        ]

    def evaluate(self, results: list, **_options: Any) -> dict[str, float]:
        """COCO mask AP, all zero where nothing was predicted; the figures by class are left in ``by_class``."""
        figures, rows = coco_ap(prepared(self.coco.dataset), self.coco_results(results), self.cat_ids)
        self.by_class = [{"name": name, **row} for name, row in zip(self.CLASSES, rows)]
        return figures


class _PanopticIndex(COCOPanoptic):
    """mmdet's index of a panoptic file, made to pair images and annotations by id instead of by their place."""

    def createIndex(self) -> None:
        images = {image["id"]: image for image in self.dataset["images"]}
        annotated = [annotation["image_id"] for annotation in self.dataset.get("annotations", [])]
        alone = [image_id for image_id in images if image_id not in set(annotated)]
        self.dataset["images"] = [images[image_id] for image_id in (*annotated, *alone)]
        super().createIndex()
        self.imgToAnns.update({image_id: [] for image_id in alone})


@DATASETS.register_module()
class Seg2KNetPanoptic(_ByName, CocoPanopticDataset):
    """A COCO panoptic file and its PNGs. ``classes``: thing classes first, then stuff.

    Raises DataError: the file lacks a class, or no image can be trained on.
    """

    def load_annotations(self, ann_file: str) -> list[dict[str, Any]]:
        with silent():
            self.coco = _PanopticIndex(ann_file)
        self.number_labels(self.coco.dataset["categories"])
        self.categories = self.coco.cats
        self.img_ids = self.coco.get_img_ids()
        infos = self.coco.load_imgs(self.img_ids)
        for info in infos:
            info["filename"] = info["file_name"]
            info.setdefault("segm_file", str(PurePath(info["file_name"]).with_suffix(".png")))
        return infos

    def get_ann_info(self, idx: int) -> dict[str, Any]:
        """The segments of one image. mmdet's own goes through every segment that has the same id anywhere."""
        return self._parse_ann_info(self.data_infos[idx], self.coco.imgToAnns[self.data_infos[idx]["id"]])

    def get_data_info(self, index: int) -> dict[str, Any]:
        """An image and its segments, as mmdet 3 has them."""
        info = self.data_infos[index]
        listed = [
            {"iscrowd": 0, **entry, "category": self.cat2label[entry["category_id"]]}
            for entry in self.coco.imgToAnns[info["id"]]
        ]
        png = str(Path(self.seg_prefix) / info["segm_file"])
        return {"img_path": self.image_path(index), "seg_map_path": png, "segments_info": listed}

    def evaluate(self, results: list, **_options: Any) -> dict[str, Any]:
        """Panoptic quality, between 0 and 1; the figures by class are left in ``by_class``.

        Counted here and not by panopticapi, whose processes, forked from one that trains, may never end.
        """
        quality = PanopticQuality([{**self.categories[i], "id": label} for i, label in self.cat2label.items()])
        for index, result in enumerate(results):
            quality.add_map(self.get_data_info(index), panoptic_map(result))
        figures, self.by_class = quality.tables()
        return figures
