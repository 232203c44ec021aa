"""A model from its checkpoint, without training one: batches, loader processes, arrays, half precision, notebooks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("mmdet")

import cv2  # noqa: E402

import seg2knet  # noqa: E402
from seg2knet.errors import DataError, EnvironmentProblem  # noqa: E402
from seg2knet.trainer.openmmlab import packages  # noqa: E402
from seg2knet.trainer.predict.inference import Segmenter  # noqa: E402

CONFIG: dict[str, Any] = {
    "task": "instance",
    "classes": ["disc", "box"],
    "palette": [[255, 0, 0], [0, 0, 255]],
    "default_scope": "mmdet",
    "custom_imports": {"imports": ["seg2knet.knet.detector"]},
    "test_pipeline": [
        {"type": "LoadImageFromFile"},
        {"type": "Resize", "scale": (64, 64), "keep_ratio": True},
        {"type": "PackDetInputs", "meta_keys": ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")},
    ],
    "model": {
        "type": "KNet",
        "data_preprocessor": {
            "type": "KNetPreprocessor", "mean": [120.0, 120.0, 120.0], "std": [60.0, 60.0, 60.0], "bgr_to_rgb": True,
            "pad_size_divisor": 32, "pad_mask": False,
        },
        "backbone": {
            "type": "ResNet", "depth": 18, "base_channels": 8, "stem_channels": 8, "out_indices": (0, 1, 2, 3),
            "norm_eval": True,
        },
        "neck": {"type": "FPN", "in_channels": [8, 16, 32, 64], "out_channels": 32, "num_outs": 4},
        "num_things": 2, "num_kernels": 6, "num_stages": 2, "channels": 32, "feedforward_channels": 64,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model's, of random weights, with scores on both sides of 0.3."""
    packages.load()
    from mmdet.registry import MODELS
    from mmengine.registry import init_default_scope

    import seg2knet.knet.detector  # noqa: F401 - registers KNet

    init_default_scope("mmdet")
    torch.manual_seed(0)
    model = MODELS.build(CONFIG["model"])
    with torch.no_grad():
        for stage in model.network.stages:
            stage.class_out.bias.fill_(-0.85)
    path = tmp_path_factory.mktemp("model") / "best.pth"
    text = "\n".join(f"{name} = {value!r}" for name, value in CONFIG.items())
    torch.save({"meta": {"cfg": text, "seg2knet": {}}, "state_dict": model.state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three of one size, one of another, one that is no image, one more."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for place, size in enumerate([(60, 80), (60, 80), (60, 80), (90, 50), None, (60, 80)]):
        if size is None:
            (folder / f"{place}.png").write_bytes(b"no image")
        else:
            cv2.imwrite(str(folder / f"{place}.png"), rng.integers(0, 255, (*size, 3), dtype=np.uint8))
    return sorted(folder.iterdir())


def same(ours: Any, theirs: Any) -> bool:
    close = np.allclose(ours.scores, theirs.scores, atol=1e-5)
    return close and ours.labels.tolist() == theirs.labels.tolist() and ours.path == theirs.path


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_and_loader_processes_change_nothing(checkpoint: Path, photos: list[Path], workers: int) -> None:
    model = Segmenter(checkpoint, "cpu")
    sizes: list[int] = []
    real = model.predict_batch
    model.predict_batch = lambda batch: sizes.append(len(batch["inputs"])) or real(batch)  # type: ignore[method-assign]
    found = list(model.many(photos, batch_size=2, workers=workers))
    assert sizes == [2, 1, 1, 1], "images of one size, up to two, in order"
    assert isinstance(found[4], DataError)
    model.predict_batch = real  # type: ignore[method-assign]
    for path, ours in zip(photos, found):
        if not isinstance(ours, DataError):
            alone = model(path)
            assert same(ours, alone)
            assert ours.width, ours.height == (alone.width, alone.height)
            assert (ours.masks != alone.masks).mean() < 1e-3


def test_low_scores_are_dropped_before_masks_are_enlarged(checkpoint: Path, photos: list[Path]) -> None:
    everything = Segmenter(checkpoint, "cpu")(photos[0])
    threshold = float(np.median(everything.scores))
    model = Segmenter(checkpoint, "cpu", score_thr=threshold)
    assert model.model.rules.score_thr == threshold
    assert same(model(photos[0]), everything.above(threshold))


def test_half_precision_finds_nearly_the_same(checkpoint: Path, photos: list[Path]) -> None:
    exact, half = (Segmenter(checkpoint, "cpu", half=half)(photos[0]) for half in (False, True))
    assert len(half.scores) == len(exact.scores)
    assert 0 < np.abs(half.scores - exact.scores).max() < 0.05


def test_in_a_notebook(checkpoint: Path, photos: list[Path]) -> None:
    from PIL import Image

    threshold = float(np.median(Segmenter(checkpoint, "cpu")(photos[0]).scores))
    model = seg2knet.load(checkpoint, "cpu", score_thr=threshold)
    pixels = np.asarray(Image.open(photos[0]).convert("RGB"))
    of_file = model(photos[0])
    for image in (str(photos[0]), pixels, Image.open(photos[0]), np.dstack([pixels, pixels[..., 0]])):
        found = model(image)
        assert found.scores.tolist() == pytest.approx(of_file.scores.tolist(), abs=1e-5)
    assert found.scores.min() >= threshold - 1e-5
    assert found.masks.shape == (len(found.labels), 60, 80)
    shown = cv2.imdecode(np.frombuffer(found._repr_png_(), np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape[0] / shown.shape[1] == pytest.approx(60 / 80)
    assert found.plot().shape[:2] == shown.shape[:2], "the whole of it"
    with pytest.raises(DataError, match="this array is no image"):
        model(pixels[..., 0] / 255)


def test_a_prediction_in_other_words(checkpoint: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    found = seg2knet.load(checkpoint, "cpu", score_thr=0.15)(photos[0])
    assert set(found.names) <= {"disc", "box"}
    for place, (mask, (x1, y1, x2, y2)) in enumerate(zip(found.masks, found.boxes.astype(int))):
        assert found.names[place] == CONFIG["classes"][found.labels[place]]
        assert mask[y1:y2, x1:x2].sum() == mask.sum()
        if mask.any():
            rows, columns = np.nonzero(mask)
            assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (x1, y1, x2, y2)
            corners = np.concatenate(found.polygons()[place])
            assert (corners.min(0).tolist(), corners.max(0).tolist()) == ([x1, y1], [x2, y2])
    results = found.to_coco(7)
    assert [result["category_id"] for result in results] == (found.labels + 1).tolist()
    assert {result["image_id"] for result in results} == {7}
    assert (found.plot() != found.above(2).plot()).any()
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(EnvironmentProblem, match="pip install supervision"):
        found.to_supervision()


def test_detections_of_supervision(checkpoint: Path, photos: list[Path]) -> None:
    supervision = pytest.importorskip("supervision")
    found = seg2knet.load(checkpoint, "cpu", score_thr=0.15)(photos[0])
    detections = found.to_supervision()
    assert isinstance(detections, supervision.Detections)
    assert len(detections) == len(found.labels) > 0
    assert np.array_equal(detections.mask, found.masks)
    assert detections.data["class_name"].tolist() == found.names
    assert len(found.above(2).to_supervision()) == 0


def test_one_of_two_overlapping_objects_is_left_out(checkpoint: Path, photos: list[Path]) -> None:
    everything = seg2knet.load(checkpoint, "cpu", score_thr=0.0, dedup=0)(photos[0])
    masks, labels = everything.masks.reshape(len(everything.rles), -1).astype(float), everything.labels
    both = masks @ masks.T
    iou = both / np.maximum(masks.sum(1)[:, None] + masks.sum(1) - both, 1)
    chosen: list[int] = []
    for place in range(len(labels)):
        if not any(iou[place, other] > 0.05 and labels[place] == labels[other] for other in chosen):
            chosen.append(place)
    assert 0 < len(chosen) < len(labels), "the model of random weights sees some twice"
    for found in (
        everything.best(0, 0.05),
        seg2knet.load(checkpoint, "cpu", score_thr=0.0, dedup=0.05)(photos[0]),
        seg2knet.predict(checkpoint, photos[0], score_thr=0.0, dedup=0.05, device="cpu")[0],
    ):
        assert found.labels.tolist() == labels[chosen].tolist()
        assert found.scores.tolist() == pytest.approx(everything.scores[chosen].tolist())
    assert len(Segmenter(checkpoint, "cpu")(photos[0]).labels) == len(labels), "evaluation keeps all"


def test_the_checkpoint_knows_its_best_score(checkpoint: Path, photos: list[Path], tmp_path: Path) -> None:
    from click.testing import CliRunner

    from seg2knet.cli import cli

    content = torch.load(checkpoint, weights_only=True)
    scores = Segmenter(checkpoint, "cpu")(photos[0]).scores
    content["meta"]["seg2knet"] = {"score_thr": float(np.median(scores))}
    torch.save(content, tmp_path / "judged.pth")
    assert Segmenter(tmp_path / "judged.pth", "cpu").score_thr == 0
    assert seg2knet.load(tmp_path / "judged.pth", "cpu").score_thr == float(np.median(scores))
    assert seg2knet.load(tmp_path / "judged.pth", "cpu", score_thr=0.1).score_thr == 0.1
    assert seg2knet.load(checkpoint, "cpu").score_thr == 0.3
    given = ["predict", str(tmp_path / "judged.pth"), str(photos[0]), "--device", "cpu", "--out", str(tmp_path / "out")]
    said = CliRunner().invoke(cli, [*given, "--dedup", "0"]).output
    assert f"{(scores >= np.median(scores)).sum()} objects" in said
    assert "the best for F1" in said
    assert "the best for F1" not in CliRunner().invoke(cli, [*given, "--score-thr", "0.1"]).output


def test_the_api_takes_batches(checkpoint: Path, photos: list[Path]) -> None:
    failures: list[DataError] = []
    found = seg2knet.predict(checkpoint, photos, score_thr=0.2, device="cpu", failed=failures.append, batch_size=3)
    assert [prediction.path for prediction in found] == [path for path in photos if path.name != "4.png"]
    assert len(failures) == 1
    tiled = seg2knet.predict(
        checkpoint, photos[:3], score_thr=0.2, device="cpu", tile=64, overlap=0.1, tta=True, half=True, workers=0
    )
    assert [prediction.path for prediction in tiled] == photos[:3]


@pytest.mark.parametrize("more", [[], ["--tile", "64", "--overlap", "0.1", "--tta"]], ids=["whole", "tiles"])
def test_the_command(checkpoint: Path, photos: list[Path], tmp_path: Path, more: list[str]) -> None:
    from click.testing import CliRunner

    from seg2knet.cli import cli

    given = ["--out", str(tmp_path), "--batch-size", "3", "--workers", "0", "--half", "--score-thr", "0.2", *more]
    result = CliRunner().invoke(cli, ["predict", str(checkpoint), str(photos[0].parent), "--device", "cpu", *given])
    assert result.exit_code == 1, "one file is no image"
    assert result.stdout.startswith("5 images")
    assert sorted(file.stem for file in tmp_path.iterdir()) == ["0", "1", "2", "3", "5"]


def test_the_command_takes_a_video(checkpoint: Path, photos: list[Path], tmp_path: Path) -> None:
    from click.testing import CliRunner

    from seg2knet.cli import cli

    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (80, 60))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no videos")
    for _ in range(3):
        writer.write(cv2.imread(str(photos[0])))
    writer.release()
    given = [str(tmp_path / "clip.avi"), "--out", str(tmp_path / "out"), "--device", "cpu", "--score-thr", "0.2"]
    result = CliRunner().invoke(cli, ["predict", str(checkpoint), *given])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("3 images")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["clip.mp4"]
