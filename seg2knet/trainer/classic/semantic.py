"""The dataset class for mmseg 0.18: the ADE layout with the data's own class names, in mmseg's registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import numpy as np
from mmseg.datasets.builder import DATASETS
from mmseg.datasets.custom import CustomDataset

from seg2knet.dataset.classes import palette_color
from seg2knet.dataset.images import is_image
from seg2knet.errors import DataError


@DATASETS.register_module()
class Seg2KNetSemantic(CustomDataset):
    """Images of any suffix beside masks of the same name: 0 unlabelled, 1.. the classes (``reduce_zero_label``).

    Raises DataError: an image has no mask, or there is none at all.
    """

    def __init__(self, classes: list[str], **options: Any) -> None:
        palette = [list(palette_color(index)) for index in range(len(classes))]
        options.setdefault("reduce_zero_label", True)
        self.metainfo = {"classes": list(classes)}
        super().__init__(classes=list(classes), palette=palette, **options)

    def load_annotations(
        self, img_dir: str, img_suffix: str, ann_dir: Optional[str], seg_map_suffix: str, split: Optional[str]
    ) -> list[dict[str, Any]]:
        """The images in the order of their names, each with its mask's name."""
        del img_suffix, split  # any suffix counts, and a folder is a split
        root = Path(img_dir)
        infos = []
        for path in sorted(path for path in root.rglob("*") if is_image(path)):
            name = path.relative_to(root)
            info: dict[str, Any] = {"filename": str(name)}
            if ann_dir is not None:
                mask = name.with_suffix(seg_map_suffix)
                if not (Path(ann_dir) / mask).is_file():
                    expected, hint = str(Path(ann_dir) / mask), "see all such findings: seg2knet validate"
                    raise DataError("an image has no mask", file=path, expected=expected, hint=hint)
                info["ann"] = {"seg_map": str(mask)}
            infos.append(info)
        if not infos:
            raise DataError("the folder holds no image", file=root, expected="images of the split")
        return infos

    def evaluate(self, results: list, metric: Any = "mIoU", logger: Any = None, **options: Any) -> dict[str, Any]:
        """mIoU, accuracies and the figures by class, as plain numbers between 0 and 1."""
        with np.errstate(divide="ignore", invalid="ignore"):  # a class that neither side has is 0 / 0
            figures = super().evaluate(results, metric=metric, logger=logger or "silent", **options)
        # the figure of a class that does not occur is NaN there, and None in tables
        known = {name: None if np.isnan(value) else float(value) for name, value in figures.items()}
        self.by_class = [
            {"name": name, "IoU": known[f"IoU.{name}"], "accuracy": known[f"Acc.{name}"]} for name in self.CLASSES
        ]
        return {name: float(value) for name, value in figures.items() if "." not in name}

    def get_data_info(self, index: int) -> dict[str, Any]:
        """An image and its mask, as mmseg 1 has them."""
        info = self.img_infos[index]
        masks = {"seg_map_path": str(Path(self.ann_dir) / info["ann"]["seg_map"])} if "ann" in info else {}
        return {"img_path": str(Path(self.img_dir) / info["filename"]), **masks}
