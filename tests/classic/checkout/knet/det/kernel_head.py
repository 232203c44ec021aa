from mmcv.runner import BaseModule
from mmdet.models.builder import HEADS
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits


class ClassMaps(BaseModule):
    """One map a class from the finest feature; the counts must agree, as they must in the release."""

    def __init__(self, num_classes, in_channels, num_thing_classes, num_stuff_classes, init_cfg=None):
        super().__init__(init_cfg)
        assert num_classes == num_thing_classes + num_stuff_classes, (
            f"{num_classes} classes, but {num_thing_classes} things and {num_stuff_classes} stuff"
        )
        self.num_classes = num_classes
        self.num_thing_classes = num_thing_classes
        self.num_stuff_classes = num_stuff_classes
        self.fc_cls = nn.Conv2d(in_channels, num_classes, 1)

    def forward(self, features):
        return self.fc_cls(features)

    def loss(self, features, maps):
        return binary_cross_entropy_with_logits(self(features), maps)


@HEADS.register_module()
class SmallKernelHead(ClassMaps):
    def __init__(self, num_classes, in_channels=256, num_thing_classes=80, num_stuff_classes=53, **kwargs):
        super().__init__(num_classes, in_channels, num_thing_classes, num_stuff_classes, **kwargs)
        self.init_kernels = nn.Conv2d(in_channels, 100, 1, bias=False)

    def loss(self, features, maps):
        return super().loss(features, maps) + 0 * self.init_kernels.weight.sum()
