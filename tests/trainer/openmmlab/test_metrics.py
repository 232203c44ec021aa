"""The figures: as pycocotools gives them, none where there is nothing, and never a crash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

torch = pytest.importorskip("torch")
pytest.importorskip("mmdet")

from seg2knet.judge.objects import rle_of  # noqa: E402
from seg2knet.trainer.evaluate.average_precision import coco_ap, encode_masks, prepared  # noqa: E402
from seg2knet.trainer.evaluate.panoptic_quality import panoptic_segments  # noqa: E402
from seg2knet.trainer.openmmlab.metrics import (  # noqa: E402
    InstanceAP,
    PanopticPQ,
    SemanticIoU,
    count_pixels,
)

SIZE = 40


def square(x: int, y: int, side: int) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), bool)
    mask[y : y + side, x : x + side] = True
    return mask


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Two images; category ids out of order; annotation ids from 0, which pycocotools takes for no match."""
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
    ids, segments = panoptic_segments(found[None], num_classes=4)
    assert [segment["category_id"] for segment in segments] == [2, 0, 0]
    assert (ids[found == 4] == 0).all()
    assert len(np.unique(ids[ids > 0])) == 3


def test_pixels_are_counted_where_the_truth_is_known() -> None:
    truth = np.array([[0, 0, 1], [1, 255, 255]])
    predicted = np.array([[0, 1, 1], [1, 0, 1]])
    assert count_pixels(truth, predicted, 3, 255).tolist() == [[1, 2, 0], [1, 3, 0], [2, 2, 0]]


def test_hotcoco_counts_the_same_pixels() -> None:
    semantic = pytest.importorskip("hotcoco.semantic")
    rng = np.random.default_rng(0)
    theirs, ours = semantic.SemanticEval(5), np.zeros((3, 5), np.int64)
    for _ in range(20):
        truth = rng.choice([0, 1, 2, 3, 4, 255], (30, 40), p=[0.4, 0.2, 0.1, 0.1, 0, 0.2])
        predicted = np.where(rng.random((30, 40)) < 0.7, truth % 5, rng.integers(0, 4, (30, 40)))
        theirs.update(truth, predicted)
        ours += count_pixels(truth, predicted, 5, 255)
    matrix = np.asarray(theirs.confusion())
    assert ours.tolist() == [np.diag(matrix).tolist(), matrix.sum(0).tolist(), matrix.sum(1).tolist()]


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


def drawn_at_random(seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Truth with crowds, empty images, one of over 100 objects, equal scores and areas of all sizes; predictions."""
    rng = np.random.default_rng(seed)
    categories, size = [8, 5, 2, 99], 120
    images = [{"id": image, "width": size, "height": size, "file_name": f"{image}.jpg"} for image in range(1, 9)]
    annotations: list[dict[str, Any]] = []
    predictions: list[dict[str, Any]] = []
    for image in range(1, 9):
        for _ in range(0 if image % 4 == 0 else 130 if image == 1 else int(rng.integers(1, 7))):
            mask = np.zeros((size, size), bool)
            x, y = rng.integers(0, size - 5, 2)
            side = rng.choice([6, 12, 40, 110])
            mask[y : y + side, x : x + side] = True
            row = {"image_id": image, "category_id": int(rng.choice(categories[:3]))}
            annotations.append(
                {
                    **row, "id": len(annotations) + 1, "iscrowd": int(rng.random() < 0.15), "area": int(mask.sum()),
                    "segmentation": encode_masks(mask[None])[0], "bbox": [0, 0, 1, 1],
                }
            )  # fmt: skip
            for _ in range(rng.integers(0, 3)):
                moved = np.roll(mask, tuple(rng.integers(-4, 5, 2)), (0, 1))
                found = {**row, "segmentation": encode_masks(moved[None])[0], "score": round(float(rng.random()), 2)}
                predictions.append(found if rng.random() < 0.8 else {**found, "category_id": 2})
        predictions.append(
            {
                "image_id": image, "category_id": 8, "score": 0.5,
                "segmentation": encode_masks(np.tri(size, dtype=bool)[None])[0],
            }
        )  # fmt: skip
    named = [{"id": category, "name": str(category)} for category in categories]
    return {"images": images, "annotations": annotations, "categories": named}, predictions


def assert_same_figures(truth: dict[str, Any], predictions: list[dict[str, Any]], categories: list[int]) -> None:
    pytest.importorskip("hotcoco")
    figures, rows = coco_ap(truth, predictions, categories, "hotcoco")
    expected, expected_rows = coco_ap(truth, predictions, categories, "pycocotools")
    assert figures == pytest.approx(expected, abs=1e-9)
    for row, other in zip(rows, expected_rows):
        assert {key: value for key, value in row.items() if value is not None} == pytest.approx(
            {key: value for key, value in other.items() if value is not None}, abs=1e-9
        )


@pytest.mark.parametrize("seed", range(4))
def test_both_libraries_give_the_same_figures(seed: int) -> None:
    truth, predictions = drawn_at_random(seed)
    assert_same_figures(truth, predictions, [8, 5, 2, 99])
    assert 0 < coco_ap(truth, predictions, [8, 5, 2, 99])[0]["AP"] < 1


CORPORA = ("coco-roboflow-seg__*/**/*.json", "coco__datumaro*/mmdet_coco/**/*.json", "lvis__*/**/*.json")


@pytest.mark.parametrize("pattern", CORPORA)
def test_both_libraries_give_the_same_figures_on_real_annotations(shared: Path, pattern: str) -> None:
    """Predictions: every second object, its mask moved by a few pixels, under scores that repeat."""
    rng = np.random.default_rng(0)
    judged = 0
    for file in sorted((shared / "corpora").glob(pattern))[:4]:
        content = json.loads(file.read_text())
        if not isinstance(content, dict) or not content.get("annotations") or "categories" not in content:
            continue
        truth = prepared(content)
        sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
        predictions = []
        for annotation in truth["annotations"][:400:2]:
            size = sizes[annotation["image_id"]]
            mask = coco_mask.decode(rle_of(annotation["segmentation"], *size)).astype(bool)
            moved = np.roll(mask, tuple(rng.integers(-3, 4, 2)), (0, 1))
            row = {key: annotation[key] for key in ("image_id", "category_id")}
            score = round(float(rng.random()), 1)
            predictions.append({**row, "score": score, "segmentation": encode_masks(moved[None])[0]})
        if predictions:
            assert_same_figures(truth, predictions, [category["id"] for category in truth["categories"]])
            judged += 1
    assert judged


def panoptic_sample(truth: Path | None, predicted: np.ndarray) -> dict[str, Any]:
    sample = {"pred_panoptic_seg": {"sem_seg": torch.from_numpy(predicted)[None]}, "img_path": "x.jpg"}
    info = [{"id": 1, "category": 0, "iscrowd": 0}]
    return {**sample, "seg_map_path": str(truth), "segments_info": info} if truth is not None else sample


def test_results_of_ranks_stay_with_their_images(tmp_path: Path) -> None:
    """mmengine joins ranks' results in turn and cuts them to the data set's length: one an image, with truth or not."""
    import cv2

    file = tmp_path / "truth.png"
    cv2.imwrite(str(file), np.full((4, 4, 3), (0, 0, 1), np.uint8))
    right, wrong = np.zeros((4, 4), np.int64), np.ones((4, 4), np.int64)
    ranks = []
    for samples in ([panoptic_sample(None, right)] * 2, [panoptic_sample(file, right), panoptic_sample(file, wrong)]):
        metric = PanopticPQ()
        metric.dataset_meta = {"classes": ("a", "b"), "thing_classes": ("a", "b"), "stuff_classes": ()}
        metric.process({}, samples)
        ranks.append(metric.results)
    joined = [result for pair in zip(*ranks) for result in pair]  # as collect_results does
    assert len(joined) == 4
    figures = metric.compute_metrics(joined)
    assert figures["PQ"] == pytest.approx((1 / 1.5 + 0) / 2)
    assert metric.compute_metrics([None, None]) == {}
