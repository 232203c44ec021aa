"""Frames out of a video, one after another, as OpenCV decodes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seg2knet.errors import DataError


class Video:
    """A video file. Frames are best asked for in rising order: seeking is inexact, so it is read from the beginning."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._capture: Any = None
        self._next = 0

    def png(self, frame: int) -> bytes:
        """A frame, counted from 0, as PNG; DataError where the video cannot be read, or has no such frame."""
        import cv2

        if self._capture is None or frame < self._next:
            self._capture = cv2.VideoCapture(str(self.path))
            self._next = 0
            if not self._capture.isOpened():
                raise DataError("the video cannot be opened", file=self.path, expected="a format that OpenCV decodes")
        while self._next <= frame:
            if not self._capture.grab():
                found = f"{self._next} frames"
                raise DataError("the video has no such frame", file=self.path, place=f"frame {frame}", found=found)
            self._next += 1
        good, image = self._capture.retrieve()
        if not good:
            raise DataError("a frame cannot be decoded", file=self.path, place=f"frame {frame}")
        return cv2.imencode(".png", image)[1].tobytes()

    def count(self) -> int:
        """How many frames the container says that there are; 0 where it cannot be read."""
        import cv2

        capture = cv2.VideoCapture(str(self.path))
        return max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0) if capture.isOpened() else 0
