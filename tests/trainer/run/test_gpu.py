"""What a GPU needs of a run, checked without one: its number, precision, switches, and few synchronisations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("mmdet")

from mmengine.config import Config  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from seg2knet.trainer.openmmlab import packages  # noqa: E402
from seg2knet.trainer.run import worker  # noqa: E402

packages.load()

from mmengine.registry import OPTIM_WRAPPERS  # noqa: E402

from seg2knet.trainer.run.loop import local_gpu  # noqa: E402


def fitted(monkeypatch: pytest.MonkeyPatch, wrapper: str, capability: tuple[int, int], **gpu: Any) -> Config:
    """A config as a process with a GPU of that compute capability runs it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda *_: type("Gpu", (), {"major": capability[0]}))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: (
        including_emulation or capability >= (8, 0)
    ))  # fmt: skip
    config = Config(
        {
            "work_dir": "run",
            "train_dataloader": {"batch_size": 2},
            "optim_wrapper": {"type": wrapper, "dtype": "auto", "optimizer": {"type": "AdamW", "lr": 1e-4}},
            "gpu": gpu,
        }
    )
    if wrapper == "OptimWrapper":
        config.optim_wrapper.pop("dtype")
    worker._fit_to_machine(config, "cuda", resume=False)
    return config


@pytest.mark.parametrize(
    ("capability", "wrapper"), [((7, 5), "Float16Wrapper"), ((8, 0), "Bfloat16Wrapper"), ((9, 0), "Bfloat16Wrapper")]
)
def test_bfloat16_only_where_the_gpu_computes_in_it(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], wrapper: str
) -> None:
    """Below compute capability 8.0 PyTorch emulates bfloat16, slowly, and calls that supported."""
    assert fitted(monkeypatch, "AmpOptimWrapper", capability).optim_wrapper.type == wrapper


@pytest.fixture
def _tf32() -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32
    yield
    torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.usefixtures("_tf32")
def test_the_switches_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    default = fitted(monkeypatch, "OptimWrapper", (9, 0))
    assert default.optim_wrapper.type == "Float32Wrapper"
    assert default.optim_wrapper.optimizer.fused
    assert default.train_dataloader.pin_memory
    assert not torch.backends.cuda.matmul.allow_tf32
    turned = fitted(monkeypatch, "OptimWrapper", (9, 0), tf32=True, fused=False, pin_memory=False)
    assert "fused" not in turned.optim_wrapper.optimizer
    assert not turned.train_dataloader.pin_memory
    assert torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize(("rank", "visible", "gpu"), [("3", 4, 3), ("3", 1, 0), ("5", 4, 1), ("0", 0, 0)])
def test_a_process_that_sees_one_gpu_takes_it(
    monkeypatch: pytest.MonkeyPatch, rank: str, visible: int, gpu: int
) -> None:
    """``srun --gpus-per-task=1`` shows each process one GPU, whatever its local rank."""
    monkeypatch.setenv("LOCAL_RANK", rank)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: visible)
    assert local_gpu() == gpu


class ReadValues(TorchDispatchMode):
    """Counts how often a tensor's value is read by the host; on a GPU each is a synchronisation."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", ["Float32Wrapper", "Bfloat16Wrapper"])
def test_clipping_reads_the_norm_once_in_many_steps(kind: str) -> None:
    from seg2knet.trainer.openmmlab.optimizer import CHECK_STEPS

    parameter = torch.nn.Parameter(torch.ones(3))
    more = {"device_type": "cpu"} if kind == "Bfloat16Wrapper" else {}
    wrapper = OPTIM_WRAPPERS.build(
        {"type": kind, "optimizer": torch.optim.AdamW([parameter], fused=True), "clip_grad": {"max_norm": 1.0}, **more}
    )
    wrapper.initialize_count_status(torch.nn.Identity(), 0, 100)
    with ReadValues() as values:
        for _ in range(2 * CHECK_STEPS):
            wrapper.update_params((parameter * 3).sum())
    assert values.count == 2
    norms = wrapper.message_hub.get_scalar("train/grad_norm")
    assert norms.current() == pytest.approx(3 * 3**0.5)
