"""A config of mmdet 2 or mmseg 0, fitted to data: counts, paths, batch, rate, schedule, evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import pytest

from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.folder import DataFolder, Split
from seg2knet.errors import UsageError
from seg2knet.trainer.classic.config import fit, is_knet, reference_batch, task_of
from seg2knet.trainer.options import TrainOptions

ROOT = Path("/data/parts")


def folder(task: str = "instance", val: bool = True, count: int = 100) -> DataFolder:
    splits = {}
    for name in ("train", "val") if val else ("train",):
        pngs = ROOT / f"panoptic_{name}" if task == "panoptic" else None
        splits[name] = Split(name, ROOT / f"{name}2017", ROOT / f"{name}.json", pngs, count, 300)
    stuff = ["sky"] if task == "panoptic" else []
    return DataFolder(ROOT, task, ClassList.of(["door", "it's", "sky"], stuff), splits)


def pipeline(load: str = "LoadAnnotations", keys: tuple[str, ...] = ("img", "gt_masks")) -> list[dict]:
    return [
        {"type": "LoadImageFromFile"},
        {"type": load, "with_mask": True},
        {"type": "Resize", "img_scale": (1333, 800), "keep_ratio": True},
        {"type": "Collect", "keys": list(keys)},
    ]


def config(**changes: Any) -> dict:
    dataset = {"type": "CocoDataset", "ann_file": "a.json", "img_prefix": "i/", "pipeline": pipeline()}
    return {
        "model": {
            "type": "MaskRCNN",
            "backbone": {
                "type": "ResNet",
                "depth": 50,
                "frozen_stages": 1,
                "norm_eval": True,
                "init_cfg": {"type": "P"},
            },
            "roi_head": {"mask_head": {"num_classes": 80}},
        },
        "data_root": "data/coco/",
        "data": {"samples_per_gpu": 2, "workers_per_gpu": 2, "train": dataset, "val": dataset, "test": dataset},
        "optimizer": {"type": "SGD", "lr": 0.02},
        "lr_config": {"policy": "step", "warmup": "linear", "warmup_iters": 500, "step": [8, 11]},
        "runner": {"type": "EpochBasedRunner", "max_epochs": 12},
        "checkpoint_config": {"interval": 1},
        "evaluation": {"metric": ["bbox", "segm"]},
        "log_config": {"interval": 50, "hooks": []},
        **changes,
    }


def knet(**changes: Any) -> dict:
    found = config(**changes)
    found["custom_imports"] = {"imports": ["knet.det.knet"], "allow_failed_imports": False}
    found["model"]["type"] = "KNet"
    return found


def fitted(merged: dict, data: Optional[DataFolder] = None, **options: Any) -> dict:
    return fit_with_notes(merged, data, **options)[0]


def fit_with_notes(
    merged: dict,
    data: Optional[DataFolder] = None,
    processes: int = 1,
    knet: Optional[Path] = None,
    name: str = "",
    **options: Any,
) -> tuple[dict, list[str]]:
    return fit(
        merged,
        data or folder(),
        TrainOptions(**options),
        name=name,
        processes=processes,
        work_dir=Path("/runs/a"),
        knet=knet,
    )


def test_the_data_are_ours() -> None:
    found = fitted(config())
    for part, split in (("train", "train"), ("val", "val"), ("test", "val")):
        dataset = found["data"][part]
        assert dataset["type"] == "Seg2KNetInstance"
        assert dataset["classes"] == ["door", "it's", "sky"]
        assert dataset["ann_file"] == f"/data/parts/{split}.json"
        assert dataset["img_prefix"] == f"/data/parts/{split}2017/"
        assert dataset["pipeline"] == pipeline()
    assert found["model"]["roi_head"]["mask_head"]["num_classes"] == 3
    assert found["data_root"] == "/data/parts/"
    assert found["custom_imports"]["imports"] == ["seg2knet.trainer.classic.datasets"]
    assert found["evaluation"]["metric"] == ["segm"]
    assert found["work_dir"] == "/runs/a"


def test_theirs_is_left_alone() -> None:
    merged = config()
    fitted(merged, epochs=3, img_size="64", pretrained="none")
    assert merged == config()


def test_their_imports_come_before_ours() -> None:
    found = fitted(knet(), knet=Path("/K-Net"))
    assert found["custom_imports"]["imports"] == ["knet.det.knet", "seg2knet.trainer.classic.datasets"]
    assert found["seg2knet"]["knet"] == "/K-Net"


@pytest.mark.parametrize(("processes", "batch", "rate"), [(1, None, 0.0025), (8, None, 0.02), (2, 8, 0.01)])
def test_the_rate_follows_the_batch(processes: int, batch: Optional[int], rate: float) -> None:
    found = fitted(config(), processes=processes, batch_size=batch)
    assert found["optimizer"]["lr"] == pytest.approx(rate)
    assert found["data"]["samples_per_gpu"] == (batch or 2 * processes) // processes


def test_a_rate_that_was_asked_for() -> None:
    assert fitted(config(), lr=0.3)["optimizer"]["lr"] == 0.3


def test_knet_takes_two_images_a_gpu() -> None:
    assert is_knet(knet())
    assert not is_knet(config())
    with pytest.raises(UsageError, match="one or two images a GPU") as caught:
        fitted(knet(), batch_size=6, processes=2)
    assert "--batch-size 4" in str(caught.value)
    assert fitted(knet(), batch_size=4, processes=2)["data"]["samples_per_gpu"] == 2
    assert fitted(config(), batch_size=6, processes=2)["data"]["samples_per_gpu"] == 3
    four = knet()
    four["data"]["samples_per_gpu"] = 4
    assert fitted(four)["data"]["samples_per_gpu"] == 2


def test_a_batch_that_cannot_be_shared() -> None:
    with pytest.raises(UsageError, match="cannot be shared"):
        fitted(config(), batch_size=3, processes=2)


def test_epochs_take_the_steps_along() -> None:
    found = fitted(config(), epochs=24, batch_size=2)
    assert found["runner"]["max_epochs"] == 24
    assert found["lr_config"]["step"] == [16, 22]
    assert found["lr_config"]["warmup_iters"] == 120, "a tenth of the 1200 steps at most"
    assert fitted(config(), schedule="3x")["lr_config"]["step"] == [24, 33]


def test_steps_instead_of_epochs() -> None:
    merged = config(
        runner={"type": "IterBasedRunner", "max_iters": 80000}, lr_config={"policy": "poly", "min_lr": 1e-4}
    )
    merged["evaluation"]["interval"] = merged["checkpoint_config"]["interval"] = 8000
    found = fitted(merged, epochs=4, batch_size=2)
    assert found["runner"]["max_iters"] == 200
    assert found["evaluation"]["interval"] == found["checkpoint_config"]["interval"] == 50
    assert found["lr_config"]["min_lr"] == pytest.approx(1e-4 / 8), "with the rate"
    with pytest.raises(UsageError, match="counts steps"):
        fitted(merged, schedule="1x")


def test_wrappers_stay() -> None:
    merged = config()
    merged["data"]["train"] = {"type": "RepeatDataset", "times": 3, "dataset": merged["data"]["train"]}
    found = fitted(merged)["data"]["train"]
    assert (found["type"], found["times"], found["dataset"]["type"]) == ("RepeatDataset", 3, "Seg2KNetInstance")


def test_several_sets_become_ours() -> None:
    merged = config()
    merged["data"]["train"] = [merged["data"]["train"]] * 2
    assert fitted(merged)["data"]["train"]["ann_file"] == "/data/parts/train.json"


def test_image_size_reaches_nested_steps() -> None:
    merged = config()
    nested = {"type": "MultiScaleFlipAug", "img_scale": (1333, 800), "transforms": [{"type": "Resize"}]}
    merged["data"]["test"] = {**merged["data"]["test"], "pipeline": [nested]}
    range_of = {"type": "Resize", "img_scale": [(1333, 640), (1333, 800)], "multiscale_mode": "range"}
    merged["data"]["train"] = {**merged["data"]["train"], "pipeline": [*pipeline()[:2], range_of, pipeline()[3]]}
    found = fitted(merged, img_size="256x192")["data"]
    assert found["test"]["pipeline"][0]["img_scale"] == (256, 192)
    assert found["train"]["pipeline"][2]["img_scale"] == [(256, 192)]
    assert found["train"]["pipeline"][2]["multiscale_mode"] == "value"


def test_from_scratch_nothing_is_frozen() -> None:
    backbone = fitted(config(), pretrained="none")["model"]["backbone"]
    assert backbone["frozen_stages"] == -1
    assert backbone["norm_eval"] is False
    assert backbone["init_cfg"] is None


def test_weights_from_a_file(tmp_path: Path) -> None:
    backbone = fitted(config(), backbone_weights=tmp_path / "r50.pth")["model"]["backbone"]
    assert backbone["init_cfg"] == {"type": "Pretrained", "checkpoint": str(tmp_path / "r50.pth")}
    assert backbone["frozen_stages"] == 1


def test_without_val_nothing_is_evaluated() -> None:
    found, notes = fit_with_notes(config(), folder(val=False))
    assert found["seg2knet"]["validate"] is False
    assert any("no val split" in note for note in notes)


def test_panoptic() -> None:
    merged = config()
    merged["data"]["train"]["pipeline"] = pipeline("LoadPanopticAnnotations")
    merged["model"]["panoptic_fusion_head"] = {"num_things_classes": 80, "num_stuff_classes": 53}
    found = fitted(merged, folder("panoptic"))
    assert task_of(merged, "a") == "panoptic"
    assert found["data"]["train"]["type"] == "Seg2KNetPanoptic"
    assert found["data"]["train"]["seg_prefix"] == "/data/parts/panoptic_train/"
    assert found["model"]["panoptic_fusion_head"] == {"num_things_classes": 2, "num_stuff_classes": 1}
    assert found["evaluation"]["save_best"] == "PQ"


def test_semantic() -> None:
    merged = config(model={"type": "EncoderDecoder", "decode_head": {"num_classes": 150}})
    steps = [
        {"type": "LoadAnnotations"},
        {"type": "Resize", "img_scale": (2048, 512)},
        {"type": "RandomCrop", "crop_size": (512, 512)},
        {"type": "Pad", "size": (512, 512)},
    ]
    dataset = {"type": "ADE20KDataset", "data_root": "ade", "img_dir": "a", "ann_dir": "b", "pipeline": steps}
    merged["data"].update(train=dataset, val=dataset, test=dataset)
    found = fitted(merged, folder("semantic"), img_size="128")["data"]["train"]
    assert task_of(merged, "a") == "semantic"
    assert "data_root" not in found
    assert found["img_dir"] == "/data/parts/train2017"
    loaded, resized, cropped, padded = found["pipeline"]
    assert loaded["reduce_zero_label"] is True
    assert (resized["img_scale"], cropped["crop_size"], padded["size"]) == ((512, 128), (128, 128), (128, 128))


def test_configs_of_other_tasks_are_refused() -> None:
    boxes = config()
    boxes["data"]["train"]["pipeline"] = [{"type": "LoadAnnotations", "with_bbox": True}]
    with pytest.raises(UsageError, match="does not train segmentation"):
        task_of(boxes, "faster_rcnn")
    htc = config()
    htc["data"]["train"]["pipeline"] = pipeline(keys=("img", "gt_masks", "gt_semantic_seg"))
    with pytest.raises(UsageError, match="semantic branch"):
        task_of(htc, "htc")


def test_single_settings_come_last() -> None:
    merged = config()
    merged["model"]["roi_head"]["mask_head"] = [{"num_classes": 80}, {"num_classes": 80}]
    changes = {"model.roi_head.mask_head.1.num_classes": 7, "log_config.interval": 3, "new.key": 1}
    found = fitted(merged, cfg_options=changes)
    assert [head["num_classes"] for head in found["model"]["roi_head"]["mask_head"]] == [3, 7]
    assert found["log_config"]["interval"] == 3
    assert found["new"] == {"key": 1}
    with pytest.raises(UsageError, match="leads nowhere"):
        fitted(merged, cfg_options={"model.roi_head.mask_head.5.num_classes": 7})


def test_repeated_data_are_counted() -> None:
    """ms-3x configs repeat the data three times in each of 12 epochs."""
    merged = config()
    merged["data"]["train"] = {"type": "RepeatDataset", "times": 3, "dataset": merged["data"]["train"]}
    found, notes = fit_with_notes(merged, batch_size=2)
    assert found["data"]["train"]["times"] == 3
    assert found["lr_config"]["warmup_iters"] == 180, "a tenth of 12 epochs of 150 steps"
    assert "12 epochs of 3 passes over the images, 150 steps each" in notes
    for asked, passes in (({"epochs": 24}, 24), ({"schedule": "3x"}, 36)):
        found, notes = fit_with_notes(merged, batch_size=2, **asked)
        assert found["data"]["train"]["type"] == "Seg2KNetInstance", "an epoch that was asked for is one pass"
        assert found["runner"]["max_epochs"] == passes
        assert found["lr_config"]["step"] == [8 * passes // 12, 11 * passes // 12]
        assert f"{passes} epochs, 50 steps each" in notes


def test_images_of_a_file_server_are_read_from_the_disk() -> None:
    """Four of the five panoptic configs name a memcached server in their loading steps, nested ones too."""
    server = {"backend": "memcached", "server_list_cfg": "/mnt/a.conf"}
    merged = config(train_pipeline=[{"type": "LoadImageFromFile", "file_client_args": dict(server)}])
    merged["data"]["train"]["pipeline"] = [
        {"type": "LoadImageFromFile", "file_client_args": dict(server)},
        {"type": "AutoAugment", "policies": [[{"type": "LoadAnnotations", "file_client_args": dict(server)}]]},
        *pipeline()[1:],
    ]
    merged["data"]["val"] = {
        **merged["data"]["val"],
        "pipeline": [{"type": "LoadImageFromFile", "file_client_args": {"backend": "disk"}}],
    }
    found, notes = fit_with_notes(merged)
    assert "memcached" not in repr(found)
    assert found["data"]["val"]["pipeline"] == merged["data"]["val"]["pipeline"]
    assert any("memcached" in note and "read from the disk" in note for note in notes)


@pytest.mark.parametrize(
    ("name", "batch"),
    [
        ("knet_s3_upernet_swin-l_16x2_640x640_adamw_80k_ade20k", 32),
        ("knet_s3_fcn_r50-d8_8x2_512x512_adamw_80k_ade20k", 16),
        ("yolact_r50_1x8_coco", 8),
        ("mask_rcnn_x101_32x4d_fpn_1x_coco", 16),
        ("knet_s3_r50_fpn_ms-3x_coco", 16),
        ("fcn_r50-d8_512x512_80k_ade20k", 16),
    ],
)
def test_a_config_may_name_its_batch(name: str, batch: int) -> None:
    assert reference_batch(name) == batch
    assert fitted(config(), name=name, batch_size=2)["optimizer"]["lr"] == pytest.approx(0.02 * 2 / batch)
