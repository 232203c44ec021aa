"""Downloads over http(s) that survive a broken connection, and never leave a wrong file under the right name.

A file arrives as ``NAME.part`` beside its target and is renamed only when it is whole: of the promised length, and of
the digest where one is known. A broken download is resumed (RFC 9110, range requests, guarded by ``If-Range``), or
begun again where the server cannot. Connections, proxies, redirects and retries are those of requests and urllib3.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional

from seg2knet._version import __version__
from seg2knet.dataset.text import whole_number
from seg2knet.errors import EnvironmentProblem, UsageError, is_quiet

if TYPE_CHECKING:
    import requests

CHUNK = 1 << 20
Progress = Callable[[int, Optional[int]], None]
"""Called with (bytes that are there, bytes in all or ``None`` where the server does not say)."""

_DIGITS = 18
"""Of a file's length in bytes, at most."""
_FOR_NOW = (408, 425, 429, 500, 502, 503, 504)
"""Answers of a server that may do better in a moment."""


class TransferError(EnvironmentProblem):
    """A file cannot be downloaded, or what came is not what it should be."""

    def advised(self, hint: Optional[str]) -> TransferError:
        """The same error with something to do, where it says nothing of that itself."""
        known = {"file": self.file, "found": self.found, "expected": self.expected}
        return TransferError(self.message, **known, hint=self.hint or hint)


class _Broken(Exception):
    """The connection broke: worth another attempt."""


class _Changed(Exception):
    """What is there of the file cannot be continued: begin again."""


@dataclass(frozen=True)
class Remote:
    """A file on a server."""

    urls: Sequence[str]  # its addresses, mirrors after one another
    digest: Optional[str] = None  # ``sha256:HEX`` or ``md5:HEX``, or a beginning of it, where known


def fetch(
    remote: Remote,
    target: Path,
    *,
    progress: Optional[Progress] = None,
    hint: Optional[str] = None,
    attempts: int = 5,
    pause: float = 1.0,
    timeout: float = 30.0,
) -> Path:
    """Download a file, resuming where an earlier attempt or run stopped; gives ``target``.

    Args:
        target: where it goes; a whole file that is there already is checked and kept.
        hint: what the user can do where there is no network, for the error.
        attempts: how often in a row nothing may come before it is given up.
        pause: seconds before the second attempt, doubled for each further one.
        timeout: seconds without a byte after which the connection counts as broken.

    Raises TransferError: no network, no such file, no space, or the file is not the one expected. What has come so far
    is kept for the next run where it can be used; UsageError: not an http(s) address.
    """
    for url in remote.urls:
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise UsageError("only http and https addresses can be downloaded", found=url)
    if target.is_file():
        if (wrong := mismatch(remote.digest, target)) is not None:
            hint = "remove it, and it is downloaded again"
            raise TransferError("not the file expected", file=target, found=wrong, hint=hint)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(target), _session(attempts, pause) as session:
        if target.is_file():  # another process was quicker
            return target
        refused: list[TransferError] = []
        for url in remote.urls:
            try:
                return _Download(session, url, remote, target, progress, timeout).run(attempts, pause)
            except TransferError as error:
                refused.append(error)
        if len(refused) == 1:
            raise refused[0].advised(hint)
        lines = [f"{url}: {error.found or error.message}" for url, error in zip(remote.urls, refused)]
        raise TransferError("the file cannot be downloaded", found="\n            ".join(lines), hint=hint)


def size_of(url: str, timeout: float = 30.0) -> Optional[int]:
    """What the server says the length of a file is; ``None`` where it does not say.

    Raises TransferError: no such file, no network.
    """
    no_head = (405, 501)
    with _session(3, 1.0) as session, _asked(session, "HEAD", url, {}, timeout, no_head) as response:
        if response.status_code in no_head:
            return None
        return whole_number(response.headers.get("Content-Length", ""), _DIGITS)


def _session(attempts: int, pause: float) -> requests.Session:
    """A session that retries, and follows redirects to http(s) alone, and from https to https alone."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    class Session(requests.Session):
        def get_redirect_target(self, response: requests.Response) -> Optional[str]:
            target = super().get_redirect_target(response)
            if target is not None:
                there = urllib.parse.urljoin(response.url, target)
                if not there.startswith(("https://", "http://")[: 1 if response.url.startswith("https://") else 2]):
                    raise TransferError("a redirect that is not followed", file=response.url, found=there)
            return target

    retry = Retry(
        total=None, connect=0, redirect=None, read=attempts - 1, status=attempts - 1, allowed_methods=None,
        status_forcelist=_FOR_NOW, backoff_factor=pause / 2, raise_on_status=False,
    )  # fmt: skip
    session = Session()
    session.headers.update({"User-Agent": f"seg2knet/{__version__}", "Accept-Encoding": "identity"})
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


def _asked(
    session: requests.Session, method: str, url: str, headers: dict[str, str], timeout: float, bad: Sequence[int]
) -> requests.Response:
    """An answer of success, or with one of the statuses in ``bad``.

    Raises TransferError: the server cannot be reached, or does not give the file. _Broken: the connection broke.
    """
    import requests

    try:
        response = session.request(method, url, headers=headers, timeout=timeout, stream=True, allow_redirects=True)
    except (requests.exceptions.ReadTimeout, requests.exceptions.ChunkedEncodingError) as error:
        raise _Broken(str(error)) from None
    except requests.exceptions.RequestException as error:
        reason = getattr(error.args[0] if error.args else error, "reason", error)
        raise TransferError("the server cannot be reached", file=url, found=str(reason)) from None
    if response.status_code >= 400 and response.status_code not in bad:
        response.close()
        found = f"HTTP {response.status_code} {response.reason}"
        raise TransferError("the server does not give the file", file=url, found=found)
    return response


@dataclass
class _Download:
    """A file from one address: ``NAME.part``, and beside it a note of the address and version it is a part of."""

    session: requests.Session
    url: str
    remote: Remote
    target: Path
    progress: Optional[Progress]
    timeout: float

    def __post_init__(self) -> None:
        self.file = self.target.with_name(self.target.name + ".part")
        self.note = self.target.with_name(self.target.name + ".part.json")
        self.validator: Optional[str] = None
        noted = False
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            note = json.loads(self.note.read_text())
            self.validator = note["validator"] if note["url"] == self.url else None
            noted = True
        # Without a digest to check in the end, bytes are only added to a part of the same version of the same file.
        if not noted or not (self.validator or self.remote.digest):
            self._discard()

    @property
    def length(self) -> int:
        return self.file.stat().st_size if self.file.is_file() else 0

    def run(self, attempts: int, pause: float) -> Path:
        """Ask until the file is whole, with as many attempts as bring something."""
        failures, restarted = 0, False
        while True:
            before = self.length
            try:
                self._receive()
                if (wrong := mismatch(self.remote.digest, self.file)) is not None:
                    raise _Changed(wrong)
                os.replace(self.file, self.target)
                self.note.unlink(missing_ok=True)
                return self.target
            except _Changed as reason:
                # A part of an older version, glued to the new one, is done again once; a wrong file stays wrong.
                self._discard()
                if restarted or before == 0:
                    raise TransferError("the server sends a wrong file", file=self.url, found=str(reason)) from None
                restarted = True
            except _Broken as reason:
                failures = 1 if self.length > before else failures + 1
                if failures >= attempts:
                    raise TransferError(
                        "the download keeps breaking off",
                        file=self.url,
                        found=f"{reason}; {self.length:,} bytes are there",
                        hint="run the same command again later: it resumes where it stopped",
                    ) from None
                time.sleep(pause * 2 ** (failures - 1))

    def _discard(self) -> None:
        for path in (self.file, self.note):
            path.unlink(missing_ok=True)
        self.validator = None

    def _receive(self) -> None:
        """Ask for what is missing and add it. Returns when the promised length is there; else raises."""
        start = self.length
        headers = {"Range": f"bytes={start}-"} if start else {}
        if start and self.validator:
            headers["If-Range"] = self.validator
        with _asked(self.session, "GET", self.url, headers, self.timeout, (416,)) as response:
            if response.status_code == 416:
                total = whole_number(response.headers.get("Content-Range", "").rpartition("/")[2], _DIGITS)
                if total == start and self.remote.digest is not None:
                    return  # all of the file is there already
                raise _Changed(f"{total} bytes on the server, {start} are here")
            start, total = self._span(response, start)
            require_space(self.target.parent, (total or start) - start, f"{self.target.name} takes")
            etag = response.headers.get("ETag", "W/")
            self.validator = response.headers.get("Last-Modified") if etag.startswith("W/") else etag
            self.note.write_text(json.dumps({"url": self.url, "validator": self.validator}))
            length = self._append(response, start, total)
        if total is not None and length < total:
            raise _Broken(f"{length:,} of {total:,} bytes came")

    def _span(self, response: requests.Response, start: int) -> tuple[int, Optional[int]]:
        """(offset that the answer begins at, length of the whole file where told)."""
        if response.status_code != 206:
            if start:  # it cannot do ranges, or the file has changed: from the beginning
                self._discard()
            return 0, whole_number(response.headers.get("Content-Length", ""), _DIGITS)
        span = re.fullmatch(r"bytes (\d{1,18})-\d*/(\d+|\*)", response.headers.get("Content-Range", ""))
        if span is None or int(span[1]) != start:
            raise _Changed(f"a range that was not asked for: {response.headers.get('Content-Range')!r}")
        return start, whole_number(span[2], _DIGITS)

    def _append(self, response: requests.Response, start: int, expected: Optional[int]) -> int:
        from urllib3.exceptions import HTTPError

        length = start
        with self.file.open("ab" if start else "wb") as out:
            try:
                for chunk in response.raw.stream(CHUNK, decode_content=False):
                    length += len(chunk)
                    if expected is not None and length > expected:
                        raise _Changed(f"more than the {expected:,} bytes that were promised")
                    out.write(chunk)
                    if self.progress is not None:
                        self.progress(length, expected)
            except HTTPError as error:
                raise _Broken(str(error)) from None
            except OSError as error:
                raise TransferError("the download cannot be written", file=self.file, found=str(error)) from None
            finally:
                out.flush()
                os.fsync(out.fileno())
        return length


@contextlib.contextmanager
def bar(title: str, verb: str = "downloading") -> Iterator[Progress]:
    """A progress bar on a terminal, one plain line in a log; yields what is to be called with (done, total) bytes."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True, quiet=is_quiet())
    columns = (TextColumn(f"{verb} {title}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bars(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task(title, total=None)

        def update(done: int, total: Optional[int]) -> None:
            if not console.is_terminal and not bars.tasks[task].completed:
                console.print(f"{verb} {title}" + (f", {total / 1e6:,.1f} MB" if total else ""), highlight=False)
            bars.update(task, completed=done, total=total)

        yield update


def mismatch(known: Optional[str], file: Path) -> Optional[str]:
    """What is wrong with a whole file by its digest as it is known; ``None`` if nothing is."""
    if known is None:
        return None
    kind, _, expected = known.partition(":")
    found = digest(file, kind)
    if found.startswith(expected.lower()):
        return None
    return f"{kind} {found[: max(len(expected), 8)]}, expected {expected}"


def digest(file: Path, kind: str = "sha256") -> str:
    """Hexadecimal digest of a file, read in pieces."""
    state = hashlib.new(kind)
    with file.open("rb") as source:
        while chunk := source.read(CHUNK):
            state.update(chunk)
    return state.hexdigest()


def require_space(folder: Path, needed: int, what: str) -> None:
    """Raises TransferError: fewer than ``needed`` bytes are free where ``folder`` is or will be."""
    place = folder.absolute()
    free = shutil.disk_usage(next(one for one in (place, *place.parents) if one.is_dir())).free
    if free < needed:
        raise TransferError(
            "there is not enough space on the disk",
            file=folder,
            found=f"{free / 1e9:.1f} GB free",
            expected=f"{what} {needed / 1e9:.1f} GB",
            hint="make room, or name a folder on another disk",
        )


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Only one process downloads a file at a time; the others wait and find it there."""
    try:
        import fcntl
    except ImportError:  # Windows: the last one wins, each with a whole file
        yield
        return
    lock = target.with_name(target.name + ".lock")
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            if target.is_file():  # else others may be waiting for this very lock
                lock.unlink(missing_ok=True)
