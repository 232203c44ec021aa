"""Pretrained backbones: downloaded, checked, renamed, cached."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from local_server import LocalServer, Page

pytest.importorskip("torch")

import torch

from seg2knet.download import weights
from seg2knet.download.transfer import TransferError
from seg2knet.download.weights import Source
from seg2knet.errors import DataError
from seg2knet.trainer.config.backbones import BACKBONES
from seg2knet.trainer.openmmlab import pretrained


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv(weights.MIRROR, raising=False)
    monkeypatch.setattr("seg2knet.download.transfer.time.sleep", lambda _seconds: None)
    return tmp_path / "torch" / "hub" / "checkpoints"


def resnet18(deep_stem: bool = False) -> dict[str, Any]:
    """As torchvision names it, each tensor small."""
    state = {"stem.0.weight" if deep_stem else "conv1.weight": torch.ones(2, 3, 1, 1), "bn1.weight": torch.ones(2)}
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            state[f"layer{stage}.{block}.conv1.weight"] = torch.full((2, 2, 1, 1), stage + block / 2)
    return {**state, "fc.weight": torch.zeros(3, 2), "fc.bias": torch.zeros(3)}


def saved(content: Any) -> bytes:
    out = io.BytesIO()
    torch.save(content, out)
    return out.getvalue()


R18, R50 = (BACKBONES[name].weights for name in ("r18", "r50"))


def publish(server: LocalServer, content: Any, kind: str = "ResNet-18", **page: Any) -> Source:
    """Put a file on the server, named by its digest: a backbone's source."""
    body = saved(content)
    file = f"backbone-{hashlib.sha256(body).hexdigest()[:8]}.pth"
    server.pages[file] = Page(body, **page)
    return Source(file, (server.url + "/",), kind)


def test_it_is_fetched_once_and_prepared(server: LocalServer, own_cache: Path) -> None:
    source = publish(server, resnet18(), break_after=[100, 1000])
    found = pretrained.backbone(source)
    assert own_cache in found.parents
    assert (own_cache / source.file).is_file()
    state = torch.load(found, weights_only=True)["state_dict"]
    assert "fc.weight" not in state
    assert state["layer4.1.conv1.weight"][0, 0, 0, 0] == 4.5
    asked = len(server.requests)
    assert pretrained.backbone(source) == found
    assert len(server.requests) == asked


def test_a_wrong_digest(server: LocalServer, own_cache: Path) -> None:
    source = publish(server, resnet18())
    server.pages[source.file] = Page(b"a page that says: please log in to the network")
    with pytest.raises(TransferError, match="wrong file"):
        pretrained.backbone(source)
    assert not (own_cache / source.file).exists()


def test_without_a_network_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(weights.MIRROR, "http://127.0.0.1:9/")
    with pytest.raises(TransferError) as caught:
        pretrained.backbone(R50)
    for way_out in ("--backbone-weights PATH", "--no-pretrained", weights.MIRROR, "resnet50-0676ba61.pth"):
        assert way_out in str(caught.value)


def test_a_mirror(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    source = publish(server, resnet18())
    monkeypatch.setenv(weights.MIRROR, server.url)
    assert pretrained.backbone(replace(source, folders=("http://127.0.0.1:9/",))).is_file()


def test_the_second_folder_is_tried(server: LocalServer) -> None:
    source = publish(server, resnet18(deep_stem=True), "ResNet-18 with a deep stem")
    assert pretrained.backbone(replace(source, folders=(server.url + "/gone/", server.url + "/"))).is_file()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "meta": {"epoch": 3}},
        lambda state: {"state_dict": {f"module.{key}": value for key, value in state.items()}},
        lambda state: {"state_dict": {f"backbone.{k}": v for k, v in state.items()} | {"neck.x": torch.ones(1)}},
        lambda state: {"model": state},
    ],
)
def test_a_file_of_ones_own(tmp_path: Path, wrap: Any) -> None:
    file = tmp_path / "mine.pth"
    file.write_bytes(saved(wrap(resnet18())))
    found = pretrained.backbone(R18, path=file)
    state = torch.load(found, weights_only=True)["state_dict"]
    assert set(state) == {key for key in resnet18() if not key.startswith("fc.")}


@pytest.mark.parametrize(
    ("name", "deep_stem", "found"),
    [("r50", False, "ResNet-18"), ("swin-t", False, "ResNet-18"), ("r18", True, "ResNet")],
)
def test_another_backbone_is_refused(tmp_path: Path, name: str, deep_stem: bool, found: str) -> None:
    file = tmp_path / "mine.pth"
    file.write_bytes(saved(resnet18()))
    with pytest.raises(DataError, match="another backbone") as caught:
        pretrained.backbone(BACKBONES[name].semantic_weights if deep_stem else BACKBONES[name].weights, path=file)
    assert caught.value.found is not None
    assert found in caught.value.found


@pytest.mark.parametrize("content", [b"", b"not weights", saved({"epoch": 3}), saved({"x": torch.ones(1)})])
def test_no_weights_in_it(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "mine.pth"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"mine\.pth"):
        pretrained.backbone(R18, path=file)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        pretrained.backbone(R18, path=tmp_path / "none.pth")


class TestSwin:
    """The Swin authors' weights in mmdet's model, against the authors' formula of patch merging."""

    def test_patch_merging(self) -> None:
        """What OpenMMLab's layer computes with converted weights is what the paper's (section 3.1) would."""
        from seg2knet.trainer.openmmlab import operators as mmcv_ops

        mmcv_ops.install()
        from mmdet.models.layers import PatchMerging

        torch.manual_seed(0)
        channels = 3
        x = torch.rand(2, 4, 6, channels)
        official = {
            "layers.0.downsample.reduction.weight": torch.rand(2 * channels, 4 * channels),
            "layers.0.downsample.norm.weight": torch.rand(4 * channels),
            "layers.0.downsample.norm.bias": torch.rand(4 * channels),
        }
        corners = (x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2])
        merged = torch.nn.functional.layer_norm(
            torch.cat(corners, -1),
            (4 * channels,),
            official["layers.0.downsample.norm.weight"],
            official["layers.0.downsample.norm.bias"],
        )
        expected = (merged @ official["layers.0.downsample.reduction.weight"].T).flatten(1, 2)

        converted = pretrained.convert_swin(official)
        layer = PatchMerging(channels, 2 * channels)
        layer.load_state_dict({key.removeprefix("stages.0.downsample."): value for key, value in converted.items()})
        found, _ = layer(x.flatten(1, 2), (4, 6))
        torch.testing.assert_close(found, expected)

    def test_every_name_is_one_that_mmdet_has(self, tmp_path: Path) -> None:
        from seg2knet.trainer.openmmlab import operators as mmcv_ops

        mmcv_ops.install()
        from mmdet.models.backbones import SwinTransformer

        small = {"embed_dims": 4, "depths": (1, 1, 1, 1), "num_heads": (1, 1, 1, 1), "window_size": 2}
        model = SwinTransformer(**small)
        theirs = {_officially(key): torch.rand_like(value.float()) for key, value in model.state_dict().items()
                  if not key.startswith("norm")}  # fmt: skip
        theirs |= {
            "norm.weight": torch.ones(4),
            "head.weight": torch.ones(2, 4),
            "layers.0.blocks.1.attn_mask": torch.ones(1),
        }
        converted = pretrained.convert_swin(theirs)
        assert set(converted) == {key for key in model.state_dict() if not key.startswith("norm")}

    def test_mmdet_loads_what_was_prepared(self, tmp_path: Path) -> None:
        from seg2knet.trainer.openmmlab import operators as mmcv_ops

        mmcv_ops.install()
        from mmdet.models.backbones import SwinTransformer
        from mmengine.config import ConfigDict

        small = {"embed_dims": 4, "depths": (1, 1, 1, 1), "num_heads": (1, 1, 1, 1), "window_size": 2}
        theirs = {_officially(key): value + 1 for key, value in SwinTransformer(**small).state_dict().items()
                  if not key.startswith("norm")}  # fmt: skip
        file = tmp_path / "swin.pth"
        file.write_bytes(saved({"model": theirs}))
        prepared = pretrained.backbone(Source("x", (), "Swin 4 wide, depth 1"), path=file)
        model = SwinTransformer(**small, init_cfg=ConfigDict(type="Pretrained", checkpoint=str(prepared)))
        model.init_weights()
        assert torch.equal(model.patch_embed.projection.weight, theirs["patch_embed.proj.weight"])
        last = model.stages[3].blocks[0].ffn.layers[1].weight
        assert torch.equal(last, theirs["layers.3.blocks.0.mlp.fc2.weight"])


def _officially(key: str) -> str:
    for ours, theirs in (
        ("stages.", "layers."), (".projection.", ".proj."), (".attn.w_msa.", ".attn."),
        (".ffn.layers.0.0.", ".mlp.fc1."), (".ffn.layers.1.", ".mlp.fc2."),
    ):  # fmt: skip
        key = key.replace(ours, theirs)
    return key


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(tmp_path / "harm"),)

    file = tmp_path / "evil.pth"
    torch.save({"state_dict": resnet18(), "meta": Harm()}, file)
    with pytest.raises(DataError, match="safely"):
        pretrained.backbone(R18, path=file)
    assert not (tmp_path / "harm").exists()
