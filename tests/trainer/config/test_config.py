"""The config of a run: decided from the data, whole, readable, and what --cfg-options do to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import drawn_sets
import pytest

from seg2knet.cli.terminal import key_values
from seg2knet.dataset.folder import read_folder
from seg2knet.errors import DataError, UsageError
from seg2knet.trainer.config.build import build
from seg2knet.trainer.config.plan import Machine, decide
from seg2knet.trainer.options import TrainOptions, image_scale


def built(
    data: Path,
    processes: int = 1,
    weights: Any = "r50.pth",
    cpu: bool = False,
    bfloat16: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """The config as it is run: its text, executed."""
    asked = TrainOptions(**options).check()
    folder = read_folder(data, asked.task)
    machine = Machine("cpu" if cpu else "cuda", processes, 1, bfloat16)
    plan = decide(asked, folder, machine, weights, Path("work_dirs/x"))
    content: dict[str, Any] = {}
    exec(build(plan), content)
    content["notes"] = plan.notes
    return content


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_sets.coco(tmp_path_factory.mktemp("data") / "coco", panoptic=True)


def test_every_class_count_comes_from_the_data(coco: Path) -> None:
    instance = built(coco, task="instance")
    assert instance["classes"] == ("disc", "box")
    assert (instance["model"]["num_things"], instance["model"]["num_stuff"]) == (2, 0)
    panoptic = built(coco)
    assert panoptic["task"] == "panoptic"
    assert panoptic["thing_classes"] == ("disc", "box")
    assert panoptic["stuff_classes"] == ("sky", "ground")
    assert (panoptic["model"]["num_things"], panoptic["model"]["num_stuff"]) == (2, 2)
    assert panoptic["train_dataloader"]["dataset"]["metainfo"]["classes"] == ("disc", "box", "sky", "ground")


def test_things_come_first_whatever_the_files_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn_sets, "CATEGORIES", drawn_sets.CATEGORIES[::-1])
    assert built(drawn_sets.coco(tmp_path, panoptic=True))["classes"] == ("box", "disc", "ground", "sky")


def test_the_learning_rate_goes_by_the_images_of_a_step(coco: Path) -> None:
    assert built(coco, batch_size=16)["optim_wrapper"]["optimizer"]["lr"] == pytest.approx(1e-4)
    four = built(coco, batch_size=4)
    assert four["optim_wrapper"]["optimizer"]["lr"] == pytest.approx(5e-5)
    assert any("5e-05 = 0.0001 x root of 4/16" in note for note in four["notes"])
    assert built(coco, lr=0.3)["optim_wrapper"]["optimizer"]["lr"] == 0.3
    assert built(coco, processes=3)["total_batch_size"] == 6


def test_knets_own_schedule(coco: Path) -> None:
    """As the paper's release: AdamW, weight decay 0.05, backbone x0.25, clipped at 1, /10 after 8 and 11 of 12."""
    once = built(coco, schedule="1x", batch_size=16)
    assert once["max_epochs"] == once["train_cfg"]["max_epochs"] == 12
    assert once["optim_wrapper"]["optimizer"]["weight_decay"] == 0.05
    assert once["optim_wrapper"]["paramwise_cfg"]["custom_keys"]["backbone"]["lr_mult"] == 0.25
    assert once["optim_wrapper"]["clip_grad"]["max_norm"] == 1
    assert once["param_scheduler"][1]["milestones"] == [8, 11]
    assert once["param_scheduler"][1]["gamma"] == 0.1
    assert once["model"]["backbone"]["norm_eval"] is True
    assert once["model"]["backbone"]["frozen_stages"] == 1
    thrice = built(coco, schedule="3x", batch_size=16)
    assert thrice["max_epochs"] == 36
    assert thrice["param_scheduler"][1]["milestones"] == [27, 33]
    drawn = next(step for step in thrice["train_pipeline"] if step["type"] == "RandomChoiceResize")
    assert (drawn["scales"][0], drawn["scales"][-1]) == ((1333, 640), (1333, 800))


def test_from_scratch_everything_learns(coco: Path) -> None:
    scratch = built(coco, weights=None, pretrained="none")
    assert scratch["model"]["backbone"]["frozen_stages"] == -1
    assert scratch["model"]["backbone"]["norm_eval"] is False
    assert "custom_keys" not in scratch["optim_wrapper"]["paramwise_cfg"]
    assert any("from scratch" in note for note in scratch["notes"])


def test_kernels_follow_the_data_where_they_are_more(tmp_path: Path) -> None:
    assert built(drawn_sets.coco(tmp_path / "few"))["model"]["num_kernels"] == 100
    many = drawn_sets.coco(tmp_path / "many", train=2, val=1, objects=60)
    assert built(many)["model"]["num_kernels"] == 150
    assert built(many, weights=None, backbone="r18-half")["model"]["num_kernels"] == 150


def test_decay_along_a_cosine(coco: Path) -> None:
    warmup, decay = built(coco, decay="cosine", epochs=10)["param_scheduler"]
    assert (decay["type"], decay["begin"], decay["end"]) == ("CosineAnnealingLR", warmup["end"], 40)
    assert decay["T_max"] == 40 - warmup["end"]


def test_the_batch_comes_from_the_gpus_memory(coco: Path) -> None:
    def batch(memory: float, processes: int = 1, **options: Any) -> int:
        machine = Machine("cuda", processes, memory=memory)
        return decide(TrainOptions(**options), read_folder(coco, "instance"), machine, "r50.pth", Path("x")).batch

    assert batch(80) == 16
    assert batch(80, processes=4) == 16
    assert 4 <= batch(11) <= 8, "14.3 GiB are needed for 16 images, 1.9 for 2"
    assert batch(4) <= 2
    assert batch(4, img_size="320") > batch(4)
    assert batch(80, batch_size=3) == 3


def test_80k_are_80000_steps(tmp_path: Path) -> None:
    data = drawn_sets.ade(tmp_path)
    found = built(data, batch_size=2, schedule="80k", head="fcn", weights=None)
    per_epoch = read_folder(data).splits["train"].count // 2
    assert 80_000 <= found["max_epochs"] * per_epoch < 80_000 + per_epoch
    drops = found["param_scheduler"][1]["milestones"]
    assert [round(drop / found["max_epochs"], 3) for drop in drops] == [0.75, 0.9]
    with pytest.raises(UsageError, match="semantic"):
        built(drawn_sets.coco(tmp_path / "coco"), schedule="80k")


def test_small_sets_get_more_epochs_and_fewer_evaluations(coco: Path) -> None:
    assert built(coco)["max_epochs"] == 100
    assert built(coco)["train_cfg"]["val_interval"] == 8
    assert built(coco, epochs=5)["train_cfg"]["val_interval"] == 1


def test_options_reach_the_config(coco: Path) -> None:
    found = built(
        coco, img_size="640x480", backbone="r101", amp=True, accumulate=3, ema=True, early_stop=4, balance=0.5
    )
    assert found["model"]["backbone"]["depth"] == 101
    assert found["test_pipeline"][1]["scale"] == (640, 480)
    assert found["optim_wrapper"]["type"] == "AmpOptimWrapper"
    assert found["optim_wrapper"]["accumulative_counts"] == 3
    assert found["custom_hooks"][0]["type"] == "EMAHook"
    assert found["early_stop"] == 4
    assert found["train_dataloader"]["sampler"]["balance"] == 0.5
    assert built(coco, logger="none")["visualizer"]["vis_backends"] == [{"type": "LocalVisBackend"}]


def test_precision_is_mixed_by_default_where_that_was_measured_to_win(coco: Path) -> None:
    def mixed(**given: Any) -> bool:
        return built(coco, **{"cpu": True, "backbone": "r50", **given})["optim_wrapper"]["type"] == "AmpOptimWrapper"

    assert mixed(bfloat16=True)
    assert any("--no-amp" in note for note in built(coco, cpu=True, backbone="r50", bfloat16=True)["notes"])
    assert not mixed(bfloat16=True, amp=False)
    assert not mixed(bfloat16=True, backbone="r18-half")
    assert not mixed(bfloat16=True, cpu=False)
    assert not mixed(bfloat16=False)
    assert mixed(bfloat16=False, amp=True)


def test_mlflow_writes_a_database_or_to_the_server_named(coco: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    backend = built(coco, logger="mlflow")["visualizer"]["vis_backends"][1]
    assert backend["tracking_uri"] == f"sqlite:///{Path('work_dirs/x').resolve() / 'mlflow.db'}"
    assert backend["artifact_location"].startswith("file:///")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    backend = built(coco, logger="mlflow")["visualizer"]["vis_backends"][1]
    assert backend["tracking_uri"] == "http://127.0.0.1:5000"
    assert "artifact_location" not in backend


def test_cfg_options_set_what_they_name(coco: Path) -> None:
    options = key_values(
        ["model.num_kernels=7", "train_pipeline.3.prob=0", "max_epochs=3", "new='x y'"], "--cfg-options"
    )
    found = built(coco, cfg_options=options)
    assert found["model"]["num_kernels"] == 7
    assert found["train_dataloader"]["dataset"]["pipeline"][3]["prob"] == 0, "the loader refers to the pipeline above"
    assert found["train_cfg"]["max_epochs"] == 3
    assert found["new"] == "x y"


@pytest.mark.parametrize(
    "path",
    [
        "modle.num_kernels",
        "model.backbone.depth.x",
        "train_pipeline.9.prob",
        "train_pipeline.--1.prob",
        "train_pipeline.².prob",
    ],
)
def test_cfg_options_that_lead_nowhere_are_refused(coco: Path, path: str) -> None:
    with pytest.raises(UsageError, match="leads nowhere"):
        built(coco, cfg_options={path: 1})


def test_a_test_split_is_judged_at_the_end(coco: Path, tmp_path: Path) -> None:
    only = built(coco)
    assert only["test_dataloader"] == only["val_dataloader"]
    with_test = drawn_sets.coco(tmp_path)
    annotations = with_test / "annotations"
    (annotations / "instances_test2017.json").write_bytes((annotations / "instances_val2017.json").read_bytes())
    found = built(with_test)
    assert found["test_dataloader"]["dataset"]["ann_file"].endswith("instances_test2017.json")
    assert found["val_dataloader"]["dataset"]["ann_file"].endswith("instances_val2017.json")


def test_without_a_val_split_nothing_is_evaluated_and_that_is_said(tmp_path: Path) -> None:
    data = drawn_sets.coco(tmp_path)
    (data / "annotations" / "instances_val2017.json").unlink()
    found = built(data)
    assert "val_evaluator" not in found
    assert any("no val split" in note for note in found["notes"])


def test_a_batch_that_cannot_be_shared_out_is_refused(coco: Path) -> None:
    with pytest.raises(UsageError, match="--batch-size 6"):
        built(coco, processes=3, batch_size=5)


def test_classes_that_training_does_not_have_are_refused(tmp_path: Path) -> None:
    import json

    data = drawn_sets.coco(tmp_path)
    file = data / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_text())
    content["categories"].append({"id": 99, "name": "comet"})
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match="comet"):
        read_folder(data)


def test_a_folder_that_cannot_train_a_task_says_what_makes_one(tmp_path: Path) -> None:
    data = drawn_sets.coco(tmp_path)
    with pytest.raises(UsageError, match="--to panoptic"):
        read_folder(data, "panoptic")
    with pytest.raises(UsageError, match="--to ade"):
        read_folder(data, "semantic")


def test_semantic_takes_its_classes_from_the_list(tmp_path: Path) -> None:
    found = built(drawn_sets.ade(tmp_path), batch_size=2, img_size="64", head="fcn", weights=None)
    assert found["classes"] == ("disc", "box", "sky", "ground")
    assert found["default_scope"] == "mmseg"
    assert found["model"]["decode_head"]["kernel_generate_head"]["num_classes"] == 4
    with pytest.raises(UsageError, match="at least 2 images"):
        built(drawn_sets.ade(tmp_path), batch_size=1, head="pspnet")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"backbone": "r5"}, "r50"),
        ({"epochs": 0}, "at least 1"),
        ({"epochs": 3, "schedule": "1x"}, "--schedule"),
        ({"pretrained": "none", "backbone_weights": Path("x")}, "contradict"),
        ({"nodes": 2}, "--rdzv"),
        ({"lr": -1.0}, "--lr"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        TrainOptions(**options).check()


@pytest.mark.parametrize(("text", "scale"), [(None, (1333, 800)), ("640", (640, 640)), ("800x1333", (1333, 800))])
def test_image_sizes(text: Any, scale: tuple[int, int]) -> None:
    assert image_scale(text) == scale
    with pytest.raises(UsageError):
        image_scale("12x")
    with pytest.raises(UsageError):
        image_scale("64²")
