# ruff: noqa: C408
_base_ = ["../_base_/ade.py"]
model = dict(
    backbone=dict(type="ResNet", depth=50, norm_cfg=dict(type="SyncBN", requires_grad=True)),
    decode_head=dict(
        _delete_=True,
        type="SmallIterativeHead",
        kernel_generate_head=dict(
            type="FCNHead", in_channels=2048, in_index=3, channels=16, num_convs=1, concat_input=False, num_classes=150
        ),
        kernel_update_head=[dict(type="SmallSemanticUpdateHead", num_classes=150) for _ in range(3)],
    ),
)
