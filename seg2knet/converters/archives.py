"""Sources in zip and tar files, as label tools export them: unpacked for as long as they are read.

Nothing is written outside of a temporary folder, and links are refused.
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from seg2knet.converters.options import Source
from seg2knet.converters.splitting import names
from seg2knet.errors import DataError, UsageError

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
ENDINGS = (".zip", *TARS)


@contextmanager
def unpacked(sources: Sequence[Source], options: Mapping[str, Any] = MappingProxyType({})) -> Iterator[list[Source]]:
    """The sources with archives, and folders of nothing but archives, unpacked; ``options`` are those of ``convert``.

    Raises DataError: a damaged archive, or one with an entry that leaves the folder.
    Raises UsageError: the options need the files after the run.
    """
    with ExitStack() as stack:
        opened = [_opened(source.path, stack, options) for source in sources]
        yield [replace(one, path=path, unpacked=path != one.path) for one, path in zip(sources, opened)]


def _opened(path: Path, stack: ExitStack, options: Mapping[str, Any]) -> Path:
    try:
        inside = list(path.iterdir()) if path.is_dir() else [path]
    except OSError:
        return path  # whoever reads it says what is wrong
    if not inside or not all(one.name.lower().endswith(ENDINGS) and one.is_file() for one in inside):
        return path
    refused = {"--resume": options.get("resume"), "--images symlink": options.get("images") == "symlink"}
    for option in (option for option, given in refused.items() if given):
        problem, hint = "what is unpacked from an archive is gone after the run", "unpack it and convert the folder"
        raise UsageError(f"{option}: {problem}", file=path, hint=f"{hint}, or leave out {option}")
    from seg2knet.download import archive as zips

    root = Path(tempfile.mkdtemp(prefix="seg2knet-"))
    stack.callback(shutil.rmtree, root, ignore_errors=True)
    for archive in sorted(inside):
        name = archive.name[: -len(next(end for end in ENDINGS if archive.name.lower().endswith(end)))]
        target = root / (name or "archive")
        if archive.suffix.lower() == ".zip":
            zips.unpack(archive, target)
        else:
            _untar(archive, target)
    folder = root
    while len(entries := list(folder.iterdir())) == 1 and entries[0].is_dir():
        folder = entries[0]
    return folder


def _untar(archive: Path, target: Path) -> None:
    from seg2knet.download.archive import DAMAGE, refuse_twice
    from seg2knet.download.transfer import require_space

    try:
        with tarfile.open(archive) as opened:
            members = [member for member in opened if not member.isdir()]
            for member in members:
                if not member.isfile():
                    raise DataError("the archive is refused", file=archive, place=member.name, found="a link or device")
                names.safe(member.name)
            refuse_twice(archive, (names.safe(member.name) for member in members))
            require_space(target.parent, sum(member.size for member in members), f"{archive.name} unpacked takes")
            for member in members:
                path = target / names.safe(member.name)
                path.parent.mkdir(parents=True, exist_ok=True)
                content = opened.extractfile(member)
                with path.open("wb") as out:
                    shutil.copyfileobj(content, out)  # type: ignore[arg-type]  # of a file it is there
    except (tarfile.TarError, OSError, *DAMAGE) as error:
        raise DataError("a damaged archive", file=archive, found=str(error)) from None
