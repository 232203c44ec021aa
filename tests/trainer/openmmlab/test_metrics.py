"""The figures: as pycocotools gives them, none where there is nothing, and never a crash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("mmdet")

from seg2knet.trainer.openmmlab.metrics import (  # noqa: E402
    InstanceAP,
    SemanticIoU,
    count_pixels,
    encode_masks,
    panoptic_segments,
)

SIZE = 40


def square(x: int, y: int, side: int) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), bool)
    mask[y : y + side, x : x + side] = True
    return mask


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Two pictures; category ids out of order; annotation ids from 0, which pycocotools takes for no match."""
    shapes = [(1, 8, square(2, 2, 12)), (1, 5, square(20, 20, 10)), (2, 8, square(5, 5, 20))]
    annotations = [
        {
            "id": number, "image_id": image, "category_id": category, "iscrowd": 0, "area": int(mask.sum()),
            "bbox": [0, 0, 1, 1], "segmentation": encode_masks(mask[None])[0],
        }
        for number, (image, category, mask) in enumerate(shapes)
    ]  # fmt: skip
    images = [{"id": number, "width": SIZE, "height": SIZE, "file_name": f"{number}.jpg"} for number in (1, 2)]
    categories = [{"id": 8, "name": "a"}, {"id": 5, "name": "b"}, {"id": 2, "name": "never"}]
    file = tmp_path / "truth.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return file


def judge(file: Path, found: list[tuple[int, list[int], list[float], list[np.ndarray]]]) -> tuple[dict, InstanceAP]:
    metric = InstanceAP(ann_file=str(file))
    metric.dataset_meta = {"classes": ("a", "b", "never")}
    samples: list[dict[str, Any]] = [
        {
            "img_id": image,
            "pred_instances": {
                "labels": torch.tensor(labels, dtype=torch.long),
                "scores": torch.tensor(scores),
                "masks": torch.from_numpy(np.array(masks, bool).reshape(-1, SIZE, SIZE)),
            },
        }
        for image, labels, scores, masks in found
    ]
    metric.process({}, samples)
    return metric.evaluate(len(samples)), metric


def test_perfect_predictions_are_perfect(truth: Path) -> None:
    figures, metric = judge(
        truth,
        [
            (1, [0, 1], [0.9, 0.8], [square(2, 2, 12), square(20, 20, 10)]),
            (2, [0], [0.7], [square(5, 5, 20)]),
        ],
    )
    assert figures["AP"] == pytest.approx(1)
    assert figures["AP50"] == pytest.approx(1)
    rows = {row["name"]: row for row in metric.report}
    assert rows["a"]["AP"] == pytest.approx(1)
    assert rows["a"]["objects"] == 2
    assert rows["never"]["AP"] is None
    assert {each["category_id"] for each in metric.predictions} == {8, 5}


def test_half_of_what_there_is(truth: Path) -> None:
    figures, metric = judge(truth, [(1, [0], [0.9], [square(2, 2, 12)]), (2, [], [], [])])
    rows = {row["name"]: row for row in metric.report}
    assert rows["a"]["AP"] == pytest.approx(51 / 101)  # precision 1 up to recall 0.5, of 101 points
    assert rows["b"]["AP"] == 0
    assert figures["AP"] == pytest.approx(51 / 202)


def test_nothing_predicted_is_a_figure_of_nothing(truth: Path) -> None:
    figures, metric = judge(truth, [(1, [], [], []), (2, [], [], [])])
    assert figures == {"AP": 0.0, "AP50": 0.0, "AP75": 0.0}
    assert [row["AP"] for row in metric.report] == [0.0, 0.0, None]


def test_without_truth_predictions_are_kept(truth: Path) -> None:
    metric = InstanceAP(categories_of=str(truth))
    metric.dataset_meta = {"classes": ("b", "a")}
    found = {
        "labels": torch.tensor([0]), "scores": torch.tensor([0.5]), "masks": torch.from_numpy(square(1, 1, 5)[None])
    }  # fmt: skip
    metric.process({}, [{"img_id": 7, "pred_instances": found}])
    assert metric.evaluate(1) == {}
    assert metric.predictions[0]["category_id"] == 5
    assert metric.predictions[0]["image_id"] == 7


def test_panoptic_maps_become_segments() -> None:
    found = np.array([[2, 2, 1000], [4, 1000, 2000]])
    ids, segments = panoptic_segments(torch.from_numpy(found)[None], num_classes=4)
    assert [segment["category_id"] for segment in segments] == [2, 0, 0]
    assert (ids[found == 4] == 0).all()
    assert len(np.unique(ids[ids > 0])) == 3


def test_pixels_are_counted_where_the_truth_is_known() -> None:
    truth = np.array([[0, 0, 1], [1, 255, 255]])
    predicted = np.array([[0, 1, 1], [1, 0, 1]])
    assert count_pixels(truth, predicted, 3, 255).tolist() == [[1, 2, 0], [1, 3, 0], [2, 2, 0]]


def test_mean_iou_is_over_the_classes_that_occur() -> None:
    metric = SemanticIoU()
    metric.dataset_meta = {"classes": ("a", "b", "never")}
    sample = {
        "gt_sem_seg": {"data": torch.tensor([[[0, 0, 1, 1]]])},
        "pred_sem_seg": {"data": torch.tensor([[[0, 1, 1, 1]]])},
    }
    metric.process({}, [sample])
    figures = metric.evaluate(1)
    assert figures["mIoU"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert figures["aAcc"] == pytest.approx(3 / 4)
    assert metric.report[2]["IoU"] is None
