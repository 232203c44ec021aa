"""Released names, class layers of another size, and files that are not what they should be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from small import images, model

from seg2knet.errors import DataError
from seg2knet.knet import checkpoints
from seg2knet.knet.detector import KNet


def test_names_there_and_back() -> None:
    state = model(stuff=2).state_dict()
    released = checkpoints.to_released(state)
    assert len(released) == len(state)
    assert not [name for name in released if name.startswith("network.")]
    assert list(checkpoints.from_released(released)) == list(state)


@pytest.mark.parametrize(("name", "stuff"), [("knet_s3_r50_fpn_1x_coco", 0), ("knet_s3_r50_fpn_1x_coco-panoptic", 53)])
def test_the_full_model_has_the_released_tensors(shared: Path, name: str, stuff: int) -> None:
    with torch.device("meta"):
        net = KNet(
            backbone={"type": "ResNet", "depth": 50, "out_indices": (0, 1, 2, 3)},
            neck={"type": "FPN", "in_channels": [256, 512, 1024, 2048], "out_channels": 256, "num_outs": 4},
            num_things=80,
            num_stuff=stuff,
        )
    expected = json.loads((shared / "golden" / f"{name}.keys.json").read_text())
    ours = {k: list(v.shape) for k, v in checkpoints.to_released(net.state_dict()).items()}
    assert {k: v for k, v in ours.items() if not k.endswith("num_batches_tracked")} == {
        k: v for k, v in expected.items() if not k.endswith("num_batches_tracked")
    }


def test_a_released_file_loads(tmp_path: Path) -> None:
    net = model()
    path = tmp_path / "released.pth"
    meta = {"epoch": 12, "time": "now", "best": np.float64(0.5), "history": np.arange(3.0), "seed": np.int64(1)}
    torch.save({"meta": meta, "state_dict": checkpoints.to_released(net.state_dict())}, path)
    content = checkpoints.read(path)
    assert content["meta"]["best"] == 0.5
    assert content["meta"]["history"].tolist() == [0, 1, 2]
    other = model()
    for p in other.parameters():
        torch.nn.init.zeros_(p)
    report = checkpoints.load(other, content["state_dict"])
    assert not report.missing
    assert not report.replaced
    assert not report.unexpected
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), other.state_dict().values()))
    x = images(1)
    torch.testing.assert_close(
        net.eval()._forward(x).stages[-1].mask_logits, other.eval()._forward(x).stages[-1].mask_logits
    )


def test_class_layers_of_another_number_start_anew_and_it_is_said() -> None:
    ours = model(things=3)
    before = ours.network.stages[0].class_out.weight.clone()
    report = checkpoints.load(ours, checkpoints.to_released(model(things=7).state_dict()))
    assert set(report.replaced) == {
        f"network.{layer}.{what}"
        for layer in ("kernel_head.semantic_out", "stages.0.class_out", "stages.1.class_out")
        for what in ("weight", "bias")
    }
    assert report.replaced["network.stages.0.class_out.weight"] == ((7, 32), (3, 32))
    assert torch.equal(ours.network.stages[0].class_out.weight, before)
    assert not report.missing
    assert "7 in the checkpoint, 3 in the model" in report.text()


def test_another_model_is_refused() -> None:
    with pytest.raises(DataError, match="another model"):
        checkpoints.load(model(num_kernels=9), model().state_dict())
    with pytest.raises(DataError, match="another model"):
        checkpoints.load(model(), {"a": torch.zeros(1)})


def test_missing_and_unexpected_are_listed() -> None:
    state = model().state_dict()
    state["extra"] = state.pop("network.stages.1.ffn_norm.weight")
    report = checkpoints.load(model(), state)
    assert report.missing == ["network.stages.1.ffn_norm.weight"]
    assert report.unexpected == ["extra"]
    assert "extra" in report.text()


class Evil:
    def __reduce__(self) -> tuple:
        return (print, ("this must not run",))


def test_a_file_that_would_run_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"state_dict": {"a": torch.zeros(1)}, "meta": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(DataError, match="does not load safely"):
        checkpoints.read(tmp_path / "evil.pth")
    assert "must not run" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 broken"])
def test_files_that_are_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.pth"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.pth"):
        checkpoints.read(path)


def test_text_is_said_to_be_another_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hi\n")
    with pytest.raises(DataError) as caught:
        checkpoints.read(tmp_path / "notes.txt")
    assert caught.value.found == "another kind of file"


def test_a_missing_file_and_one_without_weights(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such checkpoint"):
        checkpoints.read(tmp_path / "none.pth")
    torch.save({"optimizer": {}}, tmp_path / "empty.pth")
    with pytest.raises(DataError, match="no weights"):
        checkpoints.read(tmp_path / "empty.pth")
    with pytest.raises(DataError):
        checkpoints.read(tmp_path)


def test_a_bare_state_dict_of_a_wrapped_model(tmp_path: Path) -> None:
    torch.save({"module.a": torch.ones(1)}, tmp_path / "bare.pth")
    assert list(checkpoints.read(tmp_path / "bare.pth")["state_dict"]) == ["a"]
