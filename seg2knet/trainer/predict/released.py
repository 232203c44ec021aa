"""K-Net checkpoints in the authors' names, read as checkpoints of ours: the model is told from the tensors' shapes.

They come from the authors' model zoo, from mmdet 2's and mmseg 0's own training, or from the classic stack, which also
records task, classes and pipeline in ``meta["seg2knet"]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from seg2knet.dataset.classes import ClassList
from seg2knet.errors import DataError, UsageError
from seg2knet.trainer.config import coco as config_coco
from seg2knet.trainer.config import semantic as config_semantic
from seg2knet.trainer.config.backbones import BACKBONES, Backbone
from seg2knet.trainer.config.source import assignment
from seg2knet.trainer.openmmlab import packages, semantic
from seg2knet.trainer.openmmlab.packages import dictionaries, values

KERNELS = "rpn_head.init_kernels.weight"
HIDDEN = "roi_head.mask_head.0.ffn.layers.0.0.weight"
SEMANTIC = "decode_head.kernel_update_head.0.fc_mask.weight"
SEMANTIC_CLASSES = "decode_head.kernel_generate_head.conv_seg"
SCALE, CROP = (1333, 800), (512, 512)

State = Mapping[str, Any]


@dataclass(frozen=True)
class Description:
    """What a released checkpoint is: its task, its classes (panoptic: things first), its backbone as a config for
    mmdet's registry and as a name, ``r101-dcn`` or ``swin-l`` say.
    """

    task: str
    classes: ClassList
    backbone: dict[str, Any]
    backbone_name: str


def is_released(content: Mapping[str, Any]) -> bool:
    """Whether a checkpoint has the authors' names and no config of the current stack, or is of the classic stack."""
    state, meta = content["state_dict"], content.get("meta") or {}
    classic = (meta.get("seg2knet") or {}).get("stack") == "classic"
    return classic or ("cfg" not in meta and (KERNELS in state or SEMANTIC in state))


def describe(content: Mapping[str, Any], path: Path, classes: Optional[ClassList] = None) -> Description:
    """Tell task, classes and backbone of a checkpoint's ``state_dict`` and ``meta``. ``panoptic`` in the file's name
    says the task where the number of classes does not; ``classes``, where it does not name them, are by default those
    of COCO or ADE20K.

    Raises DataError: it is not K-Net's; UsageError: the number of classes is not that of ``classes``, or there are
    none.
    """
    state, meta = content["state_dict"], content.get("meta") or {}
    record = meta.get("seg2knet") or {}
    if KERNELS not in state and SEMANTIC not in state:
        raise DataError(
            "only K-Net's own checkpoints can be used on the current stack", file=path,
            found=f"a {record.get('task', 'model')} with tensors such as {next(iter(state), 'none')}",
            expected=f"tensors named as in the release: {KERNELS}, ...",
            hint="use it on the stack it comes from: --stack classic",
        )  # fmt: skip
    counted = "roi_head.mask_head.0.fc_cls" if KERNELS in state else SEMANTIC_CLASSES
    count = int(state[f"{counted}.weight"].shape[0])
    panoptic = classes.stuff if classes is not None else "panoptic" in path.name or count == 133
    task = record.get("task") or ("semantic" if KERNELS not in state else "panoptic" if panoptic else "instance")
    if record.get("classes"):
        names = list(record["classes"])
        classes = ClassList.of(names, names[record["things"] :] if task == "panoptic" else ())
    elif classes is None:
        classes = published(task)
    if len(classes) != count:
        raise UsageError(
            "the checkpoint does not name its classes", file=path,
            found=f"{count} classes; {len(classes)} are known",
            hint="give them in the order of training: --classes FILE (one name a line, or JSON with things and stuff)",
        )  # fmt: skip
    return Description(task, classes.things_first() if task == "panoptic" else classes, *_backbone(state))


def published(task: str) -> ClassList:
    """The classes of COCO or ADE20K, as mmdet and mmseg have them."""
    if task == "semantic":
        from mmseg.datasets import ADE20KDataset as dataset
    elif task == "instance":
        from mmdet.datasets import CocoDataset as dataset
    else:
        from mmdet.datasets import CocoPanopticDataset as dataset
    meta = getattr(dataset, "METAINFO", None)
    if meta is None:  # before mmdet 3 and mmseg 1
        meta = {"classes": dataset.CLASSES, "thing_classes": getattr(dataset, "THING_CLASSES", ())}
    names = list(meta["classes"])
    return ClassList.of(names, names[len(meta["thing_classes"]) :] if task == "panoptic" else ())


def _backbone(state: State) -> tuple[dict[str, Any], str]:
    """A backbone's config and name."""
    from seg2knet.trainer.openmmlab import pretrained

    if "backbone.patch_embed.projection.weight" in state:
        width = int(state["backbone.patch_embed.projection.weight"].shape[0])
        name = "swin-t" if width == 96 else "swin-l"
        table = "blocks.0.attn.w_msa.relative_position_bias_table"
        tables = [state[f"backbone.stages.{level}.{table}"].shape for level in range(4)]
        return {
            **BACKBONES[name].config(None, scratch=False),
            "embed_dims": width,
            "depths": tuple(pretrained.count(state, f"backbone.stages.{level}.blocks.") for level in range(4)),
            "num_heads": tuple(int(shape[1]) for shape in tables),
            "window_size": (round(int(tables[0][0]) ** 0.5) + 1) // 2,
        }, name
    depth = pretrained.resnet_depth(state, "backbone.")
    if depth is None:
        blocks = [pretrained.count(state, f"backbone.layer{level}.") for level in (1, 2, 3, 4)]
        raise DataError("the checkpoint has a backbone that is not known here", found=f"blocks {blocks}")
    deformed = tuple(f"backbone.layer{level}.0.conv2.conv_offset.weight" in state for level in (1, 2, 3, 4))
    settings = BACKBONES["r101-dcn" if any(deformed) else "r101"].config(None, scratch=False)
    settings.update(depth=depth, base_channels=int(state["backbone.layer1.0.conv1.weight"].shape[0]))
    if "backbone.conv1.weight" in state:
        settings["stem_channels"] = int(state["backbone.conv1.weight"].shape[0])
    if any(deformed):
        settings["stage_with_dcn"] = deformed
    return settings, f"r{depth}{'-dcn' * any(deformed)}"


def completed(content: dict[str, Any], path: Path, classes: Optional[ClassList] = None) -> dict[str, Any]:
    """A released checkpoint with the meta information that ours have: ``meta.cfg``, the config of the model."""
    from seg2knet.trainer.openmmlab import pretrained

    content = {**content, "state_dict": pretrained.modern_swin(content["state_dict"])}
    meta = content.get("meta") or {}
    record = meta.get("seg2knet") or {}
    described = describe(content, path, classes)
    names, panoptic = described.classes.names, described.task == "panoptic"
    groups = {"thing_classes": described.classes.things, "stuff_classes": described.classes.stuff} if panoptic else {}
    palette = [described.classes.color(index) for index in range(len(names))]
    build = _semantic_parts if described.task == "semantic" else _coco_parts
    config = {
        "task": described.task,
        "classes": names,
        **groups,
        "palette": palette,
        "metainfo": {"classes": names, "palette": palette, **groups},
        "data_root": record.get("data", "."),
        **build(described, content["state_dict"], record),
    }
    text = "\n".join(assignment(name, value) for name, value in config.items()) + "\n"
    return {**content, "meta": {**meta, "cfg": text, "seg2knet": record}}


def _coco_parts(described: Description, state: State, record: Mapping[str, Any]) -> dict[str, Any]:
    """Scope, model and pipeline of an instance or panoptic model; what shapes do not tell is as in the release."""
    pipeline, model = record.get("test_pipeline", ()), record.get("model", {})
    panoptic = described.task == "panoptic"
    normalize = _step(pipeline, "Normalize")
    kernels, channels = map(int, state[KERNELS].shape[:2])
    test_cfg = {key: next(values(model.get("test_cfg"), key), default) for key, default in config_coco.RULES.items()}
    test_cfg["max_per_img"] = min(int(test_cfg["max_per_img"]), kernels)
    scale = next(values(pipeline, "img_scale"), SCALE)
    scale = tuple(scale[0] if isinstance(scale[0], (list, tuple)) else scale)
    levels = [int(state[f"neck.lateral_convs.{level}.conv.weight"].shape[1]) for level in range(4)]
    backbone = described.backbone
    modules = ["datasets", "metrics", *(["deformable"] if "dcn" in backbone else [])]
    imports = ["seg2knet.knet.detector", *(f"seg2knet.trainer.openmmlab.{name}" for name in modules)]
    if backbone["type"] == "ResNet":
        backbone = {**backbone, "style": next(values(model.get("backbone"), "style"), "pytorch")}
    return {
        "default_scope": "mmdet",
        "custom_imports": {"imports": imports},
        "model": {
            "type": "KNet",
            "data_preprocessor": {
                "type": "DetDataPreprocessor",
                "mean": list(normalize.get("mean", Backbone.mean)),
                "std": list(normalize.get("std", Backbone.std)),
                "bgr_to_rgb": bool(normalize.get("to_rgb", True)),
                "pad_size_divisor": _step(pipeline, "Pad").get("size_divisor") or 32,
                "pad_mask": False,
                "pad_seg": panoptic,
            },
            "backbone": backbone,
            "neck": {"type": "FPN", "in_channels": levels, "out_channels": channels, "num_outs": 4},
            "num_things": len(described.classes.things) if panoptic else len(described.classes),
            "num_stuff": len(described.classes.stuff) if panoptic else 0,
            "num_kernels": kernels,
            "num_stages": sum(1 for name in state if name.endswith(".fc_mask.weight")),
            "channels": channels,
            "feedforward_channels": int(state[HIDDEN].shape[0]),
            "num_heads": next(values(model.get("roi_head"), "num_heads"), 8),
            "test_cfg": test_cfg,
        },
        "test_pipeline": config_coco.test_pipeline(scale, panoptic),
    }


def _semantic_parts(described: Description, state: State, record: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a semantic model: mmseg's K-Net, whose head is told from the names of its tensors."""
    packages.load(semantic=True)
    crop = next(values(record.get("model", {}).get("test_cfg"), "crop_size"), CROP)
    scale = next(values(record.get("test_pipeline", ()), "img_scale"), (2048, crop[0]))
    return {
        "default_scope": "mmseg",
        "custom_imports": {"imports": [f"seg2knet.trainer.openmmlab.{name}" for name in ("semantic_data", "metrics")]},
        "model": semantic.semantic_model(
            num_classes=len(described.classes), head=semantic_head(state), backbone=described.backbone_name,
            crop_size=tuple(crop), width=int(state[f"{SEMANTIC_CLASSES}.weight"].shape[1]),
        ),
        "test_pipeline": config_semantic.test_pipeline(tuple(scale)),
    }  # fmt: skip


def semantic_head(state: State) -> str:
    """The head that a semantic K-Net refines, told from the names of its tensors: ``fcn``, ``upernet``..."""
    names = " ".join(name for name in state if name.startswith("decode_head.kernel_generate_head."))
    parts = (("lateral_convs", "upernet"), ("psp_modules", "pspnet"), ("aspp_modules", "deeplabv3"))
    return next((head for part, head in parts if part in names), "fcn")


def _step(pipeline: Any, name: str) -> Mapping[str, Any]:
    """The first step of a pipeline, nested ones too, whose type is ``name``."""
    return next((step for step in dictionaries(pipeline) if step.get("type") == name), {})
