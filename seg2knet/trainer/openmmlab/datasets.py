"""The data sets that mmdet trains on, with the data's own class names, registered by importing this module.

A config names them with ``custom_imports = dict(imports=["seg2knet.trainer.openmmlab.datasets"])``,
``dataset=dict(type="InstanceData", ann_file=..., metainfo=dict(classes=..., palette=...), ...)``. Labels go by the
classes' names, so two files may number one class differently. Images without objects are kept: K-Net learns from
them. The random numbers of an image depend on seed, epoch and image alone, not on which worker loads it or on whether
the run was interrupted.
"""

from __future__ import annotations

import os.path as osp
import random
from pathlib import Path
from typing import Any, Optional

import msgspec
import numpy as np
import orjson

from seg2knet.dataset import coco_json
from seg2knet.dataset.label_image import read_ids
from seg2knet.errors import DataError, Seg2KNetError
from seg2knet.knet.recipe import IGNORE
from seg2knet.trainer.openmmlab import packages as openmmlab

openmmlab.load()

from mmcv.transforms import BaseTransform  # noqa: E402  (mmdet may have to be made importable first)
from mmdet.datasets.base_det_dataset import BaseDetDataset  # noqa: E402
from mmdet.datasets.dataset_wrappers import MultiImageMixDataset  # noqa: E402
from mmdet.registry import DATASETS, TRANSFORMS  # noqa: E402
from mmdet.structures.bbox import HorizontalBoxes  # noqa: E402
from mmdet.structures.mask import BitmapMasks  # noqa: E402


class Reproducible:
    """Mixed into a data set: its index carries the epoch (``epoch * len(dataset) + index``, from ``EpochSampler``), and
    the random numbers depend on both."""

    def __init__(self, *args: Any, seed: Optional[int] = 0, **kwargs: Any) -> None:
        self.random_seed = seed
        super().__init__(*args, **kwargs)

    def __getitem__(self, key: int) -> Any:
        epoch, index = divmod(key, len(self))  # type: ignore[arg-type]
        if self.random_seed is not None:  # else it is part of another data set, which has one
            state = np.random.SeedSequence((self.random_seed, epoch, index)).generate_state(2)
            np.random.seed(state[0])  # noqa: NPY002  (mmcv's transforms draw from the global generator)
            random.seed(int(state[1]))
        try:
            return super().__getitem__(index)  # type: ignore[misc]
        except Seg2KNetError:
            raise
        except Exception as error:  # whatever OpenCV, pycocotools and the transforms raise at broken data
            raise DataError(
                "the image or its annotation cannot be loaded",
                file=self.get_data_info(index)["img_path"],  # type: ignore[attr-defined]
                found=f"{type(error).__name__}: {openmmlab.first_line(error)}",
                hint="seg2knet validate says what is wrong with it",
            ) from error  # fmt: skip


@DATASETS.register_module()
class InstanceData(Reproducible, BaseDetDataset):
    """A COCO instance file (https://cocodataset.org/#format-data): polygons, RLE, crowds, any file names.

    Raises DataError: the file is none, or a category is not among ``metainfo["classes"]``.
    """

    def load_data_list(self) -> list[dict]:
        content = coco_json.read(self.ann_file, coco_json.Instances)
        labels = _labels(content.categories, self.metainfo["classes"], self.ann_file)
        by_image: dict[int, list[dict]] = {}
        for annotation in content.annotations or ():
            outline = bytes(annotation.segmentation)
            if annotation.ignore or outline in (b"null", b"[]"):
                continue
            x, y, width, height = annotation.bbox or (0.0, 0.0, 0.0, 0.0)
            by_image.setdefault(annotation.image_id, []).append({
                "bbox": [x, y, x + width, y + height],
                "bbox_label": _label(labels, annotation.category_id, self.ann_file),
                "ignore_flag": int(annotation.iscrowd),
                "mask": outline,  # decoded when the image is loaded: a fraction of the memory
            })  # fmt: skip
        return [_image_info(image, self.data_prefix["img"], by_image.get(image.id, [])) for image in content.images]

    def get_data_info(self, idx: int) -> dict:
        info = super().get_data_info(idx)
        for instance in info["instances"]:
            instance["mask"] = orjson.loads(instance["mask"])
        return info

    def get_cat_ids(self, idx: int) -> list[int]:
        """Labels on an image, without decoding its masks."""
        return [instance["bbox_label"] for instance in super().get_data_info(idx)["instances"]]


@DATASETS.register_module()
class PanopticData(Reproducible, BaseDetDataset):
    """A COCO panoptic file and its PNGs (https://cocodataset.org/#format-data, section 4).

    ``metainfo`` has ``classes`` (things first), ``thing_classes`` and ``stuff_classes``. A PNG's name is the one that
    the file gives, whatever the image's suffix. ``data_prefix`` has ``img`` and ``seg``.

    Raises DataError: the file is none, or a category is not among the classes.
    """

    def load_data_list(self) -> list[dict]:
        content = coco_json.read(self.ann_file, coco_json.Panoptic)
        labels = _labels(content.categories, self.metainfo["classes"], self.ann_file)
        things = len(self.metainfo["thing_classes"])
        truths = {annotation.image_id: annotation for annotation in content.annotations or ()}
        infos = []
        for image in content.images:
            info = _image_info(image, self.data_prefix["img"], [])
            truth = truths.get(image.id)
            if truth is not None:
                name = truth.file_name or str(Path(image.file_name).with_suffix(".png"))
                info["seg_map_path"] = osp.join(self.data_prefix["seg"], name)
                info["segments_info"] = [
                    {**msgspec.structs.asdict(segment), "category": label, "is_thing": label < things}
                    for segment in truth.segments_info
                    for label in [_label(labels, segment.category_id, self.ann_file)]
                ]
            infos.append(info)
        return infos

    def get_cat_ids(self, idx: int) -> list[int]:
        """Labels of the segments on an image."""
        return [segment["category"] for segment in self.get_data_info(idx).get("segments_info", [])]


@DATASETS.register_module()
class CopyPasteData(Reproducible, MultiImageMixDataset):
    """A data set whose ``pipeline`` has mmdet's ``CopyPaste``: objects of another image are pasted into each.

    ``dataset`` has ``seed=None`` and a pipeline that leaves images of one size unpacked.
    """

    def get_cat_ids(self, idx: int) -> list[int]:
        """Labels on an image before anything is pasted into it."""
        return self.dataset.get_cat_ids(idx)


@TRANSFORMS.register_module()
class LoadPanoptic(BaseTransform):
    """Things as masks and all segments as a semantic map, from a panoptic PNG (id = R + 256 G + 65536 B).

    Adds ``gt_masks``, ``gt_bboxes``, ``gt_bboxes_labels``, ``gt_ignore_flags`` (crowds) and ``gt_seg_map``
    (``(H, W)`` uint8: thing classes, then stuff, 255 = nothing).

    Raises DataError: the PNG cannot be read or is not of the image's size.
    """

    def transform(self, results: dict) -> dict:
        height, width = results["ori_shape"]
        ids = read_ids(results["seg_map_path"])
        if ids.shape != (height, width):
            raise DataError(
                "the panoptic PNG and its image differ in size", file=results["seg_map_path"],
                found=f"{ids.shape[1]}x{ids.shape[0]}", expected=f"{width}x{height}",
            )  # fmt: skip
        present, places = np.unique(ids, return_inverse=True)
        category = {segment["id"]: segment["category"] for segment in results["segments_info"]}
        table = np.array([category.get(int(segment_id), IGNORE) for segment_id in present], dtype=np.uint8)
        things = [segment for segment in results["segments_info"] if segment["is_thing"]]
        masks = [(ids == segment["id"]).astype(np.uint8) for segment in things]
        results["gt_seg_map"] = table[places.reshape(ids.shape)]
        results["ignore_index"] = IGNORE
        results["gt_masks"] = BitmapMasks(masks, height, width)
        results["gt_bboxes"] = HorizontalBoxes(results["gt_masks"].get_bboxes("hbox").tensor)
        results["gt_bboxes_labels"] = np.array([segment["category"] for segment in things], dtype=np.int64)
        results["gt_ignore_flags"] = np.array([bool(segment["iscrowd"]) for segment in things], dtype=bool)
        return results


def _labels(categories: list[coco_json.Category], classes: tuple[str, ...], file: str) -> dict[int, int]:
    """Category id -> label, by name."""
    place = {name: label for label, name in enumerate(classes)}
    unknown = [category.name for category in categories if category.name not in place]
    if unknown:
        raise DataError(
            "categories that the config's classes do not have", file=file, found=", ".join(unknown[:10]),
            expected=", ".join(classes[:10]), hint="train on the data set's folder, which writes a new config",
        )  # fmt: skip
    return {category.id: place[category.name] for category in categories}


def _label(labels: dict[int, int], category: int, file: str) -> int:
    try:
        return labels[category]
    except KeyError:
        raise DataError("an annotation of a category that is not listed", file=file, found=str(category)) from None


def _image_info(image: coco_json.Image, folder: str, instances: list[dict]) -> dict:
    return {
        "img_path": osp.join(folder, image.file_name),
        "img_id": image.id,
        "seg_map_path": None,
        "height": image.height,
        "width": image.width,
        "instances": instances,
    }
