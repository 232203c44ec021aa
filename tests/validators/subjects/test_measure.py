"""What is judged without drawing a mask is judged as with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from seg2knet.validators.subjects import measure
from seg2knet.validators.subjects.files import CocoFile

SIZE = 120


def outline(random: np.random.Generator) -> list[float]:
    """Large and small, round and spiky, simple and not, in the image and beyond its edge."""
    count = int(random.integers(3, 12))
    turn = np.sort(random.random(count)) * 2 * np.pi if random.random() < 0.8 else random.random(count) * 7
    radius = random.choice([1.0, 4.0, 20.0, 60.0]) * (0.2 + random.random(count))
    middle = random.random(2) * SIZE
    points = middle + np.stack([radius * np.cos(turn), radius * np.sin(turn)], 1)
    return np.round(points, int(random.integers(0, 3))).ravel().tolist()


@pytest.mark.parametrize("seed", range(3))
def test_as_when_all_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    random = np.random.default_rng(seed)
    annotations = []
    for number in range(1, 1001):
        parts = [outline(random) for _ in range(int(random.choice([1, 1, 1, 2, 3])))]
        area = float(random.choice([1.0, 10.0, 100.0, 1000.0])) * random.random() * 5
        box = [*(random.random(2) * SIZE), *(random.random(2) * 60)]
        annotations.append(
            {"id": number, "image_id": 1, "category_id": 1, "segmentation": parts, "area": area, "bbox": box}
        )
    image = {"id": 1, "file_name": "a.jpg", "width": SIZE, "height": SIZE}
    content = {"images": [image], "annotations": annotations, "categories": [{"id": 1, "name": "a"}]}
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    bounded = CocoFile(path).shapes
    monkeypatch.setattr(measure, "_OFF_LINE", 1e9)
    drawn = CocoFile(path).shapes
    assert np.isnan(bounded.mask_areas).sum() > np.isnan(drawn.mask_areas).sum() + 100
    assert (bounded.area_fits == drawn.area_fits).all()
    assert (bounded.box_fits == drawn.box_fits).all()
    assert (bounded.flags == drawn.flags).all()
