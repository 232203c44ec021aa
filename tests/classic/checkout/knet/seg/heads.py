from mmcv.cnn import ConvModule
from mmcv.runner import BaseModule
from mmseg.models.builder import HEADS, build_head
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


@HEADS.register_module()
class SmallSemanticUpdateHead(BaseModule):
    def __init__(self, num_classes=150, channels=16, init_cfg=None):
        super().__init__(init_cfg)
        self.num_classes = num_classes
        self.fc_mask = nn.Linear(channels, channels)


@HEADS.register_module()
class SmallIterativeHead(BaseModule):
    """A head whose kernels others would refine; its tensors have the release's names."""

    align_corners = False

    def __init__(self, kernel_generate_head, kernel_update_head, init_cfg=None):
        super().__init__(init_cfg)
        self.kernel_generate_head = build_head(kernel_generate_head)
        self.kernel_update_head = nn.ModuleList(build_head(each) for each in kernel_update_head)
        self.num_classes = self.kernel_generate_head.num_classes

    def forward_train(self, inputs, img_metas, gt_semantic_seg, train_cfg):
        losses = self.kernel_generate_head.forward_train(inputs, img_metas, gt_semantic_seg, train_cfg)
        return {**losses, "loss_update": sum(0 * head.fc_mask.weight.sum() for head in self.kernel_update_head)}

    def forward_test(self, inputs, img_metas, test_cfg):
        return self.kernel_generate_head.forward_test(inputs, img_metas, test_cfg)
