# ruff: noqa: C408
num_stages = 3
model = dict(
    type="KNet",
    backbone=dict(
        type="ResNet",
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=1,
        norm_cfg=dict(type="BN", requires_grad=True),
        norm_eval=True,
        style="pytorch",
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50"),
    ),
    neck=dict(type="FPN", in_channels=[256, 512, 1024, 2048], out_channels=64, num_outs=4),
    rpn_head=dict(type="SmallKernelHead", num_classes=80, in_channels=64),
    roi_head=dict(
        type="SmallIterHead",
        num_stages=num_stages,
        mask_head=[dict(type="SmallUpdateHead", num_classes=80, in_channels=64) for _ in range(num_stages)],
    ),
    train_cfg=dict(),
    test_cfg=dict(),
)
custom_imports = dict(
    imports=[
        "knet.det.knet",
        "knet.det.kernel_head",
        "knet.det.kernel_iter_head",
        "knet.det.kernel_update_head",
    ],
    allow_failed_imports=False,
)
