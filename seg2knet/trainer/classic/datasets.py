"""Dataset classes for mmdet 2, with the data's own class names, in mmdet's registry by being imported.

They mend what mmdet 2.17's own classes get wrong for data that are not COCO: labels follow the config's classes and
not the order of the ids; images whose only objects are crowds or too small are left out of training like those without
any, because the K-Net release fails on them; a panoptic PNG is the one that the JSON names; no prediction at all is a
score of 0 and not a crash.
"""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any

import cv2
import numpy as np
from mmcv.runner import get_dist_info
from mmcv.utils import print_log
from mmdet.datasets.builder import DATASETS
from mmdet.datasets.coco import CocoDataset
from mmdet.datasets.coco_panoptic import COCOPanoptic, CocoPanopticDataset
from pycocotools.cocoeval import COCOeval

from seg2knet.dataset.label_image import ids_of
from seg2knet.errors import DataError
from seg2knet.trainer.classic.results import objects, panoptic_map, segments
from seg2knet.trainer.classic.stack import silent
from seg2knet.trainer.evaluate.panoptic_quality import PanopticQuality

MIN_SIZE = 32
"""Images with a shorter side are not trained on; mmdet's own limit."""


@DATASETS.register_module()
class Seg2KNetInstance(CocoDataset):
    """A COCO instance file. ``classes`` gives the labels' order, by name.

    Raises:
        DataError: the file lacks a class, or no image can be trained on.
    """

    img_ids: list[int]

    def load_annotations(self, ann_file: str) -> list[dict[str, Any]]:
        """The images; also lays down ``cat_ids`` in the order of ``classes``."""
        with silent():
            infos = super().load_annotations(ann_file)
        self.cat_ids = _ids_by_name(self.coco.dataset["categories"], self.CLASSES, ann_file)
        self.cat2label = {cat_id: label for label, cat_id in enumerate(self.cat_ids)}
        return infos

    def _filter_imgs(self, min_size: int = MIN_SIZE) -> list[int]:
        """Places of the images that have at least one object to learn from."""
        kept = [
            index
            for index, info in enumerate(self.data_infos)
            if min(info["width"], info["height"]) >= min_size
            and (not self.filter_empty_gt or len(self.get_ann_info(index)["labels"]))
        ]
        _say_what_is_left(len(self.data_infos), kept, self.ann_file, "an object")
        self.img_ids = [self.img_ids[index] for index in kept]
        return kept

    def _parse_ann_info(self, img_info: dict[str, Any], ann_info: list[dict[str, Any]]) -> dict[str, Any]:
        """As mmdet's, but objects without an outline are left out, where mmdet would fail on them."""
        return super()._parse_ann_info(img_info, [each for each in ann_info if each.get("segmentation")])

    def coco_results(self, results: list) -> list[dict[str, Any]]:
        """All images' packed results in COCO's format (https://cocodataset.org/#format-results)."""
        return [
            {"image_id": image_id, "category_id": self.cat_ids[label], "score": score, "segmentation": rle}
            for image_id, result in zip(self.img_ids, results)
            for label, score, rle in objects(result)
        ]

    def evaluate(self, results: list, metric: Any = "segm", logger: Any = None, **options: Any) -> dict[str, float]:
        """COCO mask AP: ``AP``, ``AP50``, ``AP75``, and by size; all zero where nothing was predicted.

        The figures by class are left in ``by_class``.
        """
        del metric, options  # masks are what counts here
        predictions = self.coco_results(results)
        figures = {"AP": 0.0, "AP50": 0.0, "AP75": 0.0}
        precision = np.zeros((10, 1, len(self.cat_ids)))
        if predictions:
            with silent():
                judged = COCOeval(self.coco, self.coco.loadRes(predictions), "segm")
                judged.params.catIds, judged.params.imgIds = self.cat_ids, self.img_ids
                judged.evaluate()
                judged.accumulate()
                judged.summarize()
            names = ("AP", "AP50", "AP75", "APs", "APm", "APl")  # -1 stands for a size that no object has
            figures.update({name: float(value) for name, value in zip(names, judged.stats) if value >= 0})
            precision = judged.eval["precision"][:, :, :, 0, -1]  # (IoU, recall, class), all sizes, most detections
        self.by_class = [self._of_class(label, precision[:, :, label]) for label in range(len(self.cat_ids))]
        for row in self.by_class:
            print_log(f"{row['name']}: AP {row['AP']}, AP50 {row['AP50']}", logger=logger or "silent")
        return figures

    def _of_class(self, label: int, precision: np.ndarray) -> dict[str, Any]:
        count = len(self.coco.get_ann_ids(img_ids=self.img_ids, cat_ids=[self.cat_ids[label]], iscrowd=False))
        figures = {"AP": precision, "AP50": precision[0], "AP75": precision[5]}
        known = {name: values[values > -1] for name, values in figures.items()}
        means = {name: float(values.mean()) if values.size and count else None for name, values in known.items()}
        return {"name": self.CLASSES[label], "objects": count, **means}


class _PanopticIndex(COCOPanoptic):
    """mmdet's index of a panoptic file, made to pair images and annotations by id instead of by their place."""

    def createIndex(self) -> None:
        images = {image["id"]: image for image in self.dataset["images"]}
        annotations = self.dataset.get("annotations", [])
        paired = [images[annotation["image_id"]] for annotation in annotations]
        seen = {annotation["image_id"] for annotation in annotations}
        alone = [image for image in self.dataset["images"] if image["id"] not in seen]
        self.dataset["images"] = paired + alone
        super().createIndex()
        for image in alone:
            self.imgToAnns.setdefault(image["id"], [])


@DATASETS.register_module()
class Seg2KNetPanoptic(CocoPanopticDataset):
    """A COCO panoptic file and its PNGs. ``classes``: thing classes first, then stuff.

    Raises:
        DataError: the file lacks a class, or no image can be trained on.
    """

    img_ids: list[int]

    def load_annotations(self, ann_file: str) -> list[dict[str, Any]]:
        """The images, each with the PNG that the JSON names for it."""
        with silent():
            self.coco = _PanopticIndex(ann_file)
        self.cat_ids = _ids_by_name(self.coco.dataset["categories"], self.CLASSES, ann_file)
        self.cat2label = {cat_id: label for label, cat_id in enumerate(self.cat_ids)}
        self.categories = self.coco.cats
        self.img_ids = self.coco.get_img_ids()
        infos = []
        for image_id in self.img_ids:
            info = self.coco.load_imgs([image_id])[0]
            info["filename"] = info["file_name"]
            info.setdefault("segm_file", str(PurePath(info["file_name"]).with_suffix(".png")))
            infos.append(info)
        return infos

    def _filter_imgs(self, min_size: int = MIN_SIZE) -> list[int]:
        """Places of the images that have at least one thing to learn from."""
        kept = [
            index
            for index, info in enumerate(self.data_infos)
            if min(info["width"], info["height"]) >= min_size
            and (not self.filter_empty_gt or len(self.get_ann_info(index)["labels"]))
        ]
        _say_what_is_left(len(self.data_infos), kept, self.ann_file, "a thing")
        self.img_ids = [self.img_ids[index] for index in kept]
        return kept

    def get_ann_info(self, idx: int) -> dict[str, Any]:
        """The segments of one image. mmdet's own goes through every segment that has the same id anywhere."""
        return self._parse_ann_info(self.data_infos[idx], self.coco.imgToAnns[self.data_infos[idx]["id"]])

    def evaluate(self, results: list, metric: Any = "PQ", logger: Any = None, **options: Any) -> dict[str, Any]:
        """Panoptic quality, between 0 and 1; the figures by class go to ``logger``.

        Counted here and not by panopticapi, whose processes, forked from one that trains, may never end.
        """
        del metric, options  # PQ is the only one there is
        categories = [{**self.categories[cat_id], "id": label} for cat_id, label in self.cat2label.items()]
        quality = PanopticQuality(categories)
        for index, result in enumerate(results):
            info = self.data_infos[index]
            truth = [
                {
                    "id": each["id"],
                    "category_id": self.cat2label[each["category_id"]],
                    "iscrowd": each.get("iscrowd", 0),
                }
                for each in self.coco.imgToAnns[info["id"]]
            ]
            ids, listed = segments(panoptic_map(result), len(self.CLASSES))
            quality.add(self._truth_ids(info), truth, ids, listed, info["filename"])
        found = quality.summary()
        self.by_class = [
            {"name": row["name"], "PQ": row["pq"], "SQ": row["sq"], "RQ": row["rq"], "objects": row["tp"] + row["fn"]}
            for row in found["per_class"]
        ]
        for row in self.by_class:
            print_log(f"{row['name']}: PQ {row['PQ']}, SQ {row['SQ']}, RQ {row['RQ']}", logger=logger or "silent")
        figures = {key.upper(): float(found["All"][key]) for key in ("pq", "sq", "rq")}
        for group in ("Things", "Stuff"):
            if found[group]["n"]:
                figures[f"PQ_{group.lower()}"] = float(found[group]["pq"])
        return figures

    def _truth_ids(self, info: dict[str, Any]) -> np.ndarray:
        """The segment ids (H, W) of an image's PNG.

        Raises:
            DataError: it cannot be read.
        """
        path = Path(self.seg_prefix) / info["segm_file"]
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise DataError("the panoptic PNG cannot be read", file=path, expected="an RGB PNG")
        return ids_of(picture[..., ::-1])


def _ids_by_name(categories: list[dict[str, Any]], classes: Any, file: str) -> list[int]:
    """Category ids in the order of ``classes``.

    Raises:
        DataError: a class is not in the file.
    """
    by_name = {category["name"]: category["id"] for category in categories}
    missing = [name for name in classes if name not in by_name]
    if missing:
        raise DataError(
            "the file lacks classes that the config has",
            file=file,
            place="categories",
            found=", ".join(by_name),
            expected=", ".join(classes),
            hint="write the config anew by calling seg2knet train without --config, or convert all splits in one run",
        )
    return [by_name[name] for name in classes]


def _say_what_is_left(total: int, kept: list[int], file: str, wanted: str) -> None:
    """
    Raises:
        DataError: nothing is left.
    """
    if not kept:
        raise DataError(
            f"no image has {wanted} to learn from",
            file=file,
            found=f"{total} images, all without, or with a side under {MIN_SIZE} pixels",
            hint="see why with: seg2knet validate",
        )
    if len(kept) < total and get_dist_info()[0] == 0:
        print_log(
            f"{total - len(kept)} of {total} images are not trained on: without {wanted} that counts, or too small"
        )
