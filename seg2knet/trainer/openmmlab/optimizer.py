"""How the optimiser is wrapped: mixed precision in bfloat16, and few groups of parameters."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.optim import AmpOptimWrapper, DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS
from torch import nn
from torch.optim import SGD, Adam, AdamW

CHECK_STEPS = 20
"""Values are read from the device once in so many steps: reading one waits for the GPU."""


@OPTIM_WRAPPERS.register_module()
class Float32Wrapper(OptimWrapper):
    """mmengine's ``OptimWrapper``, which reads the gradients' norm at each step; this one does so now and then."""

    def _clip_grad(self) -> None:
        parameters = [p for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = self.clip_func(parameters, **self.clip_grad_kwargs) if parameters else None
        if norm is not None and self._inner_count // self._accumulative_counts % CHECK_STEPS == 0:
            self.message_hub.update_scalar(f"train/{self.grad_name}", float(norm))


@OPTIM_WRAPPERS.register_module()
class Float16Wrapper(Float32Wrapper, AmpOptimWrapper):
    """mmengine's ``AmpOptimWrapper``: mixed precision in float16, with the loss scaled."""


@OPTIM_WRAPPERS.register_module()
class Bfloat16Wrapper(Float32Wrapper):
    """Mixed precision in bfloat16, which needs no scaling of the loss: on GPUs (``cuda``) that have it, and ``cpu``."""

    def __init__(self, device_type: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.device_type = device_type

    @contextlib.contextmanager
    def optim_context(self, model: torch.nn.Module) -> Iterator[None]:
        """The forward pass in bfloat16 where that is safe."""
        with super().optim_context(model), torch.autocast(self.device_type, dtype=torch.bfloat16):
            yield


def _uncompiled(kind: Any) -> Any:
    """An optimiser of PyTorch that is not compiled: its own methods import the compiler, for a second, to say so."""
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    return type(kind.__name__, (kind,), {**methods, "step": torch.no_grad()(inspect.unwrap(kind.step))})


for _kind in (AdamW, Adam, SGD):
    OPTIMIZERS.register_module(module=_uncompiled(_kind), force=True)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class FewGroups(DefaultOptimWrapperConstructor):
    """mmengine's constructor, with one group for all parameters of the same settings.

    mmengine makes a group of every single parameter, and an optimiser steps group by group: hundreds of small steps
    where two or three do.
    """

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = "", is_dcn_module: Any = None) -> None:
        """Called by mmengine with an empty list and the model, then with every part of it."""
        super().add_params(params, module, prefix, is_dcn_module)
        if prefix:
            return
        merged: dict[str, dict[str, Any]] = {}
        for group in params:
            settings = {key: value for key, value in group.items() if key != "params"}
            merged.setdefault(repr(sorted(settings.items())), {"params": [], **settings})["params"] += group["params"]
        params[:] = merged.values()
