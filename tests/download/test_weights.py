"""Checkpoints by path and URL, and the sources of pretrained backbones."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import pytest
from local_server import LocalServer, Page

pytest.importorskip("torch")

import torch

from seg2knet.download import weights
from seg2knet.download.transfer import TransferError
from seg2knet.errors import DataError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv(weights.MIRROR, raising=False)
    monkeypatch.setattr("seg2knet.download.transfer.time.sleep", lambda _seconds: None)
    return tmp_path / "torch" / "hub" / "checkpoints"


def saved(content: Any) -> bytes:
    out = io.BytesIO()
    torch.save(content, out)
    return out.getvalue()


class TestCheckpoint:
    def test_by_path(self, tmp_path: Path) -> None:
        file = tmp_path / "best.pth"
        file.write_bytes(b"x")
        assert weights.checkpoint(file) == file
        with pytest.raises(DataError, match="no such checkpoint"):
            weights.checkpoint(tmp_path / "other.pth")

    def test_by_url(self, server: LocalServer, own_cache: Path) -> None:
        body = saved({"state_dict": {"x": torch.ones(1)}})
        name = f"knet-{hashlib.sha256(body).hexdigest()[:8]}.pth"
        server.pages[name] = Page(body, break_after=[10, 100])
        found = weights.checkpoint(f"{server.url}/{name}")
        assert found.name == name
        assert own_cache in found.parents
        assert found.read_bytes() == body

    def test_the_digest_in_the_name_is_checked(self, server: LocalServer) -> None:
        server.pages["knet-00000000.pth"] = Page(b"something else")
        with pytest.raises(TransferError, match="wrong file"):
            weights.checkpoint(f"{server.url}/knet-00000000.pth")

    def test_the_digest_after_the_url_is_checked(self, server: LocalServer) -> None:
        server.pages["latest.pth"] = Page(b"weights")
        right = hashlib.sha256(b"weights").hexdigest()
        assert weights.checkpoint(f"{server.url}/latest.pth#sha256={right}").read_bytes() == b"weights"
        with pytest.raises(TransferError, match="not the file expected"):
            weights.checkpoint(f"{server.url}/latest.pth#sha256={right[::-1]}")

    def test_names_do_not_collide(self, server: LocalServer) -> None:
        for folder in ("a", "b"):
            server.pages[f"{folder}/latest.pth"] = Page(folder.encode())
        assert weights.checkpoint(f"{server.url}/a/latest.pth").read_bytes() == b"a"
        assert weights.checkpoint(f"{server.url}/b/latest.pth").read_bytes() == b"b"

    def test_training_starts_from_a_url(self, server: LocalServer) -> None:
        from seg2knet.trainer.options import TrainOptions
        from seg2knet.trainer.run.session import with_local_checkpoint

        server.pages["knet.pth"] = Page(b"weights")
        options = with_local_checkpoint(TrainOptions(load_from=f"{server.url}/knet.pth"))
        assert options.load_from is not None
        assert Path(options.load_from).read_bytes() == b"weights"
        with pytest.raises(DataError, match="no such checkpoint"):
            with_local_checkpoint(TrainOptions(load_from="lost.pth"))

    def test_the_command_line_takes_a_url(self, server: LocalServer) -> None:
        from seg2knet.trainer.predict.inference import local_file

        server.pages["knet.pth"] = Page(b"weights")
        assert local_file(f"{server.url}/knet.pth").read_bytes() == b"weights"
