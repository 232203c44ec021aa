"""Class counts in a merged model of the classic stack."""

from __future__ import annotations

import pytest

from seg2knet.trainer.classic.counts import REQUIRED, Counts, constructor_parameters, set_class_counts


def heads(**counts: int) -> dict:
    return {"type": "Update", **counts}


DEFAULTS = {"num_classes": 80, "num_thing_classes": 80, "num_stuff_classes": 53, "in_channels": 256}
SIGNATURES = {
    "KNet": {"backbone": REQUIRED, "num_thing_classes": 80, "num_stuff_classes": 53},
    "Kernel": {"num_classes": REQUIRED, "num_thing_classes": 80, "num_stuff_classes": 53},
    "Update": DEFAULTS,
    "ResNet": {"depth": REQUIRED, "num_classes": 1000},
    "Fpn": {"num_classes": REQUIRED, "fg_range": (0, 79), "bg_range": (80, 132)},
}


def model() -> dict:
    return {
        "type": "KNet",
        "backbone": {"type": "ResNet", "depth": 50},
        "rpn_head": {"type": "Kernel", "num_classes": 80},
        "roi_head": {"mask_head": [heads(num_classes=80), heads()]},
    }


def signature(name: str) -> dict:
    return SIGNATURES.get(name, {})


def test_instance_says_every_count_and_stuff_0_everywhere() -> None:
    new, change = set_class_counts(model(), Counts("instance", 18), signature)
    said = {"num_thing_classes": 18, "num_stuff_classes": 0}
    assert {key: new[key] for key in said} == said
    assert new["rpn_head"] == {"type": "Kernel", "num_classes": 18, **said}
    assert new["roi_head"]["mask_head"] == [heads(num_classes=18, **said), heads(num_classes=18, **said)]
    assert new["backbone"] == {"type": "ResNet", "depth": 50}, "a backbone's own classifier is none of ours"
    assert change.counts["model.roi_head.mask_head[1].num_stuff_classes"] == (53, 0)
    assert model()["rpn_head"] == {"type": "Kernel", "num_classes": 80}, "the old model is left alone"


def test_without_signatures_only_what_is_said_changes() -> None:
    new, _ = set_class_counts(model(), Counts("instance", 18))
    assert new["roi_head"]["mask_head"] == [heads(num_classes=18), heads()]


@pytest.mark.parametrize(("old", "new"), [(133, 9), (80, 5), (54, 5), (53, 4), (7, 9)])
def test_panoptic_counts_keep_their_meaning(old: int, new: int) -> None:
    """All classes, things, stuff and one for all things, stuff; anything else is taken for all classes."""
    merged = {"head": {"num_classes": old}, "fusion": {"num_things_classes": 80, "num_stuff_classes": 53}}
    found, _ = set_class_counts(merged, Counts("panoptic", 5, 4))
    assert found == {"head": {"num_classes": new}, "fusion": {"num_things_classes": 5, "num_stuff_classes": 4}}


def test_panoptic_counts_of_a_config_for_other_data() -> None:
    """Cityscapes: 8 things and 11 stuff."""
    merged = {
        "a": {"num_classes": 19},
        "b": {"num_classes": 8},
        "c": {"num_classes": 12},
        "fusion": {"num_things_classes": 8, "num_stuff_classes": 11},
    }
    found, _ = set_class_counts(merged, Counts("panoptic", 2, 3))
    assert [found[key]["num_classes"] for key in "abc"] == [5, 2, 4]


def test_ranges_of_labels() -> None:
    merged = {"semantic_head": {"type": "Fpn", "num_classes": 54}}
    found, _ = set_class_counts(merged, Counts("panoptic", 5, 4), signature)
    assert found["semantic_head"] == {"type": "Fpn", "num_classes": 5, "fg_range": (0, 4), "bg_range": (5, 8)}


def test_semantic_keeps_zeros() -> None:
    merged = {"decode_head": [{"num_classes": 150, "num_thing_classes": 0, "num_stuff_classes": 150}]}
    found, _ = set_class_counts(merged, Counts("semantic", 4))
    assert found["decode_head"] == [{"num_classes": 4, "num_thing_classes": 0, "num_stuff_classes": 4}]


def test_class_weights_for_other_classes_are_left_out() -> None:
    merged = {"loss_a": {"class_weight": [1.0] * 81}, "loss_b": {"class_weight": [1.0] * 3}, "num_classes": 80}
    found, change = set_class_counts(merged, Counts("instance", 3))
    assert found["loss_a"]["class_weight"] is None
    assert found["loss_b"]["class_weight"] == [1.0] * 3
    assert change.dropped == ["model.loss_a.class_weight"]


def test_constructor_parameters_follow_kwargs() -> None:
    class Base:
        def __init__(self, num_classes: int, width: int = 3) -> None: ...

    class Open(Base):
        def __init__(self, depth: int = 2, **kwargs: int) -> None: ...

    class Closed(Base):
        def __init__(self, depth: int = 2) -> None: ...

    assert constructor_parameters(Open) == {"depth": 2, "num_classes": REQUIRED, "width": 3}
    assert constructor_parameters(Closed) == {"depth": 2}
