"""Parts of the network whose results are worked out anew for backward instead of being kept until then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint


def recomputed(function: Callable[[Tensor], Any], x: Tensor) -> Any:
    """``function(x)``; of what happens within it nothing but `x` is kept.

    Args:
        function: draws no random numbers.
        x: the only thing that its result depends on beside parameters.
    """
    if not torch.is_grad_enabled():
        return function(x)
    return checkpoint(function, x, use_reentrant=False, preserve_rng_state=False)


def made_anew(make: Callable[[Tensor], Tensor], use: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``use(make(x))``; where backward needs ``make(x)``, which is larger than `x`, it is made once more.

    Args:
        make: cheap, and draws no random numbers.
        use: keeps what it is given, as a convolution does.
        x: what is kept instead.
    """
    if not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return use(make(x))
    made = make(x)
    marks = _marks(made)

    def pack(kept: Tensor) -> Tensor | None:
        return None if _marks(kept) == marks else kept

    def unpack(kept: Tensor | None) -> Tensor:
        return make(x.detach()) if kept is None else kept

    with saved_tensors_hooks(pack, unpack):
        return use(made)


def _marks(tensor: Tensor) -> tuple:
    """What two tensors have in common that are the same view of the same memory."""
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype
