"""K-Net as mmdet sees it: with packing.py, which it imports, all of ``seg2knet.knet`` that imports mmdet.

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
        channels_last=False,                                    # True is faster on a CPU
        test_cfg=dict(max_per_img=100, mask_thr=0.5, instance_score_thr=0.3, overlap_thr=0.6),
    )

In: ``DetDataSample`` with ``gt_instances`` (``labels``, ``masks``), for panoptic also ``gt_sem_seg`` (255 = nothing;
thing classes, then stuff); or what ``PackKNetInputs`` packs, the same at a sixteenth of the size. Out:
``pred_instances`` (``labels``, ``scores``, ``masks``, ``bboxes``) for instance segmentation; ``pred_panoptic_seg``
(id = class + 1000 * number, ``num_things + num_stuff`` = nothing) for panoptic.
"""

from __future__ import annotations

from typing import Any, Optional

import torch
from mmdet.models.detectors.base import BaseDetector
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.logging import MMLogger
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from seg2knet.errors import UsageError
from seg2knet.knet.criterion import Criterion
from seg2knet.knet.folding import fold_batch_norms
from seg2knet.knet.neck import slim, unfinished
from seg2knet.knet.network import KNetwork, Predictions, Shape
from seg2knet.knet.packing import Truth
from seg2knet.knet.results import INSTANCE_OFFSET, ImageSize, ResultRules, instances, panoptic
from seg2knet.knet.targets import ImageTruth, collate


@MODELS.register_module()
class KNet(BaseDetector):
    """Backbone, FPN and K-Net's network (Zhang et al., NeurIPS 2021, arXiv 2106.14855) as one mmdet detector.

    Args:
        backbone: config of an mmdet backbone whose four outputs have strides 4, 8, 16 and 32.
        neck: config of an mmdet FPN with four outputs of `channels` features.
        num_things: thing classes, which come first.
        num_stuff: stuff classes; 0 for instance segmentation.
        num_kernels: instance kernels, the most objects that one image can have.
        num_stages: kernel-update stages.
        channels: width of everything behind the FPN.
        feedforward_channels: hidden width of the stages' feed-forward networks.
        num_heads: of the stages' attention.
        channels_last: feature maps have their channels next to one another in memory: faster on a CPU.
        test_cfg: the fields of :class:`~seg2knet.knet.results.ResultRules`.
        data_preprocessor: config of mmdet's ``DetDataPreprocessor``.
        init_cfg: as everywhere in mmengine.

    Raises:
        UsageError: sizes that cannot be, or an unknown field in `test_cfg`.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        num_things: int,
        num_stuff: int = 0,
        num_kernels: int = 100,
        num_stages: int = 3,
        channels: int = 256,
        feedforward_channels: int = 2048,
        num_heads: int = 8,
        channels_last: bool = False,
        test_cfg: Optional[dict] = None,
        data_preprocessor: Optional[dict] = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        shape = Shape(num_things, num_stuff, num_kernels, num_stages, channels, feedforward_channels, num_heads)
        if shape.num_classes >= INSTANCE_OFFSET and num_stuff:
            raise UsageError("panoptic ids hold fewer than 1000 classes", found=f"{shape.num_classes} classes")
        self.backbone = MODELS.build(backbone)
        fold_batch_norms(self.backbone)
        self.neck = MODELS.build(neck)
        self._slim = slim(self.neck)
        self.network = KNetwork(shape)
        self.criterion = Criterion(shape)
        try:
            self.rules = ResultRules(**(test_cfg or {}))
        except TypeError:
            raise UsageError(
                "test_cfg has a field that K-Net does not know",
                found=", ".join(sorted(test_cfg or {})),
                expected=", ".join(ResultRules.__dataclass_fields__),
            ) from None
        self._surplus_reported = False
        self.channels_last = channels_last
        if channels_last:
            self.to(memory_format=torch.channels_last)

    @property
    def shape(self) -> Shape:
        """The sizes of the network, class counts among them."""
        return self.network.shape

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) -> the four FPN levels, (B, C, H/4, W/4) .. (B, C, H/32, W/32)."""
        return self.neck(self._stages(batch_inputs))

    def _stages(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """The backbone's C2..C5."""
        if self.channels_last:
            batch_inputs = batch_inputs.contiguous(memory_format=torch.channels_last)
        return self.backbone(batch_inputs)

    def _forward(self, batch_inputs: Tensor, batch_data_samples: Any = None) -> Predictions:
        """Logits of the kernel head and of every stage, without losses or results."""
        if self.training and self._slim and batch_inputs.device.type == "cpu":  # measured there alone
            return self.network(unfinished(self.neck, self._stages(batch_inputs)))
        return self.network(self.extract_feat(batch_inputs))

    def loss(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample]) -> dict[str, Tensor]:
        """Losses of a batch, by name; see :class:`~seg2knet.knet.criterion.Criterion`."""
        truths = [self._truth(sample) for sample in batch_data_samples]
        predictions = self._forward(batch_inputs)
        height, width = predictions.first.features.shape[-2:]
        size = (2 * height, 2 * width)
        return self.criterion(predictions, collate(truths, size, self.shape.num_things, batch_inputs.device))

    @torch.compiler.disable(recursive=False)
    def predict(
        self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample], rescale: bool = True
    ) -> list[DetDataSample]:
        """Write the results into the samples: ``pred_instances``, or ``pred_panoptic_seg`` where there is stuff.

        Args:
            batch_inputs: (B, 3, H, W), normalised and padded.
            batch_data_samples: with ``img_shape`` and, for `rescale`, ``ori_shape``.
            rescale: results at the original size; else at the size of the network's input without padding.
        """
        last = self._forward(batch_inputs).stages[-1]
        for sample, classes, masks in zip(batch_data_samples, last.classes, last.masks):
            content = tuple(sample.metainfo["img_shape"][:2])
            size = ImageSize(content, tuple(sample.metainfo["ori_shape"][:2]) if rescale else content)
            if self.shape.num_stuff:
                found = panoptic(classes, masks, self.shape.num_things, size, self.rules)
                sample.pred_panoptic_seg = PixelData(
                    metainfo={"segment_scores": found.scores}, sem_seg=found.ids.unsqueeze(0)
                )
            else:
                best = instances(classes, masks, size, self.rules)
                sample.pred_instances = InstanceData(
                    labels=best.labels, scores=best.scores, masks=best.masks, bboxes=best.boxes
                )
        return batch_data_samples

    @torch.compiler.disable
    def _truth(self, sample: DetDataSample) -> ImageTruth:
        """One sample's truth at stride 4: as ``PackKNetInputs`` made it, or made here, on the CPU."""
        truth = sample.get("knet_truth") or Truth(sample)
        self._report_surplus(len(truth.labels), truth.name)
        return truth.of(self.shape.num_things, self.shape.num_stuff)

    def _report_surplus(self, objects: int, name: str) -> None:
        """Say once that an image has more objects than there are kernels; what is left over is not learned from."""
        if objects > self.shape.num_kernels and not self._surplus_reported:
            self._surplus_reported = True
            MMLogger.get_current_instance().warning(
                f"{name} has {objects} objects, but the model has {self.shape.num_kernels} kernels: "
                f"{objects - self.shape.num_kernels} of them are not learned from. Such images are reported once; "
                f"for all objects, set model.num_kernels={objects} or more."
            )
