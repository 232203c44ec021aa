"""Evaluating and predicting on the classic stack, from a checkpoint alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch
from mmcv import Config
from mmcv.parallel import collate
from mmcv.runner import load_checkpoint

from seg2knet.errors import DataError, UsageError
from seg2knet.trainer import classic_stack
from seg2knet.trainer.classic_config import RECORD
from seg2knet.trainer.classic_datasets import panoptic_map
from seg2knet.trainer.classic_device import OneProcess, Place
from seg2knet.trainer.classic_loop import Package, answers


@dataclass(frozen=True)
class Loaded:
    """A checkpoint, ready to answer.

    Attributes:
        model: the model on its device.
        config: the config that it was trained by.
        package: the package it is of.
        place: the device.
    """

    model: OneProcess
    config: Config
    package: Package
    place: Place

    @property
    def classes(self) -> list[str]:
        return list(self.config[RECORD].classes)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint of the classic stack.

    Raises:
        DataError: it cannot be read, or does not say what it is.
    """
    try:
        checkpoint = torch.load(str(path), map_location="cpu")
    except FileNotFoundError:
        raise DataError("no such checkpoint", file=path) from None
    except Exception as error:  # a pickle may fail with anything
        raise DataError("not a checkpoint", file=path, found=f"{type(error).__name__}: {error}") from None
    meta = checkpoint.get("meta") if isinstance(checkpoint, dict) else None
    if not isinstance(meta, dict) or RECORD not in meta or "config" not in meta:
        raise DataError(
            "the checkpoint does not say which data and config it was trained by",
            file=path,
            found=f"meta with {', '.join(map(str, meta))}" if meta else "no meta",
            expected="a checkpoint written by seg2knet train --stack classic",
            hint="a released checkpoint works as a start of training: --load-from PATH",
        )
    return checkpoint


def load(path: Path, device: str, knet: Optional[Path] = None) -> Loaded:
    """Build the model that a checkpoint has, with its weights.

    Args:
        path: the checkpoint.
        device: ``cuda`` or ``cpu``.
        knet: the checkout, where it is not where it was when the model was trained.

    Raises:
        DataError: not such a checkpoint.
        UsageError: the checkout is gone and none was named.
    """
    meta = read_checkpoint(path)["meta"]
    record = meta[RECORD]
    checkout = knet or record.get("knet")
    if checkout is not None:
        if knet is None and not Path(checkout).is_dir():
            raise UsageError(
                "the checkout of K-Net that the model was trained with is not there any more",
                file=checkout,
                hint="name it: --knet ./K-Net",
            )
        classic_stack.add_checkout(Path(checkout))
    config = Config.fromstring(meta["config"], ".py")
    package = Package(record["task"])
    place = Place(torch.device(device))
    for part in ("pretrained", "init_cfg"):
        config.model.pop(part, None)
    model = package.model(config)
    from mmcv.cnn.utils import revert_sync_batchnorm

    model = revert_sync_batchnorm(model)
    load_checkpoint(model, str(path), map_location="cpu", strict=True)
    model.CLASSES = tuple(record["classes"])
    wrapped = OneProcess(model, place.device)
    wrapped.eval()
    return Loaded(wrapped, config, package, place)


def evaluate(loaded: Loaded, out: Optional[Path] = None) -> dict[str, float]:
    """The figures on the data that the config names under ``data.test``.

    Args:
        loaded: the model.
        out: a file for the predictions, in COCO's results format (instance) - not written for other tasks.
    """
    from seg2knet.trainer.classic_config import METRICS

    config, package = loaded.config, loaded.package
    dataset = package.dataset(config.data.test, test=True)
    loader = package.loader(dataset, config, train=False, place=loaded.place)
    results = answers(loaded.model, loader, package.task, loaded.place) or []
    metric = METRICS[package.task]["metric"]
    if out is not None and package.task == "instance":
        _write_results(results, dataset, out)
    return dataset.evaluate(results, metric=metric)


def _write_results(results: Sequence[Any], dataset: Any, out: Path) -> None:
    import orjson

    found = []
    for index, result in enumerate(results):
        for label, score, rle in objects(result):
            found.append(
                {
                    "image_id": dataset.img_ids[index],
                    "category_id": dataset.cat_ids[label],
                    "score": score,
                    "segmentation": rle,
                }
            )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(orjson.dumps(found))


def objects(result: Any) -> Iterator[tuple[int, float, dict[str, Any]]]:
    """Label, score and run-length code (``counts`` as text) of every object in one image's packed result."""
    boxes, masks = result
    scores = None
    if isinstance(masks, tuple):  # mask scoring models give scores of their own
        masks, scores = masks
    for label, (of_boxes, of_masks) in enumerate(zip(boxes, masks)):
        for number, rle in enumerate(of_masks):
            score = scores[label][number] if scores is not None else of_boxes[number][4]
            counts = rle["counts"]
            text = counts.decode() if isinstance(counts, bytes) else counts
            yield label, float(score), {"size": [int(side) for side in rle["size"]], "counts": text}


def predict(loaded: Loaded, images: Sequence[Path]) -> Iterator[tuple[Path, Any]]:
    """Every image with its answer.

    Yields:
        the path and: instance, a list of (label, score, RLE); panoptic, a map (H, W) int32 of
        ``label + 1000 * number``, ``len(classes)`` where nothing is; semantic, a map (H, W) of labels.

    Raises:
        DataError: an image cannot be read.
    """
    from seg2knet.trainer.classic_loop import _packed

    compose = loaded.package.datasets.pipelines.Compose(loaded.config.data.test.pipeline)
    for path in images:
        try:
            sample = compose({"img_info": {"filename": str(path)}, "img_prefix": None})
        except (OSError, AttributeError, ValueError) as error:  # mmcv answers a broken picture with None
            raise DataError("the image cannot be read", file=path, found=str(error)) from None
        batch = collate([sample], samples_per_gpu=1)
        with torch.no_grad():
            if loaded.package.task == "semantic":
                yield path, np.asarray(loaded.model(return_loss=False, **batch)[0])
                continue
            result = loaded.model(return_loss=False, rescale=True, **batch)[0]
        yield path, panoptic_map(result) if loaded.package.task == "panoptic" else list(objects(_packed(result)))
