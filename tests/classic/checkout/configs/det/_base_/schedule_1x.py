# ruff: noqa: C408
optimizer = dict(
    type="AdamW",
    lr=0.0001,
    weight_decay=0.05,
    paramwise_cfg=dict(custom_keys={"backbone": dict(lr_mult=0.25)}, norm_decay_mult=0.0),
)
optimizer_config = dict(grad_clip=dict(max_norm=1, norm_type=2))
lr_config = dict(policy="step", warmup="linear", warmup_iters=1000, warmup_ratio=0.001, step=[8, 11])
runner = dict(type="EpochBasedRunner", max_epochs=12)
checkpoint_config = dict(interval=1)
log_config = dict(interval=50, hooks=[dict(type="TextLoggerHook")])
dist_params = dict(backend="nccl")
log_level = "INFO"
load_from = None
resume_from = None
workflow = [("train", 1)]
