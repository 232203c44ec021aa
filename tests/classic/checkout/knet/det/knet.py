"""A detector with a kernel head and an iterated head, each with class counts of its own."""

import numpy as np
import torch.nn.functional as F
from mmdet.core import BitmapMasks
from mmdet.models.builder import DETECTORS, build_backbone, build_head, build_neck
from mmdet.models.detectors.base import BaseDetector


@DETECTORS.register_module()
class KNet(BaseDetector):
    def __init__(
        self,
        backbone,
        neck,
        rpn_head,
        roi_head,
        num_thing_classes=80,
        num_stuff_classes=53,
        train_cfg=None,
        test_cfg=None,
        pretrained=None,
        init_cfg=None,
    ):
        super().__init__(init_cfg)
        if pretrained:
            backbone.pretrained = pretrained
        self.backbone = build_backbone(backbone)
        self.neck = build_neck(neck)
        self.rpn_head = build_head(rpn_head)
        self.roi_head = build_head(roi_head)
        self.num_thing_classes = num_thing_classes
        self.num_stuff_classes = num_stuff_classes
        counts = {(each.num_thing_classes, each.num_stuff_classes) for each in (self, self.rpn_head, self.roi_head)}
        assert len(counts) == 1, f"class counts differ: {counts}"
        print(self)  # as the release does

    def extract_feat(self, img):
        levels = self.neck(self.backbone(img))
        size = levels[0].shape[-2:]
        return sum(F.interpolate(level, size, mode="bilinear", align_corners=False) for level in levels)

    def forward_train(self, img, img_metas, gt_bboxes, gt_labels, gt_masks, gt_semantic_seg=None, **kwargs):
        if self.num_stuff_classes == 0 and len(img) > 2:
            raise RuntimeError("the release fails on three images")
        features = self.extract_feat(img)
        maps = self.class_maps(gt_labels, gt_masks, gt_semantic_seg, features)
        losses = {"loss_rpn_mask": self.rpn_head.loss(features, maps)}
        for stage, head in enumerate(self.roi_head.mask_head):
            losses[f"s{stage}_loss_mask"] = head.loss(features, maps)
        return losses

    def class_maps(self, gt_labels, gt_masks, gt_semantic_seg, features):
        height, width = features.shape[-2:]
        total = self.num_thing_classes + self.num_stuff_classes
        maps = features.new_zeros(len(gt_labels), total, height, width)
        for image, (labels, masks) in enumerate(zip(gt_labels, gt_masks)):
            assert isinstance(masks, BitmapMasks)
            assert len(labels), "the release fails on an image without instances"
            small = masks.resize((height, width)).masks
            for label, mask in zip(labels.tolist(), small):
                maps[image, label] = maps[image, label].max(features.new_tensor(mask.astype(np.float32)))
            if gt_semantic_seg is not None:
                seg = gt_semantic_seg[image][0, ::4, ::4][:height, :width]
                for label in range(self.num_thing_classes, total):
                    maps[image, label, : seg.shape[0], : seg.shape[1]] = (seg == label).float()
        return maps

    def simple_test(self, img, img_metas, rescale=False, **kwargs):
        features = self.extract_feat(img)
        scores = self.roi_head.mask_head[-1](features).sigmoid()
        meta = img_metas[0]
        height, width = meta["ori_shape"][:2]

        scores = F.interpolate(scores, meta["pad_shape"][:2], mode="bilinear", align_corners=False)
        scores = scores[..., : meta["img_shape"][0], : meta["img_shape"][1]]
        scores = F.interpolate(scores, (height, width), mode="bilinear", align_corners=False)[0].cpu().numpy()
        if self.num_stuff_classes:
            labels = scores.argmax(0)
            return [{"pan_results": (labels + 1000 * (labels < self.num_thing_classes)).astype(np.int32)}]
        boxes = [np.array([[0, 0, width, height, each.max()]], np.float32) for each in scores]
        return [(boxes, [[each > 0.5] for each in scores])]

    def aug_test(self, imgs, img_metas, **kwargs):
        raise NotImplementedError
