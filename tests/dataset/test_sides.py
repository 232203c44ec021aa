"""Which classes a mirror image turns into one another."""

from __future__ import annotations

import pytest

from seg2knet.dataset.sides import Sides, find_sides, words
from seg2knet.errors import UsageError


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("back_left_door", ("back", "left", "door")),
        ("frontLeftDoor2", ("front", "left", "door", "2")),
        ("LHDoor", ("lh", "door")),
        ("Tür-links", ("tür", "links")),
        ("左ドア", ("左", "ドア")),
        ("arm.L", ("arm", "l")),
        ("ЛеваяФара", ("леваяфара",)),
    ],
)
def test_names_fall_into_words(name: str, expected: tuple[str, ...]) -> None:
    assert words(name) == expected


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("back_left_door", "back_right_door"),
        ("doorLeft", "doorRight"),
        ("Left Mirror", "right mirror"),
        ("arm.L", "arm.R"),
        ("lh-lamp", "rh-lamp"),
        ("Tür links", "Tür rechts"),
        ("linker Arm", "rechter Arm"),
        ("puerta izquierda", "puerta derecha"),
        ("bras gauche", "bras droit"),
        ("porte gauche", "porte droite"),
        ("левая дверь", "правая дверь"),
        ("左ドア", "右ドア"),
        ("upper_left_of_left_lung", "upper_right_of_right_lung"),
    ],
)
def test_left_and_right_are_a_pair(left: str, right: str) -> None:
    assert find_sides(["wheel", left, right]) == Sides(((left, right),))
    assert find_sides([right, left]).pairs == ((right, left),)


def test_only_whole_words_count() -> None:
    assert find_sides(["bright", "bleft", "lamp", "ramp", "cleft", "l2", "r3", "left over"]).pairs == ()
    assert find_sides(["lamp", "ramp"]) == Sides()


def test_a_side_without_its_counterpart_is_told() -> None:
    sides = find_sides(["left_door", "hood", "l", "linke_hand"])
    assert sides.pairs == ()
    assert sides.alone == ("left_door", "linke_hand")


def test_labels_of_a_mirror_image() -> None:
    names = ["hood", "door_right", "wheel", "door_left"]
    assert find_sides(names).swapped(names) == [0, 3, 2, 1]
    assert find_sides(names).swapped(["door_left", "hood"]) == [0, 1], "a class that is not there stays"


def test_other_pairs_can_be_given() -> None:
    names = ["driver", "passenger", "left", "right", "left_2"]
    assert find_sides(names, {"driver": "passenger"}).pairs == (("driver", "passenger"), ("left", "right"))
    assert find_sides(names, {"left": "left_2"}).pairs == (("left", "left_2"),)


@pytest.mark.parametrize("mirror", [{"a": "c"}, {"a": "a"}, {"a": "b", "b": "a"}])
def test_pairs_that_cannot_be_are_refused(mirror: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="--mirror"):
        find_sides(["a", "b"], mirror)
