"""COCO 2017 and ADE20K from their publishers (or a mirror), in the layout that train expects.

Sources: https://cocodataset.org/#download and http://sceneparsing.csail.mit.edu. The digests are those that the sets'
users have published for years; where none is known, length and every entry's CRC are what is checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from seg2knet.dataset.layout import SPLITS, AdeLayout, CocoLayout
from seg2knet.download.archive import Place, as_it_is, unpack
from seg2knet.download.transfer import Remote, TransferError, bar, fetch, mismatch, require_space, size_of
from seg2knet.errors import DataError, UsageError

WAITING = ".download"
"""Folder inside the data set for what is not unpacked yet."""
MIRROR = "name a mirror: --url https://..."
Say = Callable[[str], None]


@dataclass(frozen=True)
class Archive:
    """A zip file of a public set."""

    path: str  # below the publisher's address; a mirror has it there or by its bare name
    holds: str  # what it is good for, to choose by: ``train``, ``val``, ``test``, ``instances``, ``panoptic``
    grows: float = 1.05  # how many times its size it takes unpacked, to ask for space before it is there
    digest: Optional[str] = None  # ``md5:HEX``, where known
    place: Place = as_it_is  # where its entries go

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


def _ade_test_image(name: str) -> Optional[Path]:
    """The test images stand in a folder of their own in ``release_test.zip``."""
    file = name.rpartition("/")[2]
    kept = as_it_is(name) is not None and file.lower().endswith(".jpg")
    return AdeLayout(Path("ADEChallengeData2016")).images("test") / file if kept else None


@dataclass(frozen=True)
class PublicSet:
    """A data set that the public can have."""

    url: str
    out: Path
    archives: tuple[Archive, ...]


_JSON = "annotations"
SETS = {
    "coco2017": PublicSet(
        "http://images.cocodataset.org",
        Path("data/coco"),
        (
            Archive(f"{_JSON}/annotations_trainval2017.zip", "instances", 5.0, "md5:f4bbac642086de4f52a3fdda2de5fa2c"),
            Archive(f"{_JSON}/panoptic_annotations_trainval2017.zip", "panoptic", 2.5),
            Archive("zips/val2017.zip", "val", digest="md5:442b8da7639aecaf257c1dceb8ba8c80"),
            Archive("zips/train2017.zip", "train", digest="md5:cced6f7f71b7629ddf16f17bbcfab6b2"),
            Archive(f"{_JSON}/image_info_test2017.zip", "test", 10.0),
            Archive("zips/test2017.zip", "test"),
        ),
    ),
    "ade20k": PublicSet(
        "http://data.csail.mit.edu/places/ADEchallenge",
        Path("data/ade"),
        (
            Archive("ADEChallengeData2016.zip", "instances"),
            Archive("release_test.zip", "test", place=_ade_test_image),
        ),
    ),
}


@dataclass(frozen=True)
class Plan:
    """What will be fetched: archives with their sizes (``None`` where the server does not say), and what that takes."""

    wanted: tuple[tuple[Archive, Remote, Optional[int]], ...]
    download: int
    space: int

    def lines(self) -> Iterator[str]:
        """For a person."""
        for archive, remote, size in self.wanted:
            yield f"{archive.name:<40} {'?' if size is None else f'{size / 1e6:,.1f} MB':>12}  {remote.urls[0]}"
        yield f"to download {self.download / 1e9:,.2f} GB, space needed {self.space / 1e9:,.2f} GB"


def choose(
    name: str, splits: Sequence[str] = ("train", "val"), panoptic: bool = True, test: bool = False
) -> tuple[PublicSet, tuple[Archive, ...]]:
    """The archives of a set that are wanted. Raises UsageError: no such set, or no such split."""
    if name not in SETS:
        raise UsageError(f"no public set is called {name!r}", expected=", ".join(SETS))
    unknown = [split for split in splits if split not in SPLITS]
    if unknown:
        raise UsageError(f"no split is called {unknown[0]!r}", expected=", ".join(SPLITS))
    wanted = {"instances", *splits} | ({"panoptic"} if panoptic else set()) | ({"test"} if test else set())
    return SETS[name], tuple(archive for archive in SETS[name].archives if archive.holds in wanted)


def plan(chosen: PublicSet, archives: Sequence[Archive], out: Path, url: Optional[str] = None) -> Plan:
    """Ask the server how large everything is that is not there yet. Raises TransferError: no network, no such file."""
    base = (url or chosen.url).rstrip("/")
    wanted: list[tuple[Archive, Remote, Optional[int]]] = []
    fetched, unpacked = [0], 0
    for archive in archives:
        if _is_done(out, archive):
            continue
        names = (archive.path,) if url is None else dict.fromkeys((archive.path, archive.name))
        remote = Remote([f"{base}/{name}" for name in names])
        waiting = out / WAITING / archive.name
        if waiting.is_file():  # only to be unpacked, and then the archive itself tells what that takes
            wanted.append((archive, remote, waiting.stat().st_size))
            continue
        size = _size(remote)
        wanted.append((archive, remote, size))
        part = waiting.with_name(waiting.name + ".part")
        fetched.append((size or 0) - (part.stat().st_size if part.is_file() else 0))
        unpacked += int((size or 0) * archive.grows)
    # One archive at a time stands there whole beside all that is unpacked.
    return Plan(tuple(wanted), sum(fetched), unpacked + max(fetched))


def _size(remote: Remote) -> Optional[int]:
    for url in remote.urls:
        try:
            return size_of(url)
        except TransferError as error:
            refused = error
    raise refused.advised(MIRROR)


def _done(out: Path, archive: Archive) -> Path:
    """A note of what an archive brought: its files, or where they are many, their folders."""
    return out / WAITING / (archive.name + ".done")


def _is_done(out: Path, archive: Archive) -> bool:
    note = _done(out, archive)
    return note.is_file() and all((out / name).exists() for name in note.read_text(encoding="utf-8").splitlines())


def bring(todo: Plan, out: Path, *, keep: bool = False, check_digest: bool = True, say: Say = print) -> None:
    """Download and unpack what was planned; a run that was interrupted resumes where it stopped. ``keep``: leave the
    zip files in ``out/.download``; ``check_digest``: refuse a file that is not the one known.

    Raises TransferError: network, disk. DataError: a damaged or hostile archive.
    """
    require_space(out, todo.space, "the data set takes")
    for archive, remote, _ in todo.wanted:
        waiting = out / WAITING / archive.name
        with bar(archive.name) as progress:
            fetch(remote, waiting, progress=progress, hint=MIRROR)
        if check_digest and (wrong := mismatch(archive.digest, waiting)):
            hint = "remove it, and it is downloaded again; if you trust it as it is: --no-digest"
            raise DataError("not the file that this data set is known by", file=waiting, found=wrong, hint=hint)
        with bar(archive.name, "unpacking") as progress:
            files = unpack(waiting, out, archive.place, progress)
        for inner in [file for file in files if file.suffix == ".zip"]:  # COCO's panoptic PNGs are zipped once more
            files.remove(inner)
            try:
                with bar(inner.name, "unpacking") as progress:
                    files += unpack(inner, inner.parent, progress=progress)
            finally:
                inner.unlink()
        say(f"{archive.name}: {len(files):,} files")
        brought = files if len(files) < 100 else {file.parent for file in files}
        text = "".join(f"{path.relative_to(out).as_posix()}\n" for path in sorted(brought))
        _done(out, archive).write_text(text, encoding="utf-8")
        if not keep:
            waiting.unlink()


def what_is_there(name: str, out: Path) -> str:
    """What of the set train will find, in one line."""
    if name == "ade20k":
        ade = AdeLayout(out / "ADEChallengeData2016")
        return f"{ade.root}: {', '.join(ade.splits()) or 'no masks'}"
    coco = CocoLayout(out)
    whole = [split for split in coco.splits() if coco.images(split).is_dir()]
    return f"{out}: {', '.join(whole) or 'no split is whole'}"
