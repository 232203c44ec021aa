"""The models of the authors' table, by name: ``seg2knet models`` lists them, ``seg2knet train --model NAME`` takes one.

Figures are those that were published, never ours: Zhang, Pang, Chen, Loy, *K-Net: Towards Unified Image Segmentation*,
NeurIPS 2021, arXiv 2106.14855, with the results table of its release; and, for semantic segmentation, the model zoo of
mmsegmentation (``configs/knet/metafile.yaml``), which trained the same models again. Where no figure is given, none is
known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Optional

from seg2knet.download.weights import Source
from seg2knet.errors import UsageError
from seg2knet.knet.recipe import learning_rate
from seg2knet.trainer.config.backbones import BACKBONES
from seg2knet.trainer.options import did_you_mean

PAPER = "arXiv 2106.14855 and its release"
ABSTRACT = "arXiv 2106.14855, abstract"
TABLE = "arXiv 2106.14855, table 3"
ZOO = "mmsegmentation, configs/knet"
ZOO_FOLDERS = (
    "https://download.openmmlab.com/mmsegmentation/v0.5/knet/",
    "https://mmassets.onedl.ai/mmsegmentation/v0.5/knet/",
)
RELEASE = "https://download.openmmlab.com/mim-example/knet/det/knet/"
"""Folder of the authors' released weights."""


@dataclass(frozen=True)
class Figure:
    """A published result: ``mask AP``, ``PQ`` or ``mIoU``, in percent."""

    metric: str
    value: float
    data: str
    source: str

    def __str__(self) -> str:
        return f"{self.metric} {self.value} ({self.data})"


@dataclass(frozen=True)
class ModelSpec:
    """A model that can be asked for by name.

    Attributes:
        task: ``instance``, ``panoptic`` or ``semantic``.
        backbone: a key of :data:`.backbones.BACKBONES`.
        schedule: ``1x`` or ``3x`` (with multi-scale) epochs on COCO; ``80k``: iterations of 16 crops.
        head: for semantic: the head whose prediction the kernels refine.
        crop: for semantic: height and width of a training crop.
        figures: what was published, the authors' first.
        checkpoint: where trained weights are published, ``None`` where that is not known here.
    """

    name: str
    task: str
    backbone: str
    schedule: str
    head: Optional[str] = None
    crop: Optional[tuple[int, int]] = None
    figures: tuple[Figure, ...] = ()
    checkpoint: Optional[Source] = None

    @property
    def lr(self) -> float:
        """Learning rate for 16 images a step: 1e-4; with a Swin backbone in semantic segmentation 6e-5."""
        return learning_rate(semantic_swin=self.task == "semantic" and self.backbone.startswith("swin")).base

    def require(self) -> None:
        """
        Raises:
            EnvironmentProblem: it needs an operator that nothing here provides.
        """
        BACKBONES[self.backbone].require(f"--model {self.name.replace('-dcn', '')}")

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for ``seg2knet models --json``."""
        source = self.checkpoint
        return {**asdict(self), "checkpoint": source.folders[0] + source.file if source is not None else None}


def _coco(
    name: str, task: str, backbone: str, schedule: str, *figures: tuple[float, str, str], released: str = ""
) -> ModelSpec:
    """`released`: folder and time stamp of the weights in the release."""
    metric = "PQ" if task == "panoptic" else "mask AP"
    published = tuple(Figure(metric, *rest) for rest in figures)
    folder, _, stamp = released.partition(" ")
    file = Source(f"{folder}_{stamp}.pth", (f"{RELEASE}{folder}/",), f"K-Net, {name}") if released else None
    return ModelSpec(name, task, backbone, schedule, figures=published, checkpoint=file)


def _ade(
    name: str, head: str, backbone: str, zoo: float, file: str, *figures: tuple[float, str, str], crop: int = 512
) -> ModelSpec:
    published = tuple(Figure("mIoU", *rest) for rest in (*figures, (zoo, ADE, ZOO)))
    folder, _, stamp = file.partition(" ")
    folder += "_adamw_80k_ade20k"
    source = Source(f"{folder}_{stamp}.pth", tuple(f"{zoo}{folder}/" for zoo in ZOO_FOLDERS), f"K-Net, {name}")
    return ModelSpec(name, "semantic", backbone, "80k", head, (crop, crop), published, source)


COCO = "COCO val2017"
ADE = "ADE20K val"

_ALL = (
    _coco(
        "knet-s3-r50-fpn-1x", "instance", "r50", "1x", (34.0, COCO, PAPER),
        released="knet_s3_r50_fpn_1x_coco 20211016_113017-8a8645d4",
    ),
    _coco("knet-s3-r50-fpn-ms-3x", "instance", "r50", "3x", (37.8, COCO, PAPER)),
    _coco("knet-s3-r101-fpn-ms-3x", "instance", "r101", "3x", (39.2, COCO, PAPER)),
    _coco(
        "knet-s3-r101-dcn-fpn-ms-3x", "instance", "r101-dcn", "3x", (40.5, COCO, PAPER),
        released="knet_s3_r101_dcn-c3-c5_fpn_ms-3x_coco 20211017_054515-163a3126",
    ),
    _coco("knet-s3-swin-l-fpn-ms-3x", "instance", "swin-l", "3x"),
    _coco(
        "knet-s3-r50-fpn-1x-panoptic", "panoptic", "r50", "1x", (44.3, COCO, PAPER),
        released="knet_s3_r50_fpn_1x_coco-panoptic 20211017_151750-395fbcba",
    ),
    _coco(
        "knet-s3-r50-fpn-ms-3x-panoptic", "panoptic", "r50", "3x", (47.1, COCO, PAPER),
        released="knet_s3_r50_fpn_ms-3x_coco-panoptic 20211017_054613-4375b8be",
    ),
    _coco(
        "knet-s3-r101-fpn-ms-3x-panoptic", "panoptic", "r101", "3x", (48.4, COCO, PAPER),
        released="knet_s3_r101_fpn_ms-3x_coco-panoptic 20211017_054501-9c600b0c",
    ),
    _coco(
        "knet-s3-r101-dcn-fpn-ms-3x-panoptic", "panoptic", "r101-dcn", "3x", (49.6, COCO, PAPER),
        released="knet_s3_r101_dcn-c3-c5_fpn_ms-3x_coco-panoptic 20211019_191549-6d13fab7",
    ),
    _coco(
        "knet-s3-swin-l-fpn-ms-3x-panoptic", "panoptic", "swin-l", "3x", (54.6, COCO, PAPER),
        (55.2, "COCO test-dev", ABSTRACT),
        released="knet_s3_swin-l_fpn_ms-3x_16x2_coco-panoptic 20211020_062341-62f3bbff",
    ),
    _ade(
        "knet-s3-fcn-r50-ade", "fcn", "r50", 43.6,
        "knet_s3_fcn_r50-d8_8x2_512x512 20220228_043751-abcab920", (43.3, ADE, TABLE),
    ),
    _ade(
        "knet-s3-pspnet-r50-ade", "pspnet", "r50", 44.18,
        "knet_s3_pspnet_r50-d8_8x2_512x512 20220228_054634-d2c72240", (43.9, ADE, TABLE),
    ),
    _ade(
        "knet-s3-deeplabv3-r50-ade", "deeplabv3", "r50", 45.06,
        "knet_s3_deeplabv3_r50-d8_8x2_512x512 20220228_041642-00c8fbeb", (44.6, ADE, TABLE),
    ),
    _ade(
        "knet-s3-upernet-r50-ade", "upernet", "r50", 43.45,
        "knet_s3_upernet_r50-d8_8x2_512x512 20220304_125657-215753b0", (43.6, ADE, TABLE),
    ),
    _ade(
        "knet-s3-upernet-swin-t-ade", "upernet", "swin-t", 45.84,
        "knet_s3_upernet_swin-t_8x2_512x512 20220303_133059-7545e1dc", (45.4, ADE, PAPER),
    ),
    _ade(
        "knet-s3-upernet-swin-l-ade", "upernet", "swin-l", 52.05,
        "knet_s3_upernet_swin-l_8x2_512x512 20220303_154559-d8da9a90", (52.0, ADE, TABLE),
    ),
    _ade(
        "knet-s3-upernet-swin-l-640-ade", "upernet", "swin-l", 52.21,
        "knet_s3_upernet_swin-l_8x2_640x640 20220301_220747-8787fc71",
        (54.3, "ADE20K val, the paper's best", ABSTRACT), crop=640,
    ),
)  # fmt: skip

MODELS: Mapping[str, ModelSpec] = MappingProxyType({spec.name: spec for spec in _ALL})
"""Name -> model, in the order of the authors' table."""


def trained(task: str, backbone: str, head: Optional[str] = None, model: Optional[str] = None) -> Optional[ModelSpec]:
    """The published K-Net to start from; ``None`` where there is none.

    Args:
        task: of the run; panoptic models serve instance segmentation too.
        backbone: a key of ``BACKBONES``.
        head: semantic: its head, ``upernet`` by default.
        model: name of the one asked for, which is taken where it is published.
    """
    if model is not None and get(model).checkpoint is not None:
        return get(model)
    published = [spec for spec in MODELS.values() if spec.checkpoint is not None and spec.backbone == backbone]
    if task == "semantic":
        published = [spec for spec in published if spec.head == (head or "upernet")]
    for kind in (task, "panoptic" if task == "instance" else task):
        found = [spec for spec in published if spec.task == kind]
        if found:
            return max(found, key=lambda spec: spec.schedule)
    return None


def backbones_trained(task: str) -> list[str]:
    """Backbones with which a K-Net for this task is published."""
    return [name for name in BACKBONES if trained(task, name) is not None]


def get(name: str) -> ModelSpec:
    """The model of that name; the release's spelling (``knet_s3_r50_fpn_1x_coco-panoptic``) is understood too.

    Raises:
        UsageError: there is none; it names the nearest.
    """
    plain = name.lower().removesuffix(".py").replace("_", "-").replace("-coco", "").replace("-ade20k", "-ade")
    if plain in MODELS:
        return MODELS[plain]
    hint = did_you_mean(plain, tuple(MODELS)) or "seg2knet models"
    raise UsageError(f"no model is called {name!r}", expected="a name that seg2knet models lists", hint=hint)
