"""A trained model loaded from its checkpoint, which holds everything that it needs: config, classes, weights."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from seg2knet.dataset.classes import ClassInfo, ClassList
from seg2knet.download import weights
from seg2knet.engines import cores
from seg2knet.errors import DataError, UsageError
from seg2knet.trainer.config import models
from seg2knet.trainer.config.files import parse_config
from seg2knet.trainer.openmmlab import packages as openmmlab
from seg2knet.trainer.predict import released
from seg2knet.trainer.predict.drawing import read_image
from seg2knet.trainer.predict.prediction import Prediction

SHOWN_SCORE = 0.3
"""Instances below it are not shown, where a checkpoint does not say which score is best for F1."""
DEDUP = 0.7
"""Of two instances of one class whose masks have a larger intersection over union only the better one is shown."""


class Segmenter:
    """A model ready to segment images; the arguments are those of :func:`seg2knet.trainer.api.load`. Instances below
    ``score_thr`` are dropped before their masks are computed; ``dedup`` is of called models. ``config`` is the whole
    config of the training, ``judged_score`` the score that was best for F1, where the checkpoint knows.

    Raises DataError: the checkpoint cannot be read or does not say what it is.
    """

    def __init__(
        self,
        checkpoint: Union[str, Path],
        device: Optional[str] = None,
        half: bool = False,
        score_thr: Optional[float] = 0.0,
        classes: Optional[ClassList] = None,
        dedup: float = 0.0,
    ) -> None:
        openmmlab.load()
        import torch
        from mmengine.registry import MODELS, init_default_scope

        from seg2knet.knet import checkpoints

        self.path = local_file(checkpoint)
        content = checkpoints.read(self.path)
        if released.is_released(content):
            content = released.completed(content, self.path, classes)
        meta = content.get("meta") or {}
        if not isinstance(meta.get("cfg"), str) or "seg2knet" not in meta:
            raise DataError(
                "this checkpoint does not say which model and classes it has", file=checkpoint,
                expected="best.pth or last.pth of seg2knet train",
                hint=f"weights of the authors' release can be trained from: seg2knet train --load-from {checkpoint}",
            )  # fmt: skip
        self.device = pick_device(device)
        with openmmlab.silence():
            self.config = parse_config(meta["cfg"])
            self.task: str = self.config.task
            if self.task == "semantic":
                openmmlab.load(semantic=True)
            init_default_scope(self.config.default_scope)
            # The backbone's weights come from the checkpoint, not from a file that may not be here.
            model = self.config.model.copy()
            model.backbone = {**model.backbone, "init_cfg": None}
            self.model = MODELS.build(model)
            missing = checkpoints.load(self.model, content["state_dict"]).missing
        if missing:
            raise DataError("the checkpoint lacks weights", file=checkpoint, found=", ".join(missing[:5]))
        self.model.to(self.device).eval()
        self.judged_score: Optional[float] = (meta["seg2knet"] or {}).get("score_thr")
        shown = SHOWN_SCORE if self.judged_score is None else self.judged_score
        self.score_thr, self.dedup = shown if score_thr is None else score_thr, dedup
        if self.task == "instance":
            self.model.rules = replace(self.model.rules, score_thr=self.score_thr)
        bf16 = self.device == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False)
        self.half = (torch.bfloat16 if bf16 else torch.float16) if half else None

    @cached_property
    def classes(self) -> ClassList:
        """Names, things or stuff, colours."""
        stuff = set(self.config.get("stuff_classes", ()))
        named = zip(self.config.classes, self.config.palette)
        return ClassList(tuple(ClassInfo(name, isthing=name not in stuff, color=tuple(rgb)) for name, rgb in named))

    def __call__(self, image: Any) -> Prediction:
        """Segment one image: a path, an ``(H, W, 3)`` uint8 RGB array, or a Pillow image.

        Raises DataError: it cannot be read.
        """
        return one_image(self, image)

    def arrays(self, images: Sequence[np.ndarray], path: Path = Path("image")) -> list[Prediction]:
        """Segment ``(H, W, 3)`` uint8 BGR arrays of one size as a batch."""
        return self._segment([_prepared(self._pipeline, image, path) for image in images])

    def many(
        self, paths: Sequence[Path], batch_size: int = 1, workers: Optional[int] = None
    ) -> Iterator[Union[Prediction, DataError]]:
        """Segment files, in order; the error in place of those that cannot be read. Images of one size that come after
        one another are segmented together. ``workers`` read images: by default up to 4 beside a GPU, none beside a CPU,
        which they share.
        """
        from torch.utils.data import DataLoader

        if workers is None:
            workers = min(4, cores() - 1, len(paths) // 4) if self.device != "cpu" else 0
        loaded: Any = DataLoader(
            paths, batch_size=None, num_workers=workers, collate_fn=partial(_read, self._pipeline),  # type: ignore[arg-type]
            multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
        )  # fmt: skip
        waiting: list[Any] = []
        for item in loaded:
            fits = waiting and not isinstance(item, DataError) and item["inputs"].shape == waiting[0]["inputs"].shape
            if not fits or len(waiting) == batch_size:
                yield from self._segment(waiting)
                waiting = []
            if isinstance(item, DataError):
                yield item
            else:
                waiting.append(item)
        yield from self._segment(waiting)

    def _segment(self, prepared: Sequence[dict[str, Any]]) -> list[Prediction]:
        return [self.prediction_of(sample) for sample in self.predict_batch(_batch(prepared))] if prepared else []

    def class_shares(self, images: Sequence[np.ndarray]) -> Any:
        """Semantic: ``(N, K, H, W)`` float32 probabilities of the classes, a tensor, for BGR arrays of one size."""
        import torch

        samples = self.predict_batch(_batch([_prepared(self._pipeline, image, Path("image")) for image in images]))
        return torch.stack([sample.seg_logits.data.float().softmax(0) for sample in samples])

    def predict_batch(self, batch: dict[str, Any]) -> list[Any]:
        """What mmdet or mmseg predicts for a loader's batch: its data samples."""
        import torch

        kind = torch.device(self.device).type
        with torch.no_grad(), torch.autocast(kind, dtype=self.half or torch.bfloat16, enabled=self.half is not None):
            return self.model.test_step(batch)

    def prediction_of(self, sample: Any) -> Prediction:
        """A data sample as a prediction at the image's own size."""
        prediction = Prediction.of_sample(sample, len(self.classes))
        prediction.classes = self.classes
        return prediction

    @cached_property
    def _pipeline(self) -> Any:
        from mmengine.dataset import Compose

        with openmmlab.silence():
            return Compose([step for step in self.config.test_pipeline if not step["type"].startswith("Load")])


def one_image(model: Any, image: Any) -> Prediction:
    """What a model finds on a path, an RGB array or a Pillow image that is worth showing."""
    on_disk = isinstance(image, (str, Path))
    path = Path(image) if on_disk else Path("image")
    if on_disk:
        pixels = read_image(path)
    else:
        from PIL import Image, ImageOps

        is_pillow = isinstance(image, Image.Image)
        array = np.asarray(ImageOps.exif_transpose(image).convert("RGB") if is_pillow else image)
        if array.ndim != 3 or array.shape[2] < 3 or array.dtype != np.uint8:
            found = f"{array.shape} {array.dtype}"
            raise DataError("this array is no image", found=found, expected="(H, W, 3) uint8, RGB")
        pixels = np.ascontiguousarray(array[..., 2::-1])
    (prediction,) = model.arrays([pixels], path)
    if model.task == "instance":
        prediction = prediction.best(model.score_thr, model.dedup)
    prediction.pixels = None if on_disk else pixels
    return prediction


def _read(pipeline: Any, path: Path) -> Any:
    """An image read and prepared for the network, by a loader's process; the error where that fails."""
    try:
        return _prepared(pipeline, read_image(path), path)
    except DataError as error:
        return error


def _prepared(pipeline: Any, image: np.ndarray, path: Path) -> dict[str, Any]:
    shape = image.shape[:2]
    return pipeline({"img": image, "img_path": str(path), "img_id": 0, "img_shape": shape, "ori_shape": shape})


def _batch(prepared: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {name: [item[name] for item in prepared] for name in ("inputs", "data_samples")}


def local_file(checkpoint: Union[str, Path]) -> Path:
    """A checkpoint's file; a URL, or what is published for the name of a model, is downloaded first.

    Raises UsageError: no such model, or nothing is published for it.
    """
    text = str(checkpoint)
    if "://" in text:
        return weights.checkpoint(text)
    if Path(text).suffix or Path(text).exists():
        return Path(text)
    source = models.get(text).checkpoint
    if source is None:
        raise UsageError(f"no weights are published for {text}", expected="a checkpoint's file, or another model")
    return weights.published(source, "name a checkpoint's file")


def pick_device(device: Optional[str]) -> str:
    """``cuda`` or ``cpu``, or a :class:`UsageError` where there is no such device."""
    import torch

    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise UsageError(f"--device {device} is not known", expected="cuda, cuda:1 or cpu") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda, but no GPU is found here", hint="--device cpu; seg2knet doctor says more")
    return device
