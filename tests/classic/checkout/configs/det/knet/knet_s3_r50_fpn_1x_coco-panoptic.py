# ruff: noqa: C408
_base_ = ["../_base_/knet_s3_r50_fpn.py", "../_base_/coco_panoptic.py", "../_base_/schedule_1x.py"]
num_thing_classes = 80
num_stuff_classes = 53
model = dict(
    num_thing_classes=num_thing_classes,
    num_stuff_classes=num_stuff_classes,
    rpn_head=dict(
        num_classes=num_thing_classes + num_stuff_classes,
        num_thing_classes=num_thing_classes,
        num_stuff_classes=num_stuff_classes,
    ),
    roi_head=dict(
        num_thing_classes=num_thing_classes,
        num_stuff_classes=num_stuff_classes,
        mask_head=[
            dict(
                type="SmallUpdateHead",
                num_classes=num_thing_classes + num_stuff_classes,
                num_thing_classes=num_thing_classes,
                num_stuff_classes=num_stuff_classes,
                in_channels=64,
            )
            for _ in range(3)
        ],
    ),
)
