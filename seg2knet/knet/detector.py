"""K-Net as mmdet sees it: the only module of ``seg2knet.knet`` that imports mmdet.

A config imports it with ``custom_imports = dict(imports=["seg2knet.knet.detector"])`` and has ``model`` with type
``KNet`` and the arguments of :class:`KNet`. The class counts appear there and nowhere else.

Input: ``DetDataSample`` with ``gt_instances`` (``labels``, ``masks``), for panoptic also ``gt_sem_seg`` (255 = ignore;
thing classes, then stuff), or the sample that ``PackKNetInputs`` packs, which holds the same at stride 4. Output:
``pred_instances`` (``labels``, ``scores``, ``masks``, ``bboxes``) for instance segmentation; ``pred_panoptic_seg``
(id = class + 1000 * number; ``num_things + num_stuff`` = no segment) for panoptic.
"""

from __future__ import annotations

from typing import Any, Optional

import numpy as np
import torch
from mmdet.datasets.transforms import PackDetInputs
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.models.detectors.base import BaseDetector
from mmdet.registry import MODELS, TRANSFORMS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.logging import MMLogger
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from seg2knet.errors import UsageError
from seg2knet.knet.criterion import Criterion
from seg2knet.knet.network import KNetwork, Predictions, Shape
from seg2knet.knet.results import ImageSize, ResultRules, instances, panoptic
from seg2knet.knet.targets import ImageTruth, collate, reduce_masks, reduce_semantic


@MODELS.register_module()
class KNet(BaseDetector):
    """Backbone, FPN and K-Net (Zhang et al., NeurIPS 2021, arXiv 2106.14855) as one mmdet detector.

    Args:
        backbone: config of an mmdet backbone whose four outputs have strides 4, 8, 16 and 32.
        neck: config of an mmdet FPN with four outputs of `channels` channels.
        channels_last: store feature maps in memory format (B, h, w, C).
        test_cfg: the fields of :class:`~seg2knet.knet.results.ResultRules`.
        data_preprocessor: config of :class:`KNetPreprocessor` or mmdet's ``DetDataPreprocessor``, with
            ``pad_size_divisor=32, pad_mask=False``: the model pads masks at stride 4.
        init_cfg: as everywhere in mmengine.
        sizes: the fields of :class:`~seg2knet.knet.network.Shape`: ``num_things``, ``num_stuff`` and the rest.

    Raises UsageError: sizes that no network can have, or an unknown argument or field of `test_cfg`.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        channels_last: bool = False,
        test_cfg: Optional[dict] = None,
        data_preprocessor: Optional[dict] = None,
        init_cfg: Optional[dict] = None,
        **sizes: int,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        shape, self.rules = _fields(Shape, sizes), _fields(ResultRules, test_cfg or {})
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck)
        self.network = KNetwork(shape)
        self.criterion = Criterion(shape)
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
        if self.channels_last:
            batch_inputs = batch_inputs.contiguous(memory_format=torch.channels_last)
        return self.neck(self.backbone(batch_inputs))

    def _forward(self, batch_inputs: Tensor, batch_data_samples: Any = None) -> Predictions:
        """Logits of the kernel head and of every stage, without losses or results."""
        return self.network(self.extract_feat(batch_inputs))

    def loss(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample]) -> dict[str, Tensor]:
        """Losses of a batch, by name; see :class:`~seg2knet.knet.criterion.Criterion`."""
        truths = [self._truth(sample) for sample in batch_data_samples]
        predictions = self._forward(batch_inputs)
        height, width = predictions.proposals.features.shape[-2:]
        things, stuff = self.shape.num_things, self.shape.num_stuff
        truth = collate(truths, (2 * height, 2 * width), things, stuff, batch_inputs.device)
        return self.criterion(predictions, truth)

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample], rescale: bool = True
    ) -> list[DetDataSample]:
        """Write the results into the samples: ``pred_instances``, or ``pred_panoptic_seg`` where there is stuff; with
        `rescale` at the original size (``ori_shape``), else at that of the input without padding (``img_shape``)."""
        last = self._forward(batch_inputs).stages[-1]
        for sample, class_logits, mask_logits in zip(batch_data_samples, last.class_logits, last.mask_logits):
            content = tuple(sample.metainfo["img_shape"][:2])
            size = ImageSize(content, tuple(sample.metainfo["ori_shape"][:2]) if rescale else content)
            if self.shape.num_stuff:
                segments = panoptic(class_logits, mask_logits, self.shape.num_things, size, self.rules)
                sample.pred_panoptic_seg = PixelData(
                    metainfo={"segment_scores": segments.scores}, sem_seg=segments.ids.unsqueeze(0)
                )
            else:
                best = instances(class_logits, mask_logits, size, self.rules)
                sample.pred_instances = InstanceData(
                    labels=best.labels, scores=best.scores, masks=best.masks, bboxes=best.boxes
                )
        return batch_data_samples

    def _truth(self, sample: DetDataSample) -> ImageTruth:
        """One sample's truth at stride 4: from ``PackKNetInputs``, or reduced here, on the CPU."""
        truth = sample.get("knet_truth") or _reduced_truth(sample)
        surplus = len(truth.labels) - self.shape.num_kernels
        if surplus > 0 and not self._surplus_reported:
            self._surplus_reported = True
            MMLogger.get_current_instance().warning(
                f"{truth.name} has {len(truth.labels)} objects, but the model has {self.shape.num_kernels} kernels: "
                f"{surplus} of them are not trained on. This is reported once; to train on all objects, set "
                f"model.num_kernels={len(truth.labels)} or more."
            )
        return truth


@MODELS.register_module()
class KNetPreprocessor(DetDataPreprocessor):
    """mmdet's, with colour channels reversed by a flip: mmdet indexes by a list, which waits for the GPU each image."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(non_blocking=True, **kwargs)
        self.reverse_channels: bool = getattr(self, "_channel_conversion")  # noqa: B009 - untyped in mmengine
        self._channel_conversion = False

    def cast_data(self, data: Any) -> Any:
        """Move a batch to the model's device: ``inputs``, (3, H, W) uint8 each, and ``data_samples``."""
        data = super().cast_data(data)
        if self.reverse_channels and isinstance(data, dict) and "inputs" in data:
            data["inputs"] = [image.flip(0) for image in data["inputs"]]
        return data


@TRANSFORMS.register_module()
class PackKNetInputs(PackDetInputs):
    """The last step of the training pipeline: mmdet's ``PackDetInputs``, with the truth reduced to stride 4.

    It runs in the process that loads the image, so neither full-size masks nor a full-size semantic map are sent to the
    training process. The model takes what ``PackDetInputs`` packs as well and then reduces it itself.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack one image: the sample has ``knet_truth``, and neither ``gt_instances.masks`` nor ``gt_sem_seg``."""
        packed = super().transform(results)
        sample = packed["data_samples"]
        truth = _reduced_truth(sample)
        for name in ("gt_instances", "ignored_instances"):
            if "masks" in sample.get(name, {}):
                del sample.get(name).masks
        if "gt_sem_seg" in sample:
            del sample.gt_sem_seg
        sample.knet_truth = truth
        return packed


def _fields(cls: Any, values: dict[str, Any]) -> Any:
    """``cls(**values)``, for dataclasses that a config fills."""
    try:
        return cls(**values)
    except TypeError as error:
        expected = ", ".join(cls.__dataclass_fields__)
        raise UsageError("the config's model does not fit", found=str(error), expected=expected) from None


def _reduced_truth(sample: DetDataSample) -> ImageTruth:
    objects, masks = sample.gt_instances, sample.gt_instances.masks
    if isinstance(masks, PolygonMasks):
        masks = masks.to_ndarray()
    elif isinstance(masks, BitmapMasks):
        masks = masks.masks
    name = str(sample.metainfo.get("img_path", sample.metainfo.get("img_id", "an image")))
    truth = ImageTruth(reduce_masks(np.asarray(masks)), objects.labels.tolist(), name=name)
    if "gt_sem_seg" in sample:
        semantic = sample.gt_sem_seg.sem_seg.squeeze(0).cpu().numpy()
        truth.semantic_masks, truth.semantic_labels = reduce_semantic(semantic)
    return truth
