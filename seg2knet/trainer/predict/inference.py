"""A trained model taken out of its checkpoint: everything it needs stands in there, so any machine will do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

import cv2
import numpy as np

from seg2knet.dataset import images
from seg2knet.dataset.classes import ClassInfo, ClassList
from seg2knet.errors import DataError, UsageError
from seg2knet.trainer import stacks
from seg2knet.trainer.openmmlab import packages as openmmlab


@dataclass(frozen=True)
class Prediction:
    """What was found on one picture, at its size as shown.

    Attributes:
        path: the picture.
        width, height: pixels.
        labels: ``(N,)`` places in the class list; of instances or of panoptic segments; in falling score.
        scores: ``(N,)`` 0..1.
        masks: ``(N, H, W)`` bool; instances may lie over one another, segments do not.
        labelmap: semantic: ``(H, W)`` places in the class list; else ``None``.
    """

    path: Path
    width: int
    height: int
    labels: np.ndarray
    scores: np.ndarray
    masks: np.ndarray
    labelmap: Optional[np.ndarray] = None

    def above(self, score: float) -> Prediction:
        """The same with only those at or above ``score``."""
        kept = self.scores >= score
        return Prediction(
            self.path, self.width, self.height, self.labels[kept], self.scores[kept], self.masks[kept], self.labelmap
        )


class Segmenter:
    """A model ready to segment pictures.

    Args:
        checkpoint: ``best.pth`` or ``last.pth`` of a run, by path or URL.
        device: ``cuda`` or ``cpu``; by default a GPU where there is one.

    Attributes:
        classes: the class list it was trained with.
        task: ``instance``, ``panoptic`` or ``semantic``.
        config: the whole config it was trained with.

    Raises:
        DataError: the checkpoint cannot be read or does not say what it is.
    """

    def __init__(self, checkpoint: Union[str, Path], device: Optional[str] = None) -> None:
        openmmlab.load()
        import torch
        from mmengine.config import Config
        from mmengine.registry import MODELS, init_default_scope

        from seg2knet.knet import checkpoints

        self.path = local_file(checkpoint)
        content = checkpoints.read(self.path)
        for stack in stacks.known().values():
            content = stack.convert_checkpoint(content, self.path) or content
        meta = content.get("meta") or {}
        if not isinstance(meta.get("cfg"), str) or "seg2knet" not in meta:
            raise DataError(
                "this checkpoint does not say which model and classes it is of",
                file=checkpoint,
                expected="best.pth or last.pth of seg2knet train",
                hint=f"weights of the authors' release serve to start from: seg2knet train --load-from {checkpoint}",
            )
        self.device = pick_device(device)
        with openmmlab.silence():
            self.config = Config.fromstring(meta["cfg"], ".py")
            self.task: str = self.config.task
            if self.task == "semantic":
                openmmlab.load(semantic=True)
            init_default_scope(self.config.default_scope)
            self.model = _without_pretraining(self.config.model, MODELS.build)
            missing = checkpoints.load(self.model, content["state_dict"]).missing
        if missing:
            raise DataError("the checkpoint lacks weights", file=checkpoint, found=", ".join(missing[:5]))
        self.model.to(self.device).eval()
        self._pipeline: Any = None
        self._torch = torch

    @property
    def classes(self) -> ClassList:
        """Names, things or stuff, colours."""
        stuff = set(self.config.get("stuff_classes", ()))
        return ClassList(
            tuple(
                ClassInfo(name, isthing=name not in stuff, color=tuple(color))
                for name, color in zip(self.config.classes, self.config.palette)
            )
        )

    def __call__(self, path: Union[str, Path]) -> Prediction:
        """Segment one picture.

        Raises:
            DataError: it cannot be read.
        """
        path = Path(path)
        picture = read_picture(path)
        data = self._prepare(path, picture)
        with self._torch.no_grad():
            sample = self.model.test_step({"inputs": [data["inputs"]], "data_samples": [data["data_samples"]]})[0]
        return to_prediction(sample, path, picture.shape[0], picture.shape[1], len(self.config.classes))

    def many(self, paths: Sequence[Path]) -> Iterator[Prediction]:
        """Segment pictures one after the other."""
        for path in paths:
            yield self(path)

    def _prepare(self, path: Path, picture: np.ndarray) -> dict[str, Any]:
        if self._pipeline is None:
            from mmengine.dataset import Compose

            steps = [step for step in self.config.test_pipeline if not step["type"].startswith("Load")]
            with openmmlab.silence():
                self._pipeline = Compose(steps)
        shape = picture.shape[:2]
        return self._pipeline(
            {"img": picture, "img_path": str(path), "img_id": 0, "img_shape": shape, "ori_shape": shape}
        )


def local_file(checkpoint: Union[str, Path]) -> Path:
    """A checkpoint's file; a URL is fetched first."""
    if "://" not in str(checkpoint):
        return Path(checkpoint)
    from seg2knet.download import weights

    return weights.checkpoint(str(checkpoint))


def pick_device(device: Optional[str]) -> str:
    """``cuda`` or ``cpu``.

    Raises:
        UsageError: a GPU was asked for and there is none, or the name is unknown.
    """
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


def _without_pretraining(model: Any, build: Any) -> Any:
    """Build a model whose weights come from the checkpoint, not from a file that may not be here."""
    config = model.copy()
    config.backbone = {**config.backbone, "init_cfg": None}
    return build(config)


def read_picture(path: Path) -> np.ndarray:
    """A picture as the model was trained on pictures: ``(H, W, 3)`` uint8 BGR, as shown (EXIF orientation applied).

    Raises:
        DataError: it cannot be read.
    """
    images.probe(path)  # refuses what is no picture, and forged sizes, before anything is decoded
    picture = cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_COLOR)
    if picture is None:  # what OpenCV cannot, Pillow may
        picture = np.ascontiguousarray(images.decode(path)[..., ::-1])
    return picture


def to_prediction(sample: Any, path: Path, height: int, width: int, num_classes: int) -> Prediction:
    """mmdet's or mmseg's sample as a :class:`Prediction`."""
    if "pred_instances" in sample:
        found = sample.pred_instances
        return Prediction(
            path, width, height, found.labels.cpu().numpy(), found.scores.float().cpu().numpy(),
            found.masks.cpu().numpy().astype(bool),
        )  # fmt: skip
    if "pred_panoptic_seg" in sample:
        return _from_panoptic(sample.pred_panoptic_seg, path, height, width, num_classes)
    labelmap = sample.pred_sem_seg.data.cpu().numpy().reshape(height, width)
    labels = np.unique(labelmap)
    masks = np.stack([labelmap == label for label in labels])
    return Prediction(path, width, height, labels, np.ones(len(labels), np.float32), masks, labelmap)


def _from_panoptic(found: Any, path: Path, height: int, width: int, num_classes: int) -> Prediction:
    ids = found.sem_seg.cpu().numpy().reshape(height, width)
    known = getattr(found, "segment_scores", None) or {}
    present = [number for number in np.unique(ids).tolist() if number % 1000 < num_classes]
    scores = np.array([float(known.get(number, 1.0)) for number in present], np.float32)
    order = np.argsort(-scores, kind="stable")
    masks = [ids == present[place] for place in order]
    return Prediction(
        path, width, height, np.array([present[place] % 1000 for place in order], np.int64), scores[order],
        np.stack(masks) if masks else np.zeros((0, height, width), bool),
    )  # fmt: skip
