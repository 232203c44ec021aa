"""Where a run puts what it makes; and runs that do not begin with data: of a config file, or of a stopped run."""

from __future__ import annotations

import shutil
from pathlib import Path

from seg2knet.errors import UsageError
from seg2knet.trainer.config.files import assign, put, read_config, require_plain
from seg2knet.trainer.options import INFO, TrainOptions, flag
from seg2knet.trainer.run import launch
from seg2knet.trainer.run.records import FILES, LOG


def choose_work_dir(options: TrainOptions, named: Path) -> Path:
    """``--work-dir``, or the first of `named`, ``NAMED-2``, ``NAMED-3``... that holds no run; `named` to overwrite it.

    Raises UsageError: the folder that was asked for holds the checkpoints of another run.
    """
    if options.overwrite:
        return options.work_dir or named
    if options.work_dir is None:
        if options.nodes > 1 or options.launcher != "torchrun":
            return named  # processes that are started apart from one another must agree on a name
        folders = (named, *(named.with_name(f"{named.name}-{number}") for number in range(2, 10_000)))
        return next(folder for folder in folders if not any(folder.glob("*.pth")))
    if any(options.work_dir.glob("*.pth")):
        raise UsageError(
            "the work dir holds another run's checkpoints",
            file=options.work_dir,
            hint="--resume continues it, --overwrite starts over in it; another --work-dir starts a new run",
        )
    return options.work_dir


def start_over(work_dir: Path, options: TrainOptions) -> None:
    """With ``--overwrite``: remove what a run left in its work dir, but for its config; what no run wrote stays.

    Raises UsageError: the new run is to start from one of these files.
    """
    was_run = all((work_dir / name).is_file() for name in (LOG, "config.py"))  # others have a labels.txt too
    if not options.overwrite or not was_run or not launch.is_first(options):
        return
    files = [work_dir / name for file in FILES for name in (file, f".{file}.part")]
    for start in (options.load_from, options.backbone_weights):
        if start is not None and Path(start).resolve() in [file.resolve() for file in files]:
            raise UsageError("--overwrite would remove what the run starts from", file=start, hint="move it elsewhere")
    for file in files:
        file.unlink(missing_ok=True)
    for log in work_dir.glob("20*_*/20*_*.log"):
        if log.stem == log.parent.name:  # mmengine's: the log and curves of a start
            shutil.rmtree(log.parent)


def given(options: TrainOptions) -> tuple[Path, Path]:
    """The config file of ``--config`` in its work dir, with what ``--cfg-options`` change; and the work dir.

    Raises UsageError: no such file, or options that the config decides.
    """
    assert options.config is not None
    if not options.config.is_file():
        raise UsageError("no such config", file=options.config)
    if options.config.suffix != ".py":
        found = options.config.suffix or "a name without ending"
        raise UsageError("a config is a Python file", file=options.config, found=found, expected=".py")
    shaping = ", ".join(flag(name) for name in options.shaping() if name != "cfg_options")
    if shaping:
        hint = "change it there, or by --cfg-options"
        raise UsageError(f"the config decides what {shaping} would", file=options.config, hint=hint)
    _check_trusted(options.config, options)
    config = read_config(options.config, register=False)
    missing = [name for name in ("task", "classes", "train_dataloader", "model") if name not in config]
    if missing:
        raise UsageError(
            "not a config of seg2knet train", file=options.config, found=f"no {', '.join(missing)}",
            hint="make one with: seg2knet train DATA --dry-run",
        )  # fmt: skip
    work_dir = choose_work_dir(options, Path(config.get("work_dir", "work_dirs/run")))
    in_place = options.config.resolve() == (work_dir / "config.py").resolve() and not options.cfg_options
    text = options.config.read_text(encoding="utf-8")
    content = config.to_dict()
    changes = {} if in_place else {**options.cfg_options, "work_dir": str(work_dir)}
    for path, value in changes.items():
        text = assign(text, put(content, path, value), value)
    start_over(work_dir, options)
    work_dir.mkdir(parents=True, exist_ok=True)
    if launch.is_first(options) and not in_place:
        (work_dir / "config.py").write_text(text, encoding="utf-8")
    return work_dir / "config.py", work_dir


def _check_trusted(file: Path, options: TrainOptions) -> None:
    if not options.trust_config:
        text = file.read_text(encoding="utf-8", errors="replace")
        require_plain(text, file, "read the file; if you trust it: --trust-config")


def resumed(options: TrainOptions) -> tuple[Path, Path, list[str]]:
    """The run to continue: its config, its work dir, and the options that cannot be compared with the config.

    By default it is the one that was last at work here. ``--epochs`` above what it was started with extends it: its
    config is changed.

    Raises UsageError: there is no run, or an option is not what it was started with.
    """
    work_dir = options.work_dir or (options.config.parent if options.config else None)
    if work_dir is None:
        runs = sorted(Path("work_dirs").glob("*/last.pth"), key=lambda file: file.stat().st_mtime)
        if not runs:
            raise UsageError("nothing to resume", found="no work_dirs/*/last.pth", hint="--resume --work-dir FOLDER")
        work_dir = runs[-1].parent
    file = work_dir / "config.py"
    for needed in (file, work_dir / "last.pth"):
        if not needed.is_file():
            raise UsageError(
                "nothing to resume", file=work_dir, found=f"no {needed.name}",
                hint="name the run's folder: --resume --work-dir work_dirs/NAME",
            )  # fmt: skip
    _check_trusted(file, options)
    if not options.shaping():
        return file, work_dir, []
    config = read_config(file, register=False)
    if options.epochs is not None and options.epochs > config.max_epochs:
        if launch.is_first(options):
            file.write_text(assign(file.read_text(encoding="utf-8"), ["max_epochs"], options.epochs), encoding="utf-8")
        config.max_epochs = options.epochs
    unread = []
    for name in options.shaping():
        argument = " ".join(options.arguments([name]))
        where = INFO[name].in_config
        if where is None:
            unread.append(argument.split(" ")[0])
            continue
        started = config
        for key in [] if callable(where) else where.split("."):
            started = started.get(key) if started is not None else None
        started = where(config) if callable(where) else started
        if getattr(options, name) != started:
            raise UsageError(
                f"{argument} is not what the run was started with", file=file, found=str(started),
                hint=f"resume without {flag(name)}, or start a new run",
            )  # fmt: skip
    return file, work_dir, unread
