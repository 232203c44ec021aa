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
from seg2knet.errors import EnvironmentProblem, UsageError
from seg2knet.trainer.config.backbones import BACKBONES, DEFORMABLE
from seg2knet.trainer.options import did_you_mean

METRICS = {"instance": "mask AP", "panoptic": "PQ", "semantic": "mIoU"}
SOURCES = {
    "release": ("COCO val2017", "arXiv 2106.14855 and its release"),
    "test-dev": ("COCO test-dev", "arXiv 2106.14855, abstract"),
    "ade": ("ADE20K val", "arXiv 2106.14855 and its release"),
    "table": ("ADE20K val", "arXiv 2106.14855, table 3"),
    "best": ("ADE20K val, the paper's best", "arXiv 2106.14855, abstract"),
    "zoo": ("ADE20K val", "mmsegmentation, configs/knet"),
}
"""Where a figure was published -> the data it was measured on, and the source."""
COCO_FOLDERS = ("https://download.openmmlab.com/mim-example/knet/det/knet/",)
ADE_FOLDERS = (
    "https://download.openmmlab.com/mmsegmentation/v0.5/knet/",
    "https://mmassets.onedl.ai/mmsegmentation/v0.5/knet/",
)
TABLE = """
r50-fpn-1x                  r50      1x        release=34.0               r50_fpn_1x_coco 20211016_113017-8a8645d4
r50-fpn-ms-3x               r50      3x        release=37.8
r101-fpn-ms-3x              r101     3x        release=39.2
r101-dcn-fpn-ms-3x          r101-dcn 3x        release=40.5               r101_dcn-c3-c5_fpn_ms-3x_coco 20211017_054515-163a3126
swin-l-fpn-ms-3x            swin-l   3x        -
r50-fpn-1x-panoptic         r50      1x        release=44.3               r50_fpn_1x_coco-panoptic 20211017_151750-395fbcba
r50-fpn-ms-3x-panoptic      r50      3x        release=47.1               r50_fpn_ms-3x_coco-panoptic 20211017_054613-4375b8be
r101-fpn-ms-3x-panoptic     r101     3x        release=48.4               r101_fpn_ms-3x_coco-panoptic 20211017_054501-9c600b0c
r101-dcn-fpn-ms-3x-panoptic r101-dcn 3x        release=49.6               r101_dcn-c3-c5_fpn_ms-3x_coco-panoptic 20211019_191549-6d13fab7
swin-l-fpn-ms-3x-panoptic   swin-l   3x        release=54.6,test-dev=55.2 swin-l_fpn_ms-3x_16x2_coco-panoptic 20211020_062341-62f3bbff
fcn-r50-ade                 r50      fcn       table=43.3,zoo=43.6        fcn_r50-d8_8x2_512x512 20220228_043751-abcab920
pspnet-r50-ade              r50      pspnet    table=43.9,zoo=44.18       pspnet_r50-d8_8x2_512x512 20220228_054634-d2c72240
deeplabv3-r50-ade           r50      deeplabv3 table=44.6,zoo=45.06       deeplabv3_r50-d8_8x2_512x512 20220228_041642-00c8fbeb
upernet-r50-ade             r50      upernet   table=43.6,zoo=43.45       upernet_r50-d8_8x2_512x512 20220304_125657-215753b0
upernet-swin-t-ade          swin-t   upernet   ade=45.4,zoo=45.84         upernet_swin-t_8x2_512x512 20220303_133059-7545e1dc
upernet-swin-l-ade          swin-l   upernet   table=52.0,zoo=52.05       upernet_swin-l_8x2_512x512 20220303_154559-d8da9a90
upernet-swin-l-640-ade      swin-l   upernet   best=54.3,zoo=52.21        upernet_swin-l_8x2_640x640 20220301_220747-8787fc71
"""  # noqa: E501
"""The authors' table, in its order: name without ``knet-s3-``, backbone, schedule or head, figures, and where trained
weights are published: their file's name without ``knet_s3_``, and its time stamp."""


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
    """A model that can be asked for by name."""

    name: str
    task: str
    backbone: str  # a key of BACKBONES
    schedule: str  # 1x or 3x (with multi-scale) epochs on COCO; 80k: iterations of 16 crops
    head: Optional[str] = None  # semantic: the head whose prediction the kernels refine
    crop: Optional[tuple[int, int]] = None  # semantic: height and width of a training crop
    figures: tuple[Figure, ...] = ()  # what was published, the authors' first
    checkpoint: Optional[Source] = None  # where trained weights are published

    def require(self) -> None:
        """Raises EnvironmentProblem: it needs deformable convolution and nothing here provides it."""
        if DEFORMABLE not in BACKBONES[self.backbone].imports:
            return
        from seg2knet.trainer.openmmlab import deformable

        try:
            deformable.operator()
        except EnvironmentProblem as problem:
            hint = f"{problem.hint}; or take --model {self.name.replace('-dcn', '')}, which needs none"
            raise EnvironmentProblem(
                problem.message, found=problem.found, expected=problem.expected, hint=hint
            ) from None

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for ``seg2knet models --json``."""
        source = self.checkpoint
        return {**asdict(self), "checkpoint": source.folders[0] + source.file if source is not None else None}


def _spec(name: str, backbone: str, kind: str, figures: str, folder: str = "", stamp: str = "") -> ModelSpec:
    """A row of ``TABLE``."""
    name, folder = f"knet-s3-{name}", f"knet_s3_{folder}"
    semantic = name.endswith("-ade")
    task = "semantic" if semantic else "panoptic" if name.endswith("-panoptic") else "instance"
    pairs = [pair.split("=") for pair in figures.split(",") if pair != "-"]
    published = tuple(Figure(METRICS[task], float(value), *SOURCES[where]) for where, value in pairs)
    folder += "_adamw_80k_ade20k" if semantic else ""
    sites = ADE_FOLDERS if semantic else COCO_FOLDERS
    source = Source(f"{folder}_{stamp}.pth", tuple(f"{site}{folder}/" for site in sites), f"K-Net, {name}")
    checkpoint = source if stamp else None
    if not semantic:
        return ModelSpec(name, task, backbone, kind, figures=published, checkpoint=checkpoint)
    crop = 640 if "-640-" in name else 512
    return ModelSpec(name, task, backbone, "80k", kind, (crop, crop), published, checkpoint)


_ALL = (_spec(*row.split()) for row in TABLE.strip().splitlines())
MODELS: Mapping[str, ModelSpec] = MappingProxyType({spec.name: spec for spec in _ALL})
"""Name -> model, in the order of the authors' table."""


def trained(task: str, backbone: str, head: Optional[str] = None, model: Optional[str] = None) -> Optional[ModelSpec]:
    """The published K-Net to start from: the `model` asked for, else of this backbone and task, panoptic ones for
    instance segmentation too, and (semantic) of this head, UPerNet by default."""
    if model is not None and get(model).checkpoint is not None:
        return get(model)
    published = [spec for spec in MODELS.values() if spec.checkpoint is not None and spec.backbone == backbone]
    if task == "semantic":
        published = [spec for spec in published if spec.head == (head or "upernet")]
    for kind in (task, "panoptic" if task == "instance" else task):
        of_kind = [spec for spec in published if spec.task == kind]
        if of_kind:
            return max(of_kind, key=lambda spec: spec.schedule)
    return None


def get(name: str) -> ModelSpec:
    """The model of that name; the release's spelling (``knet_s3_r50_fpn_1x_coco-panoptic``) is understood too.

    Raises UsageError: there is none; it names the nearest.
    """
    plain = name.lower().removesuffix(".py").replace("_", "-").replace("-coco", "").replace("-ade20k", "-ade")
    if plain in MODELS:
        return MODELS[plain]
    hint = did_you_mean(plain, tuple(MODELS)) or "seg2knet models"
    raise UsageError(f"no model is called {name!r}", expected="a name that seg2knet models lists", hint=hint)
