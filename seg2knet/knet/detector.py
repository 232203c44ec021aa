"""K-Net as mmdet sees it: the only module of ``seg2knet.knet`` that imports mmdet.

A config asks for it with ``custom_imports = dict(imports=["seg2knet.knet.detector"])`` and

.. code-block:: python

    model = dict(
        type="KNet",
        data_preprocessor=dict(type="DetDataPreprocessor", mean=..., std=..., bgr_to_rgb=True, pad_size_divisor=32,
                               pad_mask=False, pad_seg=True),   # masks are padded at stride 4 by the model itself
        backbone=dict(...),                                     # any backbone of mmdet's registry with four levels
        neck=dict(type="FPN", in_channels=[256, 512, 1024, 2048], out_channels=256, num_outs=4),
        num_things=18,                                          # the only place where class counts stand
        num_stuff=0,                                            # 0: instance segmentation; else panoptic
        num_kernels=100,
        num_stages=3,
        channels=256,
        feedforward_channels=2048,
        num_heads=8,
        test_cfg=dict(max_per_img=100, mask_thr=0.5, instance_score_thr=0.3, overlap_thr=0.6),
    )

In: ``DetDataSample`` with ``gt_instances`` (``labels``, ``masks``), for panoptic also ``gt_sem_seg`` (255 = nothing;
thing classes, then stuff). Out: ``pred_instances`` (``labels``, ``scores``, ``masks``, ``bboxes``) for instance
segmentation; ``pred_panoptic_seg`` (id = class + 1000 * number, ``num_things + num_stuff`` = nothing) for panoptic.
"""
