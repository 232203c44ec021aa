"""Starting from a trained K-Net: classes of the same name keep their rows."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import drawn_sets
import pytest
from drawn_sets import SMALL
from local_server import LocalServer, Page

torch = pytest.importorskip("torch")
pytest.importorskip("mmdet")

from seg2knet.trainer.openmmlab import packages  # noqa: E402

packages.load()

from mmdet.datasets import CocoDataset  # noqa: E402
from mmdet.registry import MODELS  # noqa: E402
from mmengine.registry import DefaultScope  # noqa: E402

import seg2knet.knet.detector  # noqa: E402, F401 - registers KNet
from seg2knet.download import weights  # noqa: E402
from seg2knet.download.transfer import TransferError  # noqa: E402
from seg2knet.download.weights import Source  # noqa: E402
from seg2knet.errors import UsageError  # noqa: E402
from seg2knet.knet import checkpoints  # noqa: E402
from seg2knet.trainer.config import models  # noqa: E402
from seg2knet.trainer.config.backbones import BACKBONES  # noqa: E402
from seg2knet.trainer.config.models import ModelSpec  # noqa: E402
from seg2knet.trainer.options import TrainOptions  # noqa: E402
from seg2knet.trainer.run.class_rows import KERNELS, fit, match  # noqa: E402
from seg2knet.trainer.run.session import start_from  # noqa: E402

COCO = CocoDataset.METAINFO["classes"]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("car", "car"), ("Cars", "car"), ("PERSON", "person"), ("people", "person"),
        ("traffic_lights", "traffic light"),
        ("Traffic-Light", "traffic light"), ("buses", "bus"), ("knives", "knife"), ("sheep", "sheep"),
        ("wine glasses", "wine glass"), ("skis", "skis"), ("couch", "couch"), ("benches", "bench"), ("dishes", None),
        ("carp", None), ("glass", None), ("s", None),
    ],
)  # fmt: skip
def test_names_match_without_case_and_plural(ours: str, theirs: Any) -> None:
    assert match([ours], COCO).kept == ({ours: theirs} if theirs else {})


def test_stuff_is_known_without_its_qualifiers() -> None:
    rows = match(["sky", "wall", "road", "car"], ["sky-other-merged", "wall-brick", "wall-other-merged", "road"])
    assert rows.kept == {"sky": "sky-other-merged", "wall": "wall-other-merged", "road": "road"}
    known, new = rows.text().splitlines()
    assert known == "classes that it knows: sky (there: sky-other-merged), wall (there: wall-other-merged), road"
    assert new == "new classes: car"


def test_rows_go_where_their_names_are() -> None:
    layer = "network.stages.0.class_out.weight"
    state = {layer: torch.tensor([[1.0], [2.0], [3.0]]), KERNELS: torch.ones(2, 1, 1, 1), "neck.x": torch.ones(1)}
    model = {layer: torch.tensor([[-1.0], [-2.0]]), KERNELS: torch.zeros(3, 1, 1, 1), "neck.x": torch.zeros(1)}
    fitted, rows = fit(state, model, ["a", "b", "c"], ["new", "c"])
    assert fitted[layer].flatten().tolist() == [-1, 3]
    assert fitted[KERNELS].flatten().tolist() == [1, 1, 0], "kernels beyond the checkpoint's keep their own beginning"
    assert fitted["neck.x"] == 1
    assert rows.new == ("new",)
    same, _ = fit({layer: torch.tensor([[1.0], [2.0]])}, model, ["a", "b"], ["b", "a"])
    assert same[layer].flatten().tolist() == [2, 1], "as many classes, in another order"


@pytest.fixture
def release(server: LocalServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """A K-Net on ResNet-18 for COCO's 80 classes, published by a server in the release's names: its tensors."""
    config = {
        "type": "KNet", "backbone": BACKBONES["r18"].config(None, scratch=False), "num_things": 80, "num_kernels": 8,
        "neck": {"type": "FPN", "in_channels": [64, 128, 256, 512], "out_channels": 32, "num_outs": 4},
        "channels": 32, "feedforward_channels": 64, "num_stages": 2,
    }  # fmt: skip
    with DefaultScope.overwrite_default_scope("mmdet"):
        state = checkpoints.to_released(MODELS.build(config).state_dict())
    out = io.BytesIO()
    torch.save({"state_dict": state, "meta": {"CLASSES": tuple(COCO)}}, out)
    file = f"knet-{hashlib.sha256(out.getvalue()).hexdigest()[:8]}.pth"
    server.pages[file] = Page(out.getvalue())
    spec = ModelSpec("small", "instance", "r18", "1x", checkpoint=Source(file, (server.url + "/",), "K-Net"))
    monkeypatch.setattr(models, "MODELS", {"small": spec})
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv(weights.MIRROR, raising=False)
    monkeypatch.setattr("seg2knet.download.transfer.time.sleep", lambda _seconds: None)
    return {"file": file, **state}


def test_a_run_starts_from_what_is_published(
    release: dict[str, Any], train_small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    named = [{**each, "name": {"disc": "Cars"}.get(each["name"], each["name"])} for each in drawn_sets.CATEGORIES]
    monkeypatch.setattr(drawn_sets, "CATEGORIES", named)
    data = drawn_sets.coco(tmp_path / "data", train=2, val=1)
    result, said = train_small(data, tmp_path / "run", epochs=1, pretrained=None, lr=1e-12, cfg_options=SMALL)
    assert any("K-Net trained before: small" in line for line in said)
    out = capsys.readouterr().out
    assert "classes that it knows: Cars (there: car)" in out
    assert "new classes: box" in out
    found = torch.load(result.last, weights_only=True)["state_dict"]
    car = COCO.index("car")
    for ours, theirs in (("stages.1.class_out", "mask_head.1.fc_cls"), ("kernel_head.semantic_out", "conv_seg")):
        name = next(key for key in release if key.endswith(f"{theirs}.weight"))
        torch.testing.assert_close(found[f"network.{ours}.weight"][0], release[name][car], atol=1e-6, rtol=0)
    deep = "backbone.layer4.0.conv1.weight"
    torch.testing.assert_close(found[deep], release[deep], atol=1e-6, rtol=0)


def test_without_a_network_it_says_what_to_do(release: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(weights.MIRROR, "http://127.0.0.1:9/")
    with pytest.raises(TransferError) as caught:
        start_from(TrainOptions(backbone="r18"), "instance", lambda line: None)
    for way_out in (release["file"], str(weights.cache()), "--load-from", "--pretrained imagenet", "--pretrained none"):
        assert way_out in str(caught.value)


def test_a_file_that_was_put_there_is_taken(release: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    options, backbone = start_from(TrainOptions(backbone="r18"), "instance", lambda line: None)
    assert (options.load_from, backbone) == (str(weights.cache() / release["file"]), None)
    monkeypatch.setenv(weights.MIRROR, "http://127.0.0.1:9/")
    assert start_from(TrainOptions(backbone="r18"), "instance", lambda line: None) == (options, None)


def test_what_is_not_published_cannot_be_asked_for(release: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="with one of: r18"):
        start_from(TrainOptions(backbone="r101", pretrained="coco"), "instance", lambda line: None)
    with pytest.raises(UsageError, match="no weights are published for --backbone r18-half"):
        start_from(TrainOptions(backbone="r18-half", pretrained="imagenet"), "instance", lambda line: None)
    assert start_from(TrainOptions(backbone="r18-half"), "instance", lambda line: None)[1] is None
    assert start_from(TrainOptions(backbone="r18", pretrained="none"), "instance", lambda line: None)[1] is None


def test_semantic_models_keep_rows_too(
    train_small: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a checkpoint as mmsegmentation publishes them: 150 classes of ADE20K, wider than the data's."""
    pytest.importorskip("mmseg")
    from mmengine.config import ConfigDict
    from mmseg.registry import MODELS as SEMANTIC

    from seg2knet.trainer.openmmlab.semantic import semantic_model

    packages.load(semantic=True)
    with DefaultScope.overwrite_default_scope("mmseg"):
        state = SEMANTIC.build(ConfigDict(semantic_model(num_classes=150, head="fcn", backbone="r18"))).state_dict()
    torch.save({"state_dict": state, "meta": {}}, tmp_path / "ade.pth")
    data = drawn_sets.ade(tmp_path / "data", train=2, val=1)
    result, _ = train_small(
        data, tmp_path / "run", epochs=1, head="fcn", load_from=str(tmp_path / "ade.pth"), lr=1e-12, cfg_options={},
    )  # fmt: skip
    out = capsys.readouterr().out
    assert "classes that it knows: box, sky" in out
    assert "new classes: disc, ground" in out
    layer = "decode_head.kernel_generate_head.conv_seg.weight"
    found = torch.load(result.last, weights_only=True)["state_dict"][layer]
    torch.testing.assert_close(found[2], state[layer][2], atol=1e-6, rtol=0)  # sky is ADE20K's third class
