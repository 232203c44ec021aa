from mmdet.models.builder import HEADS

from .kernel_head import ClassMaps


@HEADS.register_module()
class SmallUpdateHead(ClassMaps):
    def __init__(self, num_classes=80, in_channels=256, num_thing_classes=80, num_stuff_classes=53, **kwargs):
        super().__init__(num_classes, in_channels, num_thing_classes, num_stuff_classes, **kwargs)
