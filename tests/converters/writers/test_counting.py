"""Counting painted pixels, whichever release of OpenCV counts them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from seg2knet.converters.writers._painting import count


@pytest.mark.parametrize("shape", [(256, 1), (256,)], ids=["OpenCV 4", "OpenCV 5"])
def test_histograms_of_either_shape(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    histogram = cv2.calcHist
    monkeypatch.setattr(cv2, "calcHist", lambda *arguments: histogram(*arguments).reshape(shape))
    canvas = np.array([[0, 1, 1], [3, 3, 3]], np.uint8)
    assert count(canvas, 3) == [1, 2, 0, 3]
