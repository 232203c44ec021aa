"""PQ: by hand on small maps, and figure for figure with panopticapi where that is installed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seg2knet.errors import DataError
from seg2knet.trainer.evaluate.panoptic_quality import PanopticQuality

CATEGORIES = [
    {"id": 1, "name": "car", "isthing": 1},
    {"id": 2, "name": "dog", "isthing": 1},
    {"id": 7, "name": "sky", "isthing": 0},
    {"id": 9, "name": "sea", "isthing": 0},
]


def segment(id: int, category: int, crowd: int = 0) -> dict:
    return {"id": id, "category_id": category, "iscrowd": crowd}


def test_one_hit_one_miss_one_false_alarm() -> None:
    truth = np.array([[1, 1, 1, 1], [2, 2, 0, 0]])
    guess = np.array([[5, 5, 5, 6], [6, 6, 6, 6]])
    quality = PanopticQuality(CATEGORIES)
    quality.add(truth, [segment(1, 1), segment(2, 2)], guess, [segment(5, 1), segment(6, 7)])
    found = quality.summary()
    car, dog, sky, sea = found["per_class"]
    assert (car["tp"], car["fp"], car["fn"]) == (1, 0, 0)
    assert car["pq"] == pytest.approx(3 / 4)
    assert (dog["tp"], dog["fn"], sky["fp"]) == (0, 1, 1)
    assert sea["pq"] is None
    assert found["All"] == pytest.approx({"pq": 0.25, "sq": 0.25, "rq": 1 / 3, "n": 3})
    assert found["Things"]["n"] == 2


def test_a_prediction_mostly_on_nothing_is_no_false_alarm() -> None:
    truth, guess = np.array([[0, 0, 0, 1]]), np.array([[3, 3, 3, 3]])
    quality = PanopticQuality(CATEGORIES)
    quality.add(truth, [segment(1, 2)], guess, [segment(3, 1)])
    assert [row["fp"] for row in quality.summary()["per_class"]] == [0, 0, 0, 0]


def test_counts_of_two_processes_add_up() -> None:
    truth = np.array([[1, 1], [2, 2]])
    listed = [segment(1, 1), segment(2, 7)]
    first, second = PanopticQuality(CATEGORIES), PanopticQuality(CATEGORIES)
    first.add(truth, listed, truth, listed)
    second.add(truth, listed, truth, listed)
    first.counts += second.counts
    assert first.summary()["per_class"][0]["tp"] == 2
    assert first.summary()["All"]["pq"] == 1


def test_images_without_segments_count_nothing() -> None:
    empty = np.zeros((2, 2), int)
    quality = PanopticQuality(CATEGORIES)
    quality.add(empty, [], empty, [])
    assert quality.summary()["All"] == {"pq": 0.0, "sq": 0.0, "rq": 0.0, "n": 0}


@pytest.mark.parametrize(
    ("guess", "listed", "words"),
    [
        ([[1, 1, 1]], [segment(1, 1)], "differ in size"),
        ([[1, 4]], [segment(1, 1)], "does not list"),
        ([[1, 1]], [segment(1, 1), segment(4, 1)], "no pixel"),
        ([[1, 1]], [segment(1, 3)], "not listed"),
        ([[1, 1]], [segment(1, 1), segment(1, 1)], "unique"),
    ],
)
def test_what_does_not_fit_together_is_named(guess: list, listed: list, words: str) -> None:
    with pytest.raises(DataError, match=words):
        PanopticQuality(CATEGORIES).add(np.array([[1, 1]]), [segment(1, 1)], np.array(guess), listed, "a.png")


def random_map(rng: np.random.Generator, blank: float, crowds: bool) -> tuple[np.ndarray, list[dict]]:
    blocks = rng.integers(1, 9, (6, 6)) * 1000
    ids = np.kron(blocks, np.ones((4, 5), int))
    ids[rng.random(ids.shape) < blank] = 0
    present = rng.permutation([int(i) for i in np.unique(ids) if i])
    listed = [segment(int(i), int(rng.choice([1, 2, 7, 9])), int(crowds and rng.random() < 0.3)) for i in present]
    for each in listed:
        each["area"] = int((ids == each["id"]).sum())
    return ids, listed


def save(path: Path, ids: np.ndarray) -> None:
    Image.fromarray(np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)).save(path)


Pairs = list[tuple[dict, dict]]


def drawn(folder: Path) -> tuple[PanopticQuality, Pairs]:
    """60 images with crowds and unlabelled pixels: what we count, and pairs of truth and prediction beside PNGs."""
    rng = np.random.default_rng(3)
    ours = PanopticQuality(CATEGORIES)
    matched = []
    for name in ("truth", "guess"):
        (folder / name).mkdir()
    for index in range(60):
        truth, truth_listed = random_map(rng, 0.2, crowds=True)
        guess, guess_listed = random_map(rng, 0.1, crowds=False)
        # Something must be found as well: take half of the truth over.
        take = np.isin(truth, [each["id"] for each in truth_listed[::2]])
        guess = np.where(take, truth + 7, guess)
        kept = {each["id"]: each for each in guess_listed} | {
            each["id"] + 7: {**each, "id": each["id"] + 7, "iscrowd": 0} for each in truth_listed[::2]
        }
        guess_listed = [kept[i] for i in np.unique(guess).tolist() if i]
        ours.add(truth, truth_listed, guess, guess_listed, str(index))
        for name, ids in (("truth", truth), ("guess", guess)):
            save(folder / name / f"{index}.png", ids)
        names = {"file_name": f"{index}.png", "image_id": index}
        matched.append(({**names, "segments_info": truth_listed}, {**names, "segments_info": guess_listed}))
    return ours, matched


def test_every_figure_is_panopticapis(tmp_path: Path) -> None:
    evaluation = pytest.importorskip("panopticapi.evaluation")
    ours, matched = drawn(tmp_path)
    theirs = evaluation.pq_compute_single_core(
        0, matched, str(tmp_path / "truth"), str(tmp_path / "guess"), {each["id"]: each for each in CATEGORIES}
    )
    for category, counts in zip(CATEGORIES, ours.counts):
        stat = theirs[category["id"]]
        assert counts.tolist() == pytest.approx([stat.iou, stat.tp, stat.fp, stat.fn], rel=1e-12)
    assert ours.counts[:, 1:].min() > 0
    for group, isthing in (("All", None), ("Things", True), ("Stuff", False)):
        expected, _ = theirs.pq_average({each["id"]: each for each in CATEGORIES}, isthing=isthing)
        assert ours.summary()[group] == pytest.approx(expected, rel=1e-12)


def test_hotcoco_gives_the_same_figures(tmp_path: Path) -> None:
    panoptic = pytest.importorskip("hotcoco.panoptic")
    ours, matched = drawn(tmp_path)
    images = [{"id": index, "file_name": f"{index}.jpg", "width": 30, "height": 24} for index in range(60)]
    for place, name in enumerate(("truth", "guess")):
        content = {"images": images, "categories": CATEGORIES, "annotations": [pair[place] for pair in matched]}
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    theirs = panoptic.pq_compute(str(tmp_path / "truth.json"), str(tmp_path / "guess.json"))
    for group in ("All", "Things", "Stuff"):
        assert ours.summary()[group] == pytest.approx(theirs[group], rel=1e-9)


def test_the_sample_data_of_panopticapi_is_perfect_against_itself(shared: Path) -> None:
    folder = next((shared / "corpora").glob("coco-panoptic__panopticapi*"))
    truth = json.loads(next(folder.rglob("panoptic_examples.json")).read_text())
    quality = PanopticQuality(truth["categories"])
    pngs = next(folder.rglob("panoptic_examples"))
    for annotation in truth["annotations"]:
        rgb = np.asarray(Image.open(pngs / annotation["file_name"]).convert("RGB")).astype(int)
        ids = rgb[..., 0] + 256 * rgb[..., 1] + 65536 * rgb[..., 2]
        listed = annotation["segments_info"]
        quality.add(ids, listed, ids, listed, annotation["file_name"])
    assert quality.summary()["All"]["pq"] == 1
