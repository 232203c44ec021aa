"""Videos and webcams: each frame segmented, and drawn into a video of the same name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Optional

import cv2

from seg2knet.errors import DataError
from seg2knet.trainer.predict import drawing

SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")


def is_video(source: str) -> bool:
    """Whether an argument of predict is a video file, or the number of a webcam."""
    return (source.isdigit() and not Path(source).exists()) or Path(source).suffix.lower() in SUFFIXES


def segment_video(
    model: Any, source: str, out: Path, score_thr: float, ticked: Optional[Callable[[int, int], None]] = None,
    dedup: float = 0.0, names: Optional[set[Path]] = None,
) -> Iterator[int]:  # fmt: skip
    """Write ``OUT/NAME.mp4`` with overlays, frame by frame; a webcam, given by its number, runs until it is
    interrupted. Yields the number of objects of each frame; ``ticked`` is called with frames done and in all.
    ``names`` are those of videos before.

    Raises DataError: the source cannot be opened, or the video not written.
    """
    capture = cv2.VideoCapture(int(source) if source.isdigit() else source)
    if not capture.isOpened():
        raise DataError("the video cannot be opened", file=source, expected="a video file or the number of a webcam")
    size = (int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
    total, done = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT))), 0
    name = Path(f"webcam-{source}" if source.isdigit() else Path(source).name)
    target = out / f"{drawing.free_stem(name, names if names is not None else set())}.mp4"
    out.mkdir(parents=True, exist_ok=True)
    if Path(source).exists() and target.exists() and target.samefile(source):
        raise DataError("the video would be overwritten", file=source, hint="choose another folder with --out")
    writer = cv2.VideoWriter(str(target), cv2.VideoWriter.fourcc(*"mp4v"), capture.get(cv2.CAP_PROP_FPS) or 25.0, size)
    if not writer.isOpened():
        raise DataError("OpenCV cannot write a video here", file=target)
    try:
        while (frame := capture.read()[1]) is not None:
            (prediction,) = model.arrays([frame])
            if model.task == "instance":
                prediction = prediction.best(score_thr, dedup)
            writer.write(drawing.overlay(frame, prediction, model.classes))
            done += 1
            if ticked is not None and total:
                ticked(done, total)
            yield len(prediction.labels)
    except KeyboardInterrupt:
        if not source.isdigit():
            raise
    finally:
        capture.release()
        writer.release()
