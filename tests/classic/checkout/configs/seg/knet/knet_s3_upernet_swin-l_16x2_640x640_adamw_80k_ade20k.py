# ruff: noqa: C408
_base_ = ["../_base_/ade.py"]
model = dict(
    backbone=dict(
        type="SwinTransformer",
        embed_dim=24,
        depths=[1, 1, 1, 1],
        num_heads=[1, 2, 4, 8],
        window_size=7,
        use_checkpoint=False,
    ),
    decode_head=dict(in_channels=[24, 48, 96, 192]),
)
