"""Runs that do not begin with data: of a config file as it stands, or of a run that was stopped."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from seg2knet.errors import Seg2KNetError, UsageError
from seg2knet.trainer.config import build as configs
from seg2knet.trainer.config.source import render
from seg2knet.trainer.options import TrainOptions
from seg2knet.trainer.run import launch, work_dirs


def given(options: TrainOptions) -> tuple[Path, Path]:
    """A config file as it stands; what it says of its work dir is taken where that is free.

    Raises:
        UsageError: no such file, or options that the config decides.
    """
    from mmengine.config import Config

    assert options.config is not None
    if not options.config.is_file():
        raise UsageError("no such config", file=options.config)
    if options.config.suffix != ".py":
        found = options.config.suffix or "a name without ending"
        raise UsageError("a config is a Python file", file=options.config, found=found, expected=".py")
    shaping = [name for name in options.shaping() if name != "cfg_options"]
    if shaping:
        given = ", ".join("--" + name.replace("_", "-") for name in shaping)
        raise UsageError(
            f"the config decides what {given} would", file=options.config, hint="change it there, or by --cfg-options"
        )
    try:
        config = Config.fromfile(options.config, import_custom_modules=False)
    except Seg2KNetError:
        raise
    except Exception as error:  # whatever a user's Python file raises
        raise UsageError("the config cannot be read", file=options.config, found=str(error).splitlines()[0]) from None
    missing = [name for name in ("task", "classes", "train_dataloader", "model") if name not in config]
    if missing:
        raise UsageError(
            "not a config of seg2knet train", file=options.config, found=f"no {', '.join(missing)}",
            hint="make one with: seg2knet train DATA --dry-run",
        )  # fmt: skip
    named = Path(options.work_dir or config.get("work_dir", "work_dirs/run"))
    if options.work_dir is not None:
        work_dirs.must_be_free(named)
    work_dir = named if options.work_dir is not None else work_dirs.next_free(named, options)
    if options.config.resolve() == (work_dir / "config.py").resolve() and not options.cfg_options:
        return options.config, work_dir
    text = options.config.read_text(encoding="utf-8")
    content = config.to_dict()
    for path, value in {**options.cfg_options, "work_dir": str(work_dir)}.items():
        head, *rest = configs.put(content, path, value)
        text = _assign(text, str(head), "".join(f"[{step!r}]" for step in rest), value)
    work_dir.mkdir(parents=True, exist_ok=True)
    config_file = work_dir / "config.py"
    if launch.is_first(options):
        config_file.write_text(text, encoding="utf-8")
    return config_file, work_dir


def _assign(text: str, name: str, steps: str, value: Any) -> str:
    """A config's text with an assignment more, behind all that set the variable, so that what is made of it follows."""
    lines = text.rstrip("\n").split("\n")
    own = [node.end_lineno for node in ast.parse(text).body if _may_set(node, name)]
    place = (own[-1] if own else None) or len(lines)
    lines[place:place] = ["# changed by --config and --cfg-options", f"{name}{steps} = {render(value)}"]
    return "\n".join(lines) + "\n"


def _may_set(statement: ast.stmt, name: str) -> bool:
    """Whether a statement may change a variable: an assignment to it or a part, or anything else that mentions it."""
    parts: list[Any] = [statement]
    if isinstance(statement, ast.Assign):
        parts = statement.targets
    elif isinstance(statement, (ast.AugAssign, ast.AnnAssign)):
        parts = [statement.target]
    return any(isinstance(each, ast.Name) and each.id == name for part in parts for each in ast.walk(part))


def resumed(options: TrainOptions) -> tuple[Path, Path, list[str]]:
    """The config and work dir of the run to go on with, and the options that were given but not compared with it.

    Raises:
        UsageError: there is none, or the options differ from its config.
    """
    work_dir = options.work_dir or (options.config.parent if options.config else None) or work_dirs.latest()
    config_file = work_dir / "config.py"
    for file in (config_file, work_dir / "last.pth"):
        if not file.is_file():
            raise UsageError(
                "nothing to go on with", file=work_dir, found=f"no {file.name}",
                hint="name the run's folder: --resume --work-dir work_dirs/NAME",
            )  # fmt: skip
    return config_file, work_dir, _same_as_before(options, config_file) if options.shaping() else []


def _same_as_before(options: TrainOptions, config_file: Path) -> list[str]:
    """Options given with ``--resume`` are those of the run: a run cannot change midway.

    Returns:
        those that cannot be read off the config.

    Raises:
        UsageError: they differ.
    """
    from mmengine.config import Config

    config = Config.fromfile(config_file, import_custom_modules=False)
    stands: dict[str, Any] = {
        "epochs": config.get("max_epochs"),
        "batch_size": config.get("total_batch_size"),
        "lr": config.optim_wrapper.optimizer.lr,
        "task": config.get("task"),
        "seed": config.randomness.seed,
        "amp": config.optim_wrapper.get("type") == "AmpOptimWrapper",
        "accumulate": config.optim_wrapper.get("accumulative_counts", 1),
        "balance": config.train_dataloader.sampler.get("balance", 0.0),
        "early_stop": config.get("early_stop", 0),
        "compile": config.get("compile", False),
        "ema": any(hook.get("type") == "EMAHook" for hook in config.get("custom_hooks", [])),
    }
    unread = []
    for name in options.shaping():
        given = getattr(options, name)
        flag = "--" + ("no-" if given is False else "") + name.replace("_", "-")
        if name not in stands:
            unread.append(flag)
        elif given != stands[name]:
            raise UsageError(
                f"{flag if isinstance(given, bool) else f'{flag} {given}'} is not what the run was started with",
                file=config_file,
                found=str(stands[name]),
                hint=f"leave {flag} away to go on; or change the config file, if you know what you do",
            )
    return unread
