"""Backbones: each entry has all that is asked of one."""

from __future__ import annotations

import re

import pytest

from seg2knet.trainer.config.backbones import BACKBONES, Backbone


@pytest.mark.parametrize("backbone", [each for each in BACKBONES.values() if each.weights], ids=lambda each: each.name)
def test_weights_have_a_source_with_a_digest(backbone: Backbone) -> None:
    for source in filter(None, (backbone.weights, backbone.semantic_weights)):
        assert re.search(r"-[0-9a-f]{8}\.pth$", source.file)
        assert all(folder.startswith("https://") and folder.endswith("/") for folder in source.folders)


def test_only_the_narrow_one_has_no_weights() -> None:
    assert [name for name, backbone in BACKBONES.items() if backbone.weights is None] == ["r18-half"]


@pytest.mark.parametrize("name", BACKBONES)
def test_channels_are_those_of_its_features(name: str) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("mmdet")
    if name in ("r101-dcn", "swin-l"):
        pytest.skip("operator of its own, or too large to build here")
    from seg2knet.trainer.openmmlab import packages

    packages.load()
    from mmdet.registry import MODELS

    backbone = BACKBONES[name]
    model = MODELS.build(backbone.config(None, scratch=True))
    model.eval()
    with torch.no_grad():
        features = model(torch.zeros(1, 3, 64, 64))
    assert tuple(feature.shape[1] for feature in features) == backbone.channels
    assert [64 // feature.shape[2] for feature in features] == [4, 8, 16, 32]


def test_settings_are_not_shared() -> None:
    backbone = BACKBONES["r50"]
    backbone.config("weights.pth", scratch=False)["norm_cfg"]["type"] = "other"
    assert backbone.config(None, scratch=True)["norm_cfg"]["type"] == "BN"
    assert backbone.config("weights.pth", scratch=False)["frozen_stages"] == 1
    assert backbone.config(None, scratch=True)["frozen_stages"] == -1
