# ruff: noqa: C408
_base_ = ["../_base_/ade.py"]
model = dict(
    backbone=dict(type="ResNet", depth=18, norm_cfg=dict(type="SyncBN", requires_grad=True)),
    decode_head=dict(in_channels=[64, 128, 256, 512]),
)
