"""Any backbone of timm (https://github.com/huggingface/pytorch-image-models) that has features at strides 4 to 32.

Importing this module registers ``TimmFeatures`` with mmengine; a config names it in ``custom_imports``. timm is the
extra ``seg2knet[timm]``.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any, NamedTuple, Optional

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from seg2knet.errors import DataError, EnvironmentProblem, UsageError, extra
from seg2knet.trainer.openmmlab import operators
from seg2knet.trainer.openmmlab.packages import first_line

STRIDES = (4, 8, 16, 32)
HUB = "hub"
"""In place of a file of weights: timm fetches its own."""


class TimmInfo(NamedTuple):
    """What there is to know about a model of timm before it is built: the channels of its features at strides 4, 8, 16
    and 32, which of its features (``levels``) those are, and mean and std of its images, RGB, 0..255.
    """

    channels: tuple[int, int, int, int]
    levels: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def package() -> Any:
    """timm. Raises EnvironmentProblem: it is not installed."""
    operators.declare_torchvision()
    try:
        return importlib.import_module("timm")
    except ImportError as error:
        raise EnvironmentProblem("a backbone of timm needs timm", found=str(error), hint=extra("timm")) from None


@cache
def describe(name: str) -> TimmInfo:
    """A model of timm by its name there.

    Raises UsageError: no such model, its features are not at strides 4, 8, 16 and 32, or it takes one image size alone;
    EnvironmentProblem: timm is not installed.
    """
    timm = package()
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.partition('.')[0]}*")[:8]
        raise UsageError(f"timm has no model {name}", expected=", ".join(near) or "a name of timm.list_models()")
    refusal = f"timm's {name} cannot be a backbone of K-Net"
    hint = (
        "--backbone timm/convnext_tiny, or another with a pyramid of features: efficientnet, swinv2, hieradet, repvit"
    )
    with torch.device("meta"):  # shapes alone: nothing is allocated or computed
        try:
            body = _body(name)
        except (RuntimeError, AttributeError) as error:  # timm's words for a model without features
            raise UsageError(refusal, found=first_line(error), expected="a pyramid of features", hint=hint) from None
        strides, channels = body.feature_info.reduction(), body.feature_info.channels()
        levels = [strides.index(stride) for stride in STRIDES if stride in strides]
        if len(levels) < len(STRIDES):
            found = f"features at strides {', '.join(map(str, strides))}"
            raise UsageError(refusal, found=found, expected="strides 4, 8, 16 and 32", hint=hint)
        try:
            body.eval()(torch.zeros(1, 3, 224, 288))
        except (RuntimeError, AssertionError) as error:
            raise UsageError(refusal, found=first_line(error), expected="images of any size", hint=hint) from None
    config = timm.get_pretrained_cfg(name)
    mean, std = (tuple(round(255 * value, 3) for value in values) for values in (config.mean, config.std))
    first, second, third, fourth = (channels[level] for level in levels)
    return TimmInfo((first, second, third, fourth), tuple(levels), mean, std)


def _body(name: str, **options: Any) -> Any:
    """timm's model as a list of features, of any image size where that is an option."""
    timm = package()
    try:
        return timm.create_model(name, features_only=True, strict_img_size=False, **options)
    except TypeError:  # most have no such option: they take any size, or one
        return timm.create_model(name, features_only=True, **options)


@MODELS.register_module(force=True)
class TimmFeatures(BaseModule):
    """A model of timm: (B, 3, H, W) -> four (B, C, H / stride, W / stride), strides 4, 8, 16, 32.

    Args:
        norm_eval: BatchNorm keeps the statistics that it learned before.
        options: timm's own: ``drop_path_rate`` and the like.
        init_cfg: ``dict(type="Pretrained", checkpoint=FILE)``: a PyTorch or safetensors file for timm's model, or
            ``"hub"`` for the weights that timm fetches.
    """

    def __init__(
        self,
        name: str,
        norm_eval: bool = False,
        options: Optional[dict[str, Any]] = None,
        init_cfg: Optional[dict[str, Any]] = None,
    ) -> None:
        super().__init__(init_cfg)
        self.name, self.norm_eval, self.options = name, norm_eval, dict(options or {})
        self.options["out_indices"] = describe(name).levels
        self.channels = describe(name).channels
        self.body = _body(name, **self.options)

    def init_weights(self) -> None:
        """Load what ``init_cfg`` names; timm has drawn the rest already."""
        if self.init_cfg is not None:
            self.body.load_state_dict(_pretrained(self.name, self.init_cfg["checkpoint"], self.options))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(
            level if level.shape[1] == channels else level.permute(0, 3, 1, 2).contiguous()  # Swin has them last
            for level, channels in zip(self.body(images), self.channels)
        )

    def train(self, mode: bool = True) -> TimmFeatures:
        super().train(mode)
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self


def _pretrained(name: str, source: str, options: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors of a model with weights from a file or from timm's hub, or an error that says why there are none."""
    overlay = {"pretrained_cfg_overlay": {"file": source}} if source != HUB else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn = _body(name, **options).state_dict()
        torch.manual_seed(0)
        try:
            loaded = _body(name, pretrained=True, **overlay, **options).state_dict()
        except Exception as error:  # files and networks fail in many ways
            if source == HUB:
                raise EnvironmentProblem(
                    f"timm cannot download the weights of {name}", found=first_line(error),
                    file=f"https://huggingface.co/{package().get_pretrained_cfg(name).hf_hub_id}",
                    hint="download model.safetensors there and name it: --backbone-weights FILE; or: --no-pretrained",
                ) from None  # fmt: skip
            raise DataError(f"these are not weights of timm's {name}", file=source, found=first_line(error)) from None
    weights = [key for key, value in drawn.items() if value.ndim > 1]
    same = [key for key in weights if torch.equal(drawn[key], loaded[key])]  # timm skips what the file does not have
    if len(same) > len(weights) // 10:
        found = f"no tensor for {len(same)} of {len(weights)}: {', '.join(same[:3])}"
        raise DataError(f"these are not weights of timm's {name}", file=source, found=found)
    return loaded
