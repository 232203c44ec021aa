"""The detector as mmdet uses it."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS, TRANSFORMS
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from small import SIZE, images, model, sample, total

from seg2knet.errors import DataError, UsageError


def test_it_is_in_mmdets_registry() -> None:
    assert MODELS.get("KNet") is type(model())


@pytest.mark.parametrize("rescale", [True, False])
def test_instances(rescale: bool) -> None:
    samples = [sample([]), sample([])]
    samples[1].set_metainfo({"img_shape": (40, 56), "ori_shape": (80, 112)})
    first, second = model().eval().predict(images(2), samples, rescale)
    assert first.pred_instances.masks.shape == (18, SIZE, SIZE)  # 6 kernels, 3 classes
    found = second.pred_instances
    assert found.masks.shape == (18, *((80, 112) if rescale else (40, 56)))
    assert found.masks.dtype == torch.bool
    assert found.bboxes.shape == (18, 4)
    assert (found.scores.diff() <= 0).all()


def test_panoptic() -> None:
    (found,) = model(stuff=2).eval().predict(images(1), [sample([])])
    ids = found.pred_panoptic_seg.sem_seg
    assert ids.shape == (1, SIZE, SIZE)
    assert set((ids % 1000).unique().tolist()) <= set(range(6))
    assert "pred_instances" not in found


def test_surplus_is_reported_once_and_trained_without(caplog: pytest.LogCaptureFixture) -> None:
    from mmengine.logging import MMLogger

    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    net = model().train()
    try:
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                losses = net.loss(images(2), [sample([0] * 9, seed=7), sample([1], seed=8)])
    finally:
        logger.removeHandler(caplog.handler)
    said = [r.getMessage() for r in caplog.records if "kernels" in r.getMessage()]
    assert len(said) == 1
    assert "7.jpg has 9 objects" in said[0]
    assert "3 of them" in said[0]
    total(losses).backward()
    assert torch.isfinite(total(losses))


def test_polygons_are_as_good_as_bitmaps() -> None:
    square = [np.array([8.0, 8, 40, 8, 40, 40, 8, 40])]
    polygons = sample([1])
    polygons.gt_instances.masks = PolygonMasks([square], SIZE, SIZE)
    bitmaps = sample([1])
    bitmaps.gt_instances.masks = PolygonMasks([square], SIZE, SIZE).to_bitmap()
    net = model().eval()
    ours, theirs = net.loss(images(1), [polygons]), net.loss(images(1), [bitmaps])
    assert {k: v.item() for k, v in ours.items()} == {k: v.item() for k, v in theirs.items()}


def test_padding_of_masks_is_the_models_business() -> None:
    """A batch of two sizes: the smaller image's masks, padded beforehand or not, give the same losses."""
    net, x = model().eval(), images(2)
    large, small = sample([0, 1], seed=1), sample([2], size=36, seed=2)
    padded = small.clone()
    padded.gt_instances.masks = small.gt_instances.masks.pad((SIZE, SIZE))
    ours, theirs = net.loss(x, [large, small]), net.loss(x, [large, padded])
    assert {k: v.item() for k, v in ours.items()} == {k: v.item() for k, v in theirs.items()}


def test_an_unknown_class_is_named() -> None:
    with pytest.raises(DataError, match="class indices 1 to 3"):
        model().loss(images(1), [sample([1, 3])])


def test_unknown_test_cfg_is_refused() -> None:
    with pytest.raises(UsageError, match="overlap_thr"):
        model(test_cfg={"overlap": 0.5})


@pytest.mark.parametrize("stuff", [0, 2])
def test_autocast_trains(stuff: int) -> None:
    semantic = np.full((SIZE, SIZE), 3, np.uint8) if stuff else None
    net = model(stuff=stuff).train()
    truth = [sample([0, 2], semantic=semantic)]
    exact = net.loss(images(1), truth)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = net.loss(images(1), truth)
    assert all(v.dtype == torch.float32 for v in losses.values())
    total(losses).backward()
    assert total(losses).item() == pytest.approx(total(exact).item(), rel=0.1)
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


def test_channels_last_computes_the_same() -> None:
    ours, theirs = model(channels_last=True).train(), model().train()
    truth = [sample([0, 2])]
    a, b = ours.loss(images(1), truth), theirs.loss(images(1), truth)
    total(a).backward()
    total(b).backward()
    for name, value in a.items():
        torch.testing.assert_close(value, b[name], rtol=1e-3, atol=1e-4)
    norm = [torch.stack([p.grad.norm() for p in m.parameters()]).norm() for m in (ours, theirs)]
    torch.testing.assert_close(norm[0], norm[1], rtol=1e-2, atol=1e-3)


def test_truth_is_moved_small() -> None:
    """What the losses get is one byte for sixteen pixels."""
    truth = model()._truth(sample([0, 1]))
    assert truth.masks.shape == (2, SIZE // 4, SIZE // 4)
    assert truth.masks.dtype == np.uint8


@pytest.mark.parametrize("stuff", [0, 2])
def test_packed_small_or_whole_is_the_same(stuff: int) -> None:
    """What PackKNetInputs packs gives the losses of what mmdet's PackDetInputs packs, without full-size masks."""
    rng = np.random.default_rng(0)
    results = {
        "img": rng.integers(0, 255, (50, 62, 3), dtype=np.uint8),
        "gt_bboxes_labels": np.array([0, 2, 1]),
        "gt_ignore_flags": np.array([False, False, True]),
        "gt_masks": BitmapMasks(rng.integers(0, 2, (3, 50, 62), dtype=np.uint8), 50, 62),
        "gt_seg_map": rng.choice(np.array([0, 3, 4, 255], np.uint8), (50, 62)),
        "img_shape": (50, 62),
        "ori_shape": (50, 62),
    }
    whole = TRANSFORMS.build({"type": "PackDetInputs"})(dict(results))["data_samples"]
    packed = TRANSFORMS.build({"type": "PackKNetInputs"})(dict(results))["data_samples"]
    assert "masks" not in packed.gt_instances
    assert "gt_sem_seg" not in packed
    assert packed.gt_instances.labels.tolist() == [0, 2]
    net = model(stuff=stuff).eval()
    ours, theirs = net.loss(images(1), [packed]), net.loss(images(1), [whole])
    assert {k: v.item() for k, v in ours.items()} == {k: v.item() for k, v in theirs.items()}


def test_an_unknown_class_of_the_semantic_map_is_named() -> None:
    with pytest.raises(DataError, match="semantic map"):
        model(stuff=2).loss(images(1), [sample([], semantic=np.full((SIZE, SIZE), 9, np.uint8))])


@pytest.mark.slow
def test_it_compiles_into_one_graph() -> None:
    """What training compiles, ``_forward``, is one graph; truth, matching and results stay outside it."""
    from torch._dynamo.utils import counters

    plain, net, truth = model().train(), model().train(), [sample([0, 1])]
    counters.clear()
    net._forward = torch.compile(net._forward, backend="aot_eager")
    ours, theirs = net(images(1), truth, mode="loss"), plain.loss(images(1), truth)
    total(ours).backward()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-4, atol=1e-5)
    assert counters["stats"]["unique_graphs"] == 1
    assert all(p.grad is not None for p in net.parameters() if p.requires_grad)


@pytest.mark.parametrize("bgr_to_rgb", [True, False])
def test_images_are_prepared_as_mmdet_does(bgr_to_rgb: bool) -> None:
    common = {
        "mean": [1.0, 2.0, 3.0], "std": [4.0, 5.0, 6.0], "bgr_to_rgb": bgr_to_rgb, "pad_size_divisor": 32,
        "pad_mask": False,
    }  # fmt: skip
    results = []
    for name in ("DetDataPreprocessor", "KNetPreprocessor"):
        batch = [torch.arange(3 * 40 * 50).view(3, 40, 50).byte(), torch.ones(3, 64, 30, dtype=torch.uint8)]
        data = {"inputs": batch, "data_samples": [sample([0]), sample([1])]}
        results.append(MODELS.build({"type": name, **common})(data, training=True)["inputs"])
    assert results[0].shape == (2, 3, 64, 64)
    assert torch.equal(*results)
