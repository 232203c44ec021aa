from mmcv.runner import BaseModule, ModuleList
from mmdet.models.builder import HEADS, build_head


@HEADS.register_module()
class SmallIterHead(BaseModule):
    def __init__(self, num_stages, mask_head, num_thing_classes=80, num_stuff_classes=53, init_cfg=None, **kwargs):
        super().__init__(init_cfg)
        self.num_thing_classes = num_thing_classes
        self.num_stuff_classes = num_stuff_classes
        self.mask_head = ModuleList([build_head(each) for each in mask_head])
        assert len(self.mask_head) == num_stages
        for head in self.mask_head:
            assert head.num_stuff_classes == num_stuff_classes
