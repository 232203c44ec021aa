"""Where things stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from seg2knet.dataset.layout import AdeLayout, CocoLayout, find_ade, find_coco, find_dataset
from seg2knet.errors import DataError


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@pytest.mark.parametrize("year", ["2017", ""])
def test_coco_is_found_with_and_without_the_year(tmp_path: Path, year: str) -> None:
    layout = CocoLayout(tmp_path, year)
    touch(layout.instances("val"))
    touch(layout.instances("train"))
    assert find_coco(tmp_path) == layout
    assert layout.splits() == ("train", "val")
    assert layout.panoptic_splits() == ()


def test_ade_is_found_in_its_folder_or_above(tmp_path: Path) -> None:
    layout = AdeLayout(tmp_path / "ADEChallengeData2016")
    touch(layout.annotations("train") / "a.png")
    touch(layout.images("train") / "a.jpg")
    assert find_ade(tmp_path) == layout
    assert find_ade(layout.root) == layout


def test_nothing_found_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="seg2knet convert"):
        find_dataset([tmp_path, tmp_path / "gone"])
