"""Tiles and mirrored images, joined: with a model that finds every bright blob it is shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import cv2  # noqa: E402

from seg2knet.dataset.classes import ClassInfo, ClassList  # noqa: E402
from seg2knet.errors import DataError  # noqa: E402
from seg2knet.trainer.predict import video  # noqa: E402
from seg2knet.trainer.predict.prediction import Prediction  # noqa: E402
from seg2knet.trainer.predict.tiling import TiledSegmenter, cuts  # noqa: E402

CLASSES = ClassList((
    ClassInfo("blob", isthing=True, color=(255, 0, 0)), ClassInfo("dim blob", isthing=True, color=(0, 255, 0)),
    ClassInfo("ground", isthing=False, color=(0, 0, 255)),
))  # fmt: skip


class Finder:
    """Blobs of 200 are class 0, of 100 class 1; panoptic and semantic: the rest is class 2. Larger blobs score more."""

    def __init__(self, task: str) -> None:
        self.task, self.classes, self.score_thr, self.dedup = task, CLASSES, 0.0, 0.0
        self.judged_score, self.config = None, dict[str, object]()
        self.seen: list[tuple[int, ...]] = []

    def arrays(self, images: list[np.ndarray]) -> list[Prediction]:
        self.seen += [image.shape[:2] for image in images]
        return [self.find(image) for image in images]

    def find(self, image: np.ndarray) -> Prediction:
        height, width = image.shape[:2]
        if self.task == "semantic":
            labelmap = np.where(image[..., 0] == 200, 0, np.where(image[..., 0] == 100, 1, 2)).astype(np.uint8)
            return Prediction.of_labelmap(Path("image"), labelmap)
        labels, masks = [], []
        for label, level in enumerate((200, 100)):
            count, components = cv2.connectedComponents((image[..., 0] == level).astype(np.uint8))
            masks += [components == number for number in range(1, count)]
            labels += [label] * (count - 1)
        if self.task == "panoptic":
            masks.append(image[..., 0] == 0)
            labels.append(2)
        scores = np.array([0.5 + 0.4 * mask.mean() for mask in masks], np.float32)
        order = np.argsort(-scores)
        chosen = np.stack([masks[i] for i in order]) if masks else np.zeros((0, height, width), bool)
        return Prediction(Path("image"), width, height, np.array(labels, np.int64)[order], scores[order], chosen)


def scene(path: Path) -> np.ndarray:
    """A long bar across many tiles, a disc over an edge, a small disc inside a tile, a dim disc beside the bar."""
    image = np.zeros((150, 260, 3), np.uint8)
    cv2.rectangle(image, (20, 40), (240, 52), (200, 200, 200), -1)
    cv2.circle(image, (100, 100), 20, (200, 200, 200), -1)
    cv2.circle(image, (20, 120), 6, (200, 200, 200), -1)
    cv2.circle(image, (200, 100), 25, (100, 100, 100), -1)
    cv2.imwrite(str(path), image)
    return image


@pytest.mark.parametrize(
    ("length", "tile", "overlap"), [(260, 100, 0.2), (150, 100, 0.5), (90, 100, 0.2), (101, 100, 0)]
)
def test_tiles_cover_a_side_and_cores_cover_it_once(length: int, tile: int, overlap: float) -> None:
    found = cuts(length, tile, overlap)
    assert [core_begin for _, _, core_begin, _ in found] == [0, *(end for _, _, _, end in found[:-1])]
    assert found[-1][1] == found[-1][3] == length
    assert {end - begin for begin, end, _, _ in found} == {min(tile, length)}
    assert all(begin <= first <= last <= end for begin, end, first, last in found)
    assert all(b[0] <= a[1] - min(tile, length) * overlap + 1 for a, b in zip(found, found[1:]))


@pytest.mark.parametrize("mirror", [False, True])
def test_objects_that_edges_cut_are_whole_again(tmp_path: Path, mirror: bool) -> None:
    image = scene(tmp_path / "scene.png")
    finder = Finder("instance")
    found = TiledSegmenter(finder, 80, 0.25, mirror, 4)(tmp_path / "scene.png")
    assert set(finder.seen) == {(80, 80)}
    assert sorted(found.labels.tolist()) == [0, 0, 0, 1]
    whole = finder.find(image)
    for label, mask in zip(whole.labels, whole.masks):
        (match,) = [i for i, other in enumerate(found.masks) if (other & mask).any()]
        assert np.array_equal(found.masks[match], mask)
        assert found.labels[match] == label
    assert (np.diff(found.scores) <= 0).all()
    assert found.scores.min() >= 0.5, "both kinds of views find each object"


def test_an_object_of_the_mirrored_image_alone_has_half_its_score(tmp_path: Path) -> None:
    scene(tmp_path / "scene.png")
    finder = Finder("instance")
    real = finder.arrays
    calls: list[int] = []

    def blind_at_first(images: list[np.ndarray]) -> list[Prediction]:
        calls.append(len(images))
        return [prediction.above(2 if len(calls) == 1 else 0) for prediction in real(images)]

    finder.arrays = blind_at_first  # type: ignore[method-assign]
    found = TiledSegmenter(finder, 0, 0.2, True, 4)(tmp_path / "scene.png")
    assert len(found.labels) == 4
    assert found.scores.max() < 0.5


def test_the_mirrored_image_shows_left_as_right(tmp_path: Path) -> None:
    image = np.zeros((60, 120, 3), np.uint8)
    cv2.circle(image, (20, 30), 10, (200, 200, 200), -1)
    cv2.imwrite(str(tmp_path / "hands.png"), image)

    class Hands(Finder):
        """The hand on the left is the left one."""

        def find(self, image: np.ndarray) -> Prediction:
            mask = image[None, ..., 0] == 200
            label = int(np.nonzero(mask[0])[1].mean() > 60)
            return Prediction(Path("x"), 120, 60, np.array([label]), np.array([0.8], np.float32), mask)

    hands = Hands("instance")
    hands.classes = ClassList((ClassInfo("left hand"), ClassInfo("right hand")))
    found = TiledSegmenter(hands, 0, 0.2, True, 1)(tmp_path / "hands.png")
    assert found.labels.tolist() == [0]
    assert found.scores.tolist() == pytest.approx([0.8])


@pytest.mark.parametrize("task", ["panoptic", "semantic"])
def test_stuff_is_one_segment_and_pixels_have_one_owner(tmp_path: Path, task: str) -> None:
    image = scene(tmp_path / "scene.png")
    found = TiledSegmenter(Finder(task), 80, 0.25, False, 4)(tmp_path / "scene.png")
    assert (found.masks.sum(0) == 1).all()
    ((ground,),) = [np.flatnonzero(found.labels == 2)]
    assert np.array_equal(found.masks[ground], image[..., 0] == 0)
    assert sorted(found.labels.tolist()) == ([0, 0, 0, 1, 2] if task == "panoptic" else [0, 1, 2])


def test_semantic_segmentation_takes_the_mean_of_both_probabilities(tmp_path: Path) -> None:
    """A model that is sure of the image as it is and unsure of its mirror image, with sides."""
    cv2.imwrite(str(tmp_path / "hands.png"), np.zeros((4, 6, 3), np.uint8))

    class Sure(Finder):
        def class_shares(self, images: list[np.ndarray]) -> torch.Tensor:
            self.seen += [image.shape[:2] for image in images]
            shares = torch.zeros(len(images), 2, 4, 6)
            left = 0.9 if len(self.seen) == 1 else 0.4  # the mirrored view comes first
            shares[:, 0, :, :3], shares[:, 1, :, :3] = left, 1 - left
            shares[:, 0, :, 3:], shares[:, 1, :, 3:] = 0.2, 0.8
            return shares

    hands = Sure("semantic")
    hands.classes = ClassList((ClassInfo("left hand"), ClassInfo("right hand")))
    found = TiledSegmenter(hands, 0, 0.2, True, 1)(tmp_path / "hands.png")
    assert len(hands.seen) == 2
    # Left half: (0.4, 0.6) as it is; mirrored its right half, (0.2, 0.8), and left is right: (0.8, 0.2).
    # Right half: (0.2, 0.8) as it is; mirrored (0.9, 0.1), which is (0.1, 0.9).
    assert found.labelmap is not None
    assert (found.labelmap[:, :3] == 0).all()
    assert (found.labelmap[:, 3:] == 1).all()
    assert found.names == ["left hand", "right hand"]


def test_a_video_is_drawn_frame_by_frame(tmp_path: Path) -> None:
    source = tmp_path / "in" / "clip.avi"
    source.parent.mkdir()
    writer = cv2.VideoWriter(str(source), cv2.VideoWriter.fourcc(*"MJPG"), 12.0, (96, 64))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no videos")
    for _ in range(5):
        writer.write(np.full((64, 96, 3), 30, np.uint8))
    writer.release()
    frames: list[tuple[int, int]] = []

    class Painter(Finder):
        def find(self, image: np.ndarray) -> Prediction:
            mask = np.zeros((1, *image.shape[:2]), bool)
            mask[:, 10:40, 10:60] = True
            return Prediction(Path("x"), 96, 64, np.array([0]), np.array([0.9], np.float32), mask)

    counts = list(
        video.segment_video(Painter("instance"), str(source), tmp_path / "out", 0.3, lambda *t: frames.append(t))
    )
    assert counts == [1] * 5
    assert frames[-1] == (5, 5)
    read = cv2.VideoCapture(str(tmp_path / "out" / "clip.mp4"))
    assert read.get(cv2.CAP_PROP_FPS) == 12
    first = read.read()[1]
    assert first.shape == (64, 96, 3)
    assert first[25, 35, 2] > first[60, 90, 2] + 20, "the mask is tinted red"
    assert video.is_video("0")
    assert not video.is_video(str(tmp_path / "out"))
    (tmp_path / "two").mkdir()
    other, names = tmp_path / "two" / source.name, {Path("clip")}
    other.write_bytes(source.read_bytes())
    list(video.segment_video(Painter("instance"), str(other), tmp_path / "out", 0.3, names=names))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{source.name}.mp4", "clip.mp4"]
    with pytest.raises(DataError, match="overwritten"):
        list(video.segment_video(Painter("instance"), str(tmp_path / "out" / "clip.mp4"), tmp_path / "out", 0.3))
    with pytest.raises(DataError, match="cannot be opened"):
        list(video.segment_video(Painter("instance"), str(tmp_path / "none.mp4"), tmp_path / "out", 0.3))
    assert not video.is_video("photos/a.jpg")
