"""The dataset classes for mmdet 2 and mmseg 0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seg2knet.dataset.label_image import read_ids
from seg2knet.errors import DataError
from seg2knet.trainer.classic import stack as classic_stack

classic_stack.enter()

from classic_drawn import STUFF, THINGS  # noqa: E402

from seg2knet.trainer.classic.datasets import Seg2KNetInstance, Seg2KNetPanoptic, panoptic_map  # noqa: E402


def instance(folder: Path, classes: tuple[str, ...] = THINGS, **options: Any) -> Seg2KNetInstance:
    return Seg2KNetInstance(
        ann_file=str(folder / "annotations" / "instances_train2017.json"),
        img_prefix=str(folder / "train2017"),
        pipeline=[],
        classes=classes,
        **options,
    )


def panoptic(folder: Path, split: str = "train", **options: Any) -> Seg2KNetPanoptic:
    return Seg2KNetPanoptic(
        ann_file=str(folder / "annotations" / f"panoptic_{split}2017.json"),
        img_prefix=str(folder / f"{split}2017"),
        seg_prefix=str(folder / "annotations" / f"panoptic_{split}2017"),
        pipeline=[],
        classes=(*THINGS, *STUFF),
        **options,
    )


def rewrite(source: Path, target: Path, change: Any) -> Path:
    """The instance file of ``source``, changed, in ``target``."""
    content = json.loads((source / "annotations" / "instances_train2017.json").read_text())
    change(content)
    (target / "annotations").mkdir()
    (target / "annotations" / "instances_train2017.json").write_text(json.dumps(content))
    return target


def test_labels_follow_the_classes(data: tuple[Path, Path]) -> None:
    """mmdet's own numbers them in the order of the file, whatever the config says."""
    usual, turned = instance(data[0]), instance(data[0], THINGS[::-1])
    for index in range(len(usual)):
        assert (usual.get_ann_info(index)["labels"] == 1 - turned.get_ann_info(index)["labels"]).all()


def test_an_unknown_class(data: tuple[Path, Path]) -> None:
    with pytest.raises(DataError, match="lacks classes"):
        instance(data[0], ("cat", "box"))


def test_images_without_objects_are_left_out(data: tuple[Path, Path]) -> None:
    assert len(instance(data[0])) == 5
    assert len(instance(data[0], filter_empty_gt=False)) == 6
    assert len(instance(data[0], test_mode=True)) == 6


def test_images_with_crowds_alone_are_left_out(data: tuple[Path, Path], tmp_path: Path) -> None:
    def crowd(content: dict) -> None:
        for annotation in content["annotations"]:
            annotation["iscrowd"] = int(annotation["image_id"] == 1)

    assert len(instance(rewrite(data[0], tmp_path, crowd))) == 4


def test_nothing_to_learn_from(data: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no image has an object"):
        instance(rewrite(data[0], tmp_path, lambda content: content.update(annotations=[])))


def test_no_prediction_scores_nothing(data: tuple[Path, Path]) -> None:
    dataset = instance(data[0], test_mode=True)
    nothing = [([np.zeros((0, 5), np.float32)] * 2, [[], []])] * len(dataset)
    assert dataset.evaluate(nothing, metric=["segm"])["AP"] == 0.0


def test_panoptic_images_meet_their_annotations(data: tuple[Path, Path]) -> None:
    """The file lists images in another order than annotations; mmdet's own pairs them by their place."""
    dataset = panoptic(data[0])
    assert len(dataset) == 5
    for info in dataset.data_infos:
        assert Path(info["segm_file"]).stem == Path(info["filename"]).stem


def test_a_perfect_panoptic_answer(data: tuple[Path, Path]) -> None:
    dataset = panoptic(data[0], "val", test_mode=True)
    results = []
    for index, info in enumerate(dataset.data_infos):
        truth = read_ids(dataset.get_data_info(index)["seg_map_path"])
        answer = np.full(truth.shape, 4)
        for number, segment in enumerate(dataset.coco.imgToAnns[info["id"]], 1):
            label = dataset.cat2label[segment["category_id"]]
            answer[truth == segment["id"]] = label + (1000 * number if label < 2 else 0)
        results.append({"pan_results": answer})
    found = dataset.evaluate(results)
    assert found["PQ"] == pytest.approx(1.0)
    assert found["PQ_stuff"] == pytest.approx(1.0)


def test_forms_of_panoptic_results() -> None:
    answer = np.zeros((2, 3), np.int64)
    for form in (answer, {"pan_results": answer}, ([], [], answer), ("boxes", {"pan_results": answer})):
        assert panoptic_map(form).shape == (2, 3)
    with pytest.raises(DataError, match="no panoptic map"):
        panoptic_map(("boxes", "masks"))
