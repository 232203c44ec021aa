# ruff: noqa: C408
_base_ = ["./knet_s3_r50_fpn_1x_coco-panoptic.py"]
file_client_args = dict(backend="memcached", server_list_cfg="/mnt/servers.conf", client_cfg="/mnt/client.conf")
img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
train_pipeline = [
    dict(type="LoadImageFromFile", file_client_args=file_client_args),
    dict(
        type="LoadPanopticAnnotations",
        with_bbox=True,
        with_mask=True,
        with_seg=True,
        file_client_args=file_client_args,
    ),
    dict(type="Resize", img_scale=[(1333, 640), (1333, 800)], multiscale_mode="range", keep_ratio=True),
    dict(type="RandomFlip", flip_ratio=0.5),
    dict(type="Normalize", **img_norm_cfg),
    dict(type="Pad", size_divisor=32),
    dict(type="DefaultFormatBundle"),
    dict(type="Collect", keys=["img", "gt_bboxes", "gt_labels", "gt_masks", "gt_semantic_seg"]),
]
data = dict(
    train=dict(
        _delete_=True,
        type="RepeatDataset",
        times=3,
        dataset=dict(
            type="CocoPanopticDataset",
            ann_file="data/coco/annotations/panoptic_train2017.json",
            img_prefix="data/coco/train2017/",
            seg_prefix="data/coco/annotations/panoptic_train2017/",
            pipeline=train_pipeline,
        ),
    )
)
