"""The registered data sets: what of a file reaches the model, and that chance depends on seed, epoch and image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import drawn_sets
import numpy as np
import pytest

pytest.importorskip("mmdet")

from seg2knet.dataset.label_image import read_ids
from seg2knet.errors import DataError
from seg2knet.trainer.openmmlab.datasets import CopyPasteData, InstanceData, PanopticData
from seg2knet.trainer.openmmlab.sampling import EpochSampler

PIPELINE = [
    {"type": "LoadImageFromFile"},
    {"type": "LoadAnnotations", "with_bbox": True, "with_mask": True},
    {"type": "RandomFlip", "prob": 0.5},
    {"type": "PackDetInputs"},
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_sets.coco(tmp_path_factory.mktemp("data"), panoptic=True)


def instances(root: Path, **options: Any) -> InstanceData:
    from mmengine.registry import init_default_scope

    init_default_scope("mmdet")
    return InstanceData(
        ann_file=str(root / "annotations" / "instances_train2017.json"), data_prefix={"img": str(root / "train2017")},
        metainfo={"classes": ("box", "disc")}, pipeline=PIPELINE, **options,
    )  # fmt: skip


def test_all_images_are_there_and_labels_go_by_name(root: Path) -> None:
    dataset = instances(root)
    content = json.loads((root / "annotations" / "instances_train2017.json").read_text())
    assert len(dataset) == len(content["images"]) == 8
    name = {7: 0, 3: 1}  # the order of classes above is not the file's
    for index, image in enumerate(content["images"]):
        expected = [a for a in content["annotations"] if a["image_id"] == image["id"]]
        info = dataset.get_data_info(index)
        assert [each["bbox_label"] for each in info["instances"]] == [name[a["category_id"]] for a in expected]
        assert [each["mask"] for each in info["instances"]] == [a["segmentation"] for a in expected]


def test_masks_are_the_annotations_and_crowds_are_set_apart(root: Path) -> None:
    dataset = instances(root)
    content = json.loads((root / "annotations" / "instances_train2017.json").read_text())
    dataset.pipeline.transforms = [step for step in dataset.pipeline.transforms if "Flip" not in type(step).__name__]
    for index, image in enumerate(content["images"]):
        sample = dataset[index]["data_samples"]
        true = [a for a in content["annotations"] if a["image_id"] == image["id"]]
        assert sample.gt_instances.masks.masks.sum(axis=(1, 2)).tolist() == [
            a["area"] for a in true if not a["iscrowd"]
        ]
        assert len(sample.ignored_instances.labels) == sum(a["iscrowd"] for a in true)


def test_chance_depends_on_seed_epoch_and_image_alone(root: Path) -> None:
    first, again, other = instances(root), instances(root), instances(root, seed=1)
    flips = []
    for key in (3, 11, 19, 27, 35, 43):
        np.random.rand(3)  # noqa: NPY002  (what happened before must not matter)
        one, two = first[key]["data_samples"], again[key]["data_samples"]
        assert one.flip == two.flip
        flips.append((one.flip, other[key]["data_samples"].flip))
    assert len({flip for flip, _ in flips}) == 2, "one picture is flipped in some epochs, not in others"
    assert any(one != two for one, two in flips)


def test_a_category_that_the_config_lacks_is_an_error(root: Path) -> None:
    with pytest.raises(DataError, match="disc"):
        InstanceData(
            ann_file=str(root / "annotations" / "instances_train2017.json"), data_prefix={"img": ""},
            metainfo={"classes": ("box",)}, pipeline=[],
        )  # fmt: skip


def test_panoptic_truth_is_what_the_png_shows(root: Path) -> None:
    from mmengine.registry import init_default_scope

    init_default_scope("mmdet")
    folder = root / "annotations" / "panoptic_train2017"
    dataset = PanopticData(
        ann_file=str(folder) + ".json", data_prefix={"img": str(root / "train2017"), "seg": str(folder)},
        metainfo={"classes": ("disc", "box", "sky", "ground"), "thing_classes": ("disc", "box"), "stuff_classes": ()},
        pipeline=[{"type": "LoadImageFromFile"}, {"type": "LoadPanoptic"}, {"type": "PackDetInputs"}],
    )  # fmt: skip
    content = json.loads(folder.with_suffix(".json").read_text())
    label = {3: 0, 7: 1, 9: 2, 11: 3}
    for index, truth in enumerate(content["annotations"]):
        sample = dataset[index]["data_samples"]
        ids = read_ids(folder / truth["file_name"])
        things = [s for s in truth["segments_info"] if s["category_id"] in (3, 7)]
        assert sample.gt_instances.labels.tolist() == [label[s["category_id"]] for s in things]
        assert sample.gt_instances.masks.masks.sum(axis=(1, 2)).tolist() == [s["area"] for s in things]
        for segment in truth["segments_info"]:
            inside = sample.gt_sem_seg.sem_seg.squeeze().numpy()[ids == segment["id"]]
            assert set(inside.tolist()) == {label[segment["category_id"]]}


class Sized:
    def __init__(self, labels: list[list[int]]) -> None:
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def get_cat_ids(self, index: int) -> list[int]:
        return self.labels[index]


def test_an_epoch_has_every_image_once_and_says_its_number() -> None:
    sampler = EpochSampler(Sized([[]] * 10), seed=3)
    orders = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        keys = list(sampler)
        assert sorted(keys) == [epoch * 10 + index for index in range(10)]
        orders.append([key % 10 for key in keys])
    assert orders[0] != orders[1] != orders[2]


def test_an_epoch_can_be_entered_in_its_middle_once() -> None:
    sampler = EpochSampler(Sized([[]] * 10))
    whole = list(sampler)
    sampler.start = 4
    assert list(sampler) == whole[4:]
    assert list(sampler) == whole


def test_processes_share_out_the_order_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(EpochSampler(Sized([[]] * 10)))
    shares = []
    for rank in range(2):
        monkeypatch.setattr("seg2knet.trainer.openmmlab.sampling.get_dist_info", lambda rank=rank: (rank, 2))
        shares.append(list(EpochSampler(Sized([[]] * 10))))
    assert [key for pair in zip(*shares) for key in pair] == whole


def test_rare_classes_are_shown_more_often() -> None:
    """LVIS, section 4: factor max(1, sqrt(t / f)), an image's is that of its rarest class."""
    sampler = EpochSampler(Sized([[0]] * 15 + [[0, 1]]), balance=0.25)
    assert len(sampler) == 15 + 2  # f = 1/16: sqrt(0.25 * 16) = 2
    assert sorted(sampler).count(15) == 2


def test_pasted_objects_are_reproducible_and_labelled(root: Path) -> None:
    from mmengine.registry import init_default_scope

    init_default_scope("mmdet")
    own = {
        "type": "InstanceData", "ann_file": str(root / "annotations" / "instances_train2017.json"), "seed": None,
        "data_prefix": {"img": str(root / "train2017")}, "metainfo": {"classes": ("box", "disc")},
        "pipeline": [*PIPELINE[:2], {"type": "Pad", "size": (64, 64)}],
    }  # fmt: skip
    pipeline = [{"type": "CopyPaste"}, {"type": "PackDetInputs"}]
    first, again = (CopyPasteData(dataset=own, pipeline=pipeline, seed=3) for _ in range(2))
    counts, before = set(), len(first.get_data_info(1)["instances"])
    for epoch in range(8):
        one, two = (dataset[epoch * len(dataset) + 1] for dataset in (first, again))
        assert (one["inputs"] == two["inputs"]).all()
        labels, masks = (getattr(one["data_samples"].gt_instances, name) for name in ("labels", "masks"))
        assert len(labels) == len(masks.masks)
        counts.add(len(labels))
    assert max(counts) > before
    assert len(counts) > 1, "another image's objects in another epoch"
