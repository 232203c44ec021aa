"""Class lists: order, thing and stuff, renaming."""

from __future__ import annotations

import pytest

from seg2knet.dataset.classes import ClassInfo, ClassList, palette_color
from seg2knet.errors import DataError

LIST = ClassList.of(["road", "car", "sky", "dog"], stuff=["road", "sky"])


def test_order_numbers_the_classes() -> None:
    assert [category["id"] for category in LIST.to_coco()] == [1, 2, 3, 4]
    assert LIST.indices() == {"road": 0, "car": 1, "sky": 2, "dog": 3}


def test_things_come_first_and_keep_their_order() -> None:
    assert LIST.things_first().names == ("car", "dog", "road", "sky")
    assert LIST.things == ("car", "dog")
    assert LIST.stuff == ("road", "sky")


def test_panoptic_categories_say_thing_or_stuff_as_numbers() -> None:
    first = LIST.to_coco_panoptic()[0]
    assert first["isthing"] == 0
    assert len(first["color"]) == 3


def test_with_stuff_is_exact_and_refuses_what_is_no_class() -> None:
    assert LIST.with_stuff(["dog"]).stuff == ("dog",)
    with pytest.raises(DataError, match="cat"):
        LIST.with_stuff(["cat"])


def test_two_classes_mapped_to_one_name_become_one() -> None:
    assert LIST.renamed({"dog": "animal", "car": "animal"}).names == ("road", "animal", "sky")


def test_without_and_merged() -> None:
    assert LIST.without(["sky"]).names == ("road", "car", "dog")
    other = ClassList((ClassInfo("car", isthing=False), ClassInfo("tree")))
    merged = LIST.merged(other)
    assert merged.names == ("road", "car", "sky", "dog", "tree")
    assert merged[1].isthing


def test_a_name_twice_is_refused() -> None:
    with pytest.raises(DataError, match="'a' is listed twice"):
        ClassList.of(["a", "b", "a"])


def test_palette_colours_differ() -> None:
    colors = [palette_color(index) for index in range(144)]
    assert len(set(colors)) == 144
    assert all(0 <= channel <= 255 for color in colors for channel in color)
