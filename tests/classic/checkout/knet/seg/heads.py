from mmcv.cnn import ConvModule
from mmseg.models.builder import HEADS
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.ops import resize
from torch import nn


@HEADS.register_module()
class SmallUPerHead(BaseDecodeHead):
    """Adds levels to the results of ReLUs in place, as the release's head does."""

    def __init__(self, **kwargs):
        super().__init__(input_transform="multiple_select", **kwargs)
        norm = dict(type="BN", requires_grad=True)  # noqa: C408
        self.lateral_convs = nn.ModuleList(ConvModule(c, self.channels, 1, norm_cfg=norm) for c in self.in_channels)

    def forward(self, inputs):
        laterals = [conv(level) for conv, level in zip(self.lateral_convs, self._transform_inputs(inputs))]
        for index in range(len(laterals) - 1, 0, -1):
            laterals[index - 1] += resize(laterals[index], size=laterals[index - 1].shape[2:], mode="nearest")
        return self.cls_seg(laterals[0])
