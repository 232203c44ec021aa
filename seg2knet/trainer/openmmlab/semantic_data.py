"""The data set that mmsegmentation trains on: an ADE layout with the data's own class names, registered.

mmseg's ``ADE20KDataset`` refuses other names than its own 150 and reads only ``.jpg``; this one takes images of any
suffix, in sub-folders too, and the class names that the config gives it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seg2knet.dataset.images import is_image
from seg2knet.errors import DataError
from seg2knet.trainer.openmmlab import packages as openmmlab

openmmlab.load(semantic=True)

from mmseg.datasets.basesegdataset import BaseSegDataset  # noqa: E402  (may have to be made importable first)
from mmseg.registry import DATASETS  # noqa: E402

from seg2knet.trainer.openmmlab.datasets import Reproducible  # noqa: E402


@DATASETS.register_module()
class SemanticData(Reproducible, BaseSegDataset):
    """Images and their label PNGs: 0 = unlabelled, 1.. = classes (http://sceneparsing.csail.mit.edu).

    Labels are shifted when they are loaded (``reduce_zero_label``): class 1 becomes label 0, unlabelled becomes 255.

    Raises DataError: a training image has no label PNG.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, reduce_zero_label=True, **kwargs)

    def load_data_list(self) -> list[dict]:
        folder, maps = Path(self.data_prefix["img_path"]), Path(self.data_prefix["seg_map_path"])
        infos: list[dict] = []
        has_truth = maps.is_dir()
        paths = sorted(path for path in folder.rglob("*") if is_image(path))
        if self.ann_file:  # a list of the images that belong to the split
            paths = [folder / name for name in Path(self.ann_file).read_text("utf-8").splitlines()]
        for path in paths:
            labels = maps / path.relative_to(folder).with_suffix(".png")
            if has_truth and not labels.is_file():
                raise DataError("an image without its label PNG", file=path, expected=str(labels))
            infos.append({
                "img_path": str(path), "img_id": len(infos) + 1,
                "seg_map_path": str(labels) if has_truth else None,
                "label_map": None, "reduce_zero_label": True, "seg_fields": [],
            })  # fmt: skip
        return infos
