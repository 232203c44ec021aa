"""What ``seg2knet convert`` can be asked for: the command's options and their help are made from these fields."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, FrozenSet, Optional, Tuple, Union

from pydantic import BaseModel, ConfigDict, Field, field_validator
from typing_extensions import Literal

from seg2knet.converters.splitting.splits import parse_ratios
from seg2knet.dataset.layout import DEFAULT_OUT, SPLITS
from seg2knet.dataset.text import clean_name
from seg2knet.errors import UsageError

DEFAULT_SHARES = {"train": 0.8, "val": 0.2}


@dataclass(frozen=True)
class Source:
    """A source and the split that all of it is, where the user says so (``val=./testset``); whether it was unpacked."""

    path: Path
    split: Optional[str] = None
    unpacked: bool = False

    @classmethod
    def parse(cls, text: Union[str, Path]) -> Source:
        """From ``PATH`` or ``SPLIT=PATH``."""
        name, equals, rest = str(text).partition("=")
        if equals and name in SPLITS and rest:
            return cls(Path(rest).expanduser(), name)
        return cls(Path(text).expanduser())


def option(default: Any, help: str, metavar: Optional[str] = None, **more: Any) -> Any:
    """An option of ``seg2knet convert``: its default value, its help, what stands for its value there."""
    return Field(default, description=help, json_schema_extra={"metavar": metavar} if metavar else None, **more)


class ReaderOptions(BaseModel):
    """Options that every reader takes; a reader with more makes a subclass. Each field is an option of ``seg2knet
    convert FORMAT``: ``min_area`` is ``--min-area``, a ``bool`` a flag, a ``Literal`` a choice, the description help.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    boxes: Literal["refuse", "as-polygons"] = option(
        "refuse", "What to do with boxes that have no outline: skip them as an error, or take four corners."
    )
    images: Optional[Path] = option(None, "Folder of the images, where they do not stand by the annotations.")


class ConvertOptions(BaseModel):
    """Options of a conversion. Lists may be texts with commas, ``split`` and ``mapping`` as on the command line."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    to: Tuple[str, ...] = option(
        ("coco",),
        "Targets: coco, panoptic, ade, yolo, labelme, cvat, labelstudio, voc, masks; several with commas.",
    )
    out: Optional[Path] = option(None, "Folder to make [data/coco; ade: data/ade/ADEChallengeData2016].")
    split: Optional[Dict[str, float]] = option(
        None, "0.8/0.1/0.1 (train, val, test), train=0.9,test=0.1, or train.", "SHARES"
    )
    resplit: bool = option(False, "Divide again what the source has divided.")
    group_by: Optional[str] = option(None, "Keep images of a folder, or of one match, in one split.", "folder|REGEX")
    seed: int = option(0, "Of the division.")
    classes: Optional[Path] = option(None, "Class file: one name a line; JSON or YAML with things, stuff, colours.")
    mapping: Dict[str, str] = option({}, "Rename a class; two of one name are merged.", "OLD=NEW")
    drop: FrozenSet[str] = option(frozenset(), "Leave a class out.", "CLASS")
    stuff: Optional[FrozenSet[str]] = option(None, "Classes that are stuff, not things.", "A,B")
    min_area: int = option(0, "Leave out objects of fewer pixels.", ge=0)
    polygons: bool = option(False, "Masks become polygons; what that changes is counted.")
    layout: Literal["year", "plain"] = option("year", "train2017/ ... or train/ ...")
    images: Literal["link", "copy", "symlink", "none"] = option(
        "link", "How images get to the target; link: hard link, else copy."
    )
    exif: Literal["upright", "keep"] = option(
        "upright", "Re-save turned photographs upright, or keep their orientation tag."
    )
    overlap: Optional[Literal["z-order", "small-first", "last", "error"]] = option(
        None, "Who has a pixel that several claim [as the source paints, else small-first]."
    )
    void_class: Optional[str] = option(None, "Class of pixels that nobody claims (panoptic).", "NAME")
    boxes_only: bool = option(False, "yolo: boxes in place of outlines.")
    mask_kinds: Tuple[str, ...] = option(
        ("index",), "masks: index, instances (Cityscapes ids), colors, several with commas."
    )
    predictions: bool = option(False, "labelstudio: write objects as predictions to be corrected.")
    lossless: bool = option(False, "Stop where a target cannot hold something, instead of listing it.")
    dry_run: bool = option(False, "Read everything, write nothing, print the ledger.")
    jobs: Optional[int] = option(None, "Worker processes [all cores].", ge=1)
    resume: bool = option(False, "Continue where a run that died stopped.")
    overwrite: bool = option(False, "Replace a folder that seg2knet did not make.")
    engine: Literal["local", "ray"] = option("local", "Where to work.")
    ray_address: Optional[str] = option(None, "Of the Ray cluster.", "ADDRESS")
    allow_skips: bool = option(False, "Exit 0 though objects were skipped.")
    sheet: bool = option(True, "Leave out sheet.jpg, some labelled images of each split.")
    checked: bool = option(True, "Do not check the result.", alias="validate")
    reader: Optional[ReaderOptions] = Field(None, exclude=True)

    @field_validator("to", "mask_kinds", "stuff", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("split", mode="before")
    @classmethod
    def _shares(cls, value: Any) -> Any:
        return parse_ratios(value) if isinstance(value, (str, dict)) else value

    @field_validator("mapping", mode="before")
    @classmethod
    def _renamings(cls, value: Any) -> Any:
        pairs = value.items() if isinstance(value, dict) else [text.partition("=")[::2] for text in value]
        for pair in pairs:
            if not all(pair):
                raise UsageError("not a renaming", found=f"--map {'='.join(pair)}", expected="--map OLD=NEW")
        return {old: clean_name(new) for old, new in pairs}

    @field_validator("void_class")
    @classmethod
    def _named(cls, value: Optional[str]) -> Optional[str]:
        return clean_name(value) if value else None

    @property
    def targets(self) -> tuple[str, ...]:
        """The writers by name; panoptic stands beside instances, so it asks for coco too."""
        wanted = list(dict.fromkeys(self.to))
        if not wanted:
            raise UsageError("no target", hint="name one: --to coco")
        if "panoptic" in wanted and "coco" not in wanted:
            wanted.insert(0, "coco")
        order = list(DEFAULT_OUT)
        return tuple(sorted(wanted, key=lambda name: order.index(name) if name in order else len(order)))

    @property
    def year(self) -> str:
        """What follows a split's name in folders and files."""
        return "2017" if self.layout == "year" else ""

    def root(self, target: str) -> Path:
        return self.out if self.out is not None else DEFAULT_OUT.get(target, Path("data") / target)

    def recorded(self) -> dict[str, Any]:
        """What decides the bytes of the result, as plain data."""
        values: dict[str, Any] = self.model_dump(exclude=_NOT_RECORDED, mode="json")
        values.update(to=list(self.targets), classes=self.classes.name if self.classes else None)
        for name in ("drop", "stuff"):
            values[name] = sorted(values[name]) if values[name] is not None else None
        values["mapping"] = dict(sorted(self.mapping.items()))
        return {"map" if name == "mapping" else name: value for name, value in values.items()}


_NOT_RECORDED = {
    "out", "jobs", "engine", "ray_address", "dry_run", "resume", "overwrite", "checked", "allow_skips", "lossless",
    "sheet",
}  # fmt: skip
