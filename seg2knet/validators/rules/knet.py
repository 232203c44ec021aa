"""Rules about a training configuration, KN001 to KN004, KN009, KN010, KN012, KN013: does it fit the data.

The configuration is the one named by ``--config``; without one they have nothing to look at.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Optional

import numpy as np

from seg2knet.dataset.sides import find_sides
from seg2knet.knet.recipe import LearningRate, learning_rate
from seg2knet.validators.model import Fix, Hit, ReplaceText, Severity, rule
from seg2knet.validators.rules.coco_categories import is_background
from seg2knet.validators.subjects.config_file import UNKNOWN, ConfigFile, ConfigValue
from seg2knet.validators.subjects.data import DataSet
from seg2knet.validators.subjects.document import first_few
from seg2knet.validators.subjects.measure import RLE
from seg2knet.validators.subjects.tables import Category

_REGISTERED = re.compile(
    rb"^@[A-Z_]+\.register_module\((?P<options>[^)]*)\)\s*\n(?:@[^\n]*\n)*(?:class|def)\s+(?P<name>\w+)", re.MULTILINE
)


def _categories(dataset: DataSet) -> list[Category]:
    """The classes in the order in which mmdet numbers labels: train's, or the first split's where none is called so;
    a background that is listed is none."""
    parts = [part for part in dataset.parts if part.split == "train"] or dataset.parts
    file = next((part.panoptic or part.instances for part in parts if part.panoptic or part.instances), None)
    return [each for each in file.categories if not is_background(each.name or "")] if file is not None else []


def _names(dataset: DataSet) -> list[str]:
    return [each.name for each in _categories(dataset) if each.name is not None]


def _class_lists(config: ConfigFile) -> Iterator[ConfigValue]:
    """Where the configuration lists all classes; each place it is written at, once."""
    for entry in config.having("classes", "CLASSES", "class_names"):
        if not isinstance(entry.node, ast.Name) and isinstance(entry.value, (str, list, tuple)):
            yield entry


def _written(names: Sequence[Any], like: Any = ()) -> str:
    """Names as Python text, a list where ``like`` is one, else a tuple."""
    inside = ", ".join(repr(each) for each in names)
    return f"[{inside}]" if isinstance(like, list) else f"({inside}{',' if len(names) == 1 else ''})"


def _hit(config: ConfigFile, entry: ConfigValue, message: str, **more: Any) -> Hit:
    return Hit(f"{'.'.join(map(str, entry.path))} (line {entry.node.lineno}): {message}", config.path, **more)


def _wrong_value(config: ConfigFile, entry: ConfigValue, message: str, right: str, fix: Optional[Fix] = None) -> Hit:
    """A hit whose fix writes ``right`` in the place of the value, where a value and not a name is written there."""
    edits = () if isinstance(entry.node, ast.Name) else [config.replaced(entry.node, right)]
    found = f"{entry.value:g}" if isinstance(entry.value, float) else str(entry.value)
    return _hit(config, entry, message, expected=right, found=found, edits=edits, fix=fix)


@rule("KN001", "classes-order-differs-from-json", Severity.ERROR, Fix.SAFE, on="dataset")
def classes_order_differs(dataset: DataSet) -> Iterator[Hit]:
    """The configuration lists the classes in another order than the annotation file, or other classes.

    mmdet numbers labels by the order of the categories in the JSON file and names them by the list in the
    configuration. With another order every class gets another's name: the figures by class and all predictions are
    mislabelled, without an error. A class that the JSON does not have is silently dropped. The fix writes the list in
    the JSON's order, where both have the same classes.
    """
    config = dataset.config_file
    names = _names(dataset)
    for entry in _class_lists(config) if names else ():
        stated = entry.value
        if isinstance(stated, str) or UNKNOWN in stated or not all(isinstance(each, str) for each in stated):
            continue
        listed, edits = list(stated), []
        if listed == [each for each in names if each in listed] and set(listed) == set(names):
            continue
        if sorted(listed) == sorted(names):
            message = "the classes are not in the order of the annotation file"
            edits = [config.replaced(entry.node, _written(names, stated))]
        else:
            odd = [(each, "configuration") for each in listed if each not in names]
            odd += [(each, "annotation file") for each in names if each not in listed]
            message = "the classes are not those of the annotation file"
            message += f": only the {odd[0][1]} has {odd[0][0]!r}" if odd else ", each once"
        yield _hit(config, entry, message, expected=first_few(names, 6), found=first_few(listed, 6), edits=edits)


@rule("KN002", "classes-is-a-string", Severity.ERROR, Fix.SAFE, on="dataset")
def classes_is_a_string(dataset: DataSet) -> Iterator[Hit]:
    """The list of classes is a string: a tuple of one lacks its comma.

    `classes = ('car')` is `'car'`, and a loader that goes through it finds the classes `c`, `a` and `r`, none of which
    the data have: it trains on nothing. The fix writes the comma: `('car',)`.
    """
    config = dataset.config_file
    message = "the classes are one string, not a list of names"
    for entry in _class_lists(config):
        if isinstance(entry.value, str) and not entry.value.endswith((".txt", ".json", ".yaml")):
            edit, right = config.replaced(entry.node, _written([entry.value])), _written([entry.value])
            before, after = config.text[: edit.start].rstrip(), config.text[edit.end :].lstrip()
            # The brackets around a single string are not part of what Python calls the expression. ``f('car')`` and
            # ``dict(classes='car')`` end in a bracket too, but do not begin with one right there.
            if before.endswith(b"(") and after.startswith(b")") and not re.search(rb"\w\($", before):
                edit = config.replaced(entry.node, f"{entry.value!r},")
            yield _hit(config, entry, message, expected=right, found=repr(entry.value), edits=[edit])


def _is_panoptic(config: ConfigFile) -> bool:
    task, stuff, types = (config.having(*keys) for keys in (("task",), ("num_stuff", "num_stuff_classes"), ("type",)))
    with_stuff = any(isinstance(entry.value, int) and entry.value > 0 for entry in stuff)
    named = any("anoptic" in entry.value for entry in types if isinstance(entry.value, str))
    return any(entry.value == "panoptic" for entry in task) or (with_stuff and named)


def _count_hits(config: ConfigFile, message: str, counts: dict[str, int]) -> Iterator[Hit]:
    """Class counts in the model that are not the data's; ``counts``: key -> count."""
    for entry in config.having(*counts):
        right = counts[str(entry.key)]
        if entry.path[0] == "model" and type(entry.value) is int and entry.value != right:
            yield _wrong_value(config, entry, message, str(right))


@rule("KN003", "num-classes-inconsistent", Severity.ERROR, Fix.SAFE, on="dataset")
def num_classes_inconsistent(dataset: DataSet) -> Iterator[Hit]:
    """A class count in the configuration is not that of the data.

    K-Net's published configurations contain it in five places (80 by default). One that is forgotten makes a network
    with the wrong number of outputs: too few stop with a CUDA assertion that names no line, too many train classes that
    are not there. The fix writes the data's count in every place.
    """
    config = dataset.config_file
    count = len(_categories(dataset))
    keys = ("num_classes", *(() if _is_panoptic(config) else ("num_things", "num_thing_classes")))
    yield from _count_hits(config, "not the number of classes", dict.fromkeys(keys, count) if count else {})


@rule("KN004", "thing-stuff-counts-wrong", Severity.ERROR, Fix.SAFE, on="dataset")
def thing_stuff_counts_wrong(dataset: DataSet) -> Iterator[Hit]:
    """The counts of thing and stuff classes are not those of the data.

    K-Net gives each stuff class a kernel of its own behind those of the instances, in the order of the classes. With
    other counts a stuff class is trained as another's; for instance segmentation the number of stuff classes must be 0
    everywhere, and the published code's default is 53. The fix writes the data's counts in every place.
    """
    config = dataset.config_file
    categories = _categories(dataset)
    stuff = sum(each.isthing == 0 for each in categories)
    counts = dict.fromkeys(("num_stuff", "num_stuff_classes"), stuff)
    if _is_panoptic(config):
        counts.update(dict.fromkeys(("num_things", "num_thing_classes"), len(categories) - stuff))
    yield from _count_hits(config, "not the number of thing or stuff classes", counts if categories else {})


@rule("KN009", "registry-name-clash", Severity.ERROR, Fix.SAFE, on="dataset")
def registry_name_clash(dataset: DataSet) -> Iterator[Hit]:
    """A module that the configuration imports registers a name that mmdet has already.

    Training stops at import with `KeyError: 'KNet is already registered in detector'`. Newer releases of mmdet 2
    brought modules of the same names as K-Net's published code; data set classes are often called like mmdet's own. The
    fix says `force=True` where the module registers the name, so that the module's own class is the one in use.
    """
    config = dataset.config_file
    imports = config.at("custom_imports", "imports")
    listed = imports if isinstance(imports, (list, tuple)) else [imports]
    modules = [module for module in listed if isinstance(module, str) and module.strip("./")]
    for path in filter(None, (_file_of(module, config.path) for module in modules)):
        text = path.read_bytes()
        for match in _REGISTERED.finditer(text):
            name, options, end = match["name"].decode(), match["options"].rstrip(), match.end("options")
            if name not in registered_in_mmdet() or b"force" in options:
                continue
            line = text.count(b"\n", 0, match.start("name")) + 1
            joint = ", " if options and not options.endswith(b",") else ""
            edits = [ReplaceText(path, end, end, f"{joint}force=True")]
            message, expected = f"line {line}: mmdet has registered {name} already", "register_module(force=True)"
            yield Hit(message, path, expected=expected, found=name, edits=edits)


def _file_of(module: str, config: Path) -> Optional[Path]:
    """The source of an imported module that stands beside the configuration, above it, or where the user is."""
    inside = Path(module.replace(".", "/"))
    folders = (Path.cwd(), *config.resolve().parents[:6])
    paths = (folder / end for folder in folders for end in (inside.with_suffix(".py"), inside / "__init__.py"))
    return next((path for path in paths if path.is_file() and "site-packages" not in path.parts), None)


@lru_cache(maxsize=1)
def registered_in_mmdet() -> frozenset[str]:
    """The names that the installed mmdet registers, read from its source; empty where none is installed."""
    spec = find_spec("mmdet")
    folders = (spec.submodule_search_locations or []) if spec is not None else []
    parts = [Path(folder, part) for folder in folders for part in ("models", "datasets", "core")]
    texts = (path.read_bytes() for part in parts for path in part.rglob("*.py"))
    return frozenset(match["name"].decode() for text in texts for match in _REGISTERED.finditer(text))


@rule("KN010", "lr-not-scaled-to-batch", Severity.WARNING, Fix.SAFE, on="dataset")
def lr_not_scaled(dataset: DataSet) -> Iterator[Hit]:
    """The learning rate is not that of the batch size.

    K-Net's 1e-4 is for 16 images a step (mmsegmentation's on a Swin backbone: 6e-5). With 2 images and the same rate
    training diverges, or ends far below what is possible; the rule is to scale in proportion. A run from scratch, where
    nothing is pretrained, takes 16 times the rate, up to a limit.

    Nothing is reported within a factor of two of the right rate, or where `auto_scale_lr` is on. One GPU is assumed.

    The fix writes the recipe's rate for the batch; it is unsafe from scratch and on Swin, where several may be meant.
    """
    config = dataset.config_file
    batch, recipes = _batch(config), _recipes(config)
    rates = (each for each in config.having("lr") if each.path[0] in ("optim_wrapper", "optimizer"))
    entry = next((each for each in rates if config.at(*each.path[:-1], "type") in ("AdamW", "Adam")), None)
    if entry is None or batch is None or not isinstance(entry.value, (int, float)) or entry.value <= 0:
        return
    right = [rate.at(batch) for rate in recipes]
    if config.at("auto_scale_lr", "enable") is not True and not min(right) / 2 <= entry.value <= max(right) * 2:
        fix = None if len({rate.base for rate in recipes}) == 1 else Fix.UNSAFE
        yield _wrong_value(config, entry, f"not the learning rate for {batch} images a step", f"{right[0]:g}", fix)


def _recipes(config: ConfigFile) -> list[LearningRate]:
    """The recipe's rates that the configuration may mean, the likeliest first."""
    backbone = config.at("model", "backbone")
    backbone = backbone if isinstance(backbone, dict) else {}
    pretrained = backbone.get("init_cfg") or backbone.get("pretrained") or config.at("model", "pretrained")
    if not pretrained and not config.at("load_from"):
        return [learning_rate(scratch=True, narrow=narrow) for narrow in (False, True)]
    swin = "Swin" in str(backbone.get("type"))
    rates = [learning_rate(), learning_rate(semantic_swin=True)] if swin else [learning_rate()]
    return [LearningRate(rate.base) for rate in rates] + rates  # in proportion as the authors have it, or by the root


def _batch(config: ConfigFile) -> Optional[int]:
    """Images a step."""
    places = (("total_batch_size",), ("train_dataloader", "batch_size"), ("data", "samples_per_gpu"))
    found = next((config.at(*path) for path in places if config.at(*path) is not None), None)
    steps = config.at("optim_wrapper", "accumulative_counts") or 1
    return found * steps if type(found) is type(steps) is int and 0 < found * steps < 1e9 else None


@rule("KN012", "rle-without-poly2mask", Severity.WARNING, Fix.SAFE, on="dataset")
def rle_without_poly2mask(dataset: DataSet) -> Iterator[Hit]:
    """Objects are RLEs, and the configuration loads annotations with `poly2mask=False`.

    mmdet 3 then silently skips every RLE: holes, crowds, all that a mask tool wrote. The fix writes `poly2mask=True`.
    """
    config = dataset.config_file
    files = (part.instances for part in dataset.parts if part.instances is not None)
    count = sum(int(np.count_nonzero(file.shapes.kinds == RLE)) for file in files)
    for entry in config.having("poly2mask") if count else ():
        if entry.value is False:
            yield _wrong_value(config, entry, f"{count:,} objects are RLEs, which mmdet 3 then skips", "True")


@rule("KN013", "flip-mixes-left-and-right", Severity.WARNING, on="dataset")
def flip_mixes_sides(dataset: DataSet) -> Iterator[Hit]:
    """The configuration flips images, and classes differ by left and right alone.

    A flip turns a left door into a right one, and mmdet's `RandomFlip` keeps the label: half of what is learned of them
    is wrong. `seg2knet train` writes configurations with a step `SwapSides` after the flip; else flip with probability
    0.
    """
    config = dataset.config_file
    types, pairs = list(config.having("type")), find_sides(_names(dataset)).pairs
    if not pairs or any(entry.value == "SwapSides" for entry in types):
        return
    for entry in (entry for entry in types if entry.value == "RandomFlip"):
        step = config.at(*entry.path[:-1])
        likely = isinstance(step, dict) and step.get("prob", step.get("flip_ratio")) and not step.get("swap_seg_labels")
        if likely and step.get("direction") not in ("vertical", "diagonal"):
            shown = ", ".join(f"{left} and {right}" for left, right in pairs[:3])
            yield _hit(config, entry, "flipped images keep the labels of sided classes", found=shown, expected="prob 0")
