"""Downloads over http(s) that survive a line that breaks, and never leave a wrong file under the right name.

A file arrives as ``NAME.part`` beside its target and is renamed only when it is whole: of the promised length, and of
the digest where one is known. What is there of a broken download is gone on with (RFC 9110, range requests, guarded by
``If-Range``), or done again where the server cannot.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from seg2knet._version import __version__
from seg2knet.dataset.text import whole_number
from seg2knet.errors import EnvironmentProblem, UsageError

_DIGITS = 18
"""Of a file's length in bytes, at most."""

CHUNK = 1 << 20
Progress = Callable[[int, Optional[int]], None]
"""Called with (bytes that are there, bytes in all or ``None`` where the server does not say)."""


class TransferError(EnvironmentProblem):
    """A file cannot be downloaded, or what came is not what it should be."""

    def advised(self, hint: Optional[str]) -> TransferError:
        """The same error with something to do, where it says nothing of that itself."""
        return TransferError(
            self.message, file=self.file, found=self.found, expected=self.expected, hint=self.hint or hint
        )


class _Broken(Exception):
    """The line broke, the server stumbled: worth another attempt."""


class _Complete(Exception):
    """All of the file is there already."""


class _Changed(Exception):
    """What is there of the file cannot be gone on with: begin again."""


@dataclass(frozen=True)
class Remote:
    """A file on a server.

    Attributes:
        urls: where it is to be had, mirrors after one another.
        size: its length in bytes, where known.
        digest: ``sha256:HEX`` or ``md5:HEX``, or a beginning of it, where known.
    """

    urls: Sequence[str]
    size: Optional[int] = None
    digest: Optional[str] = None


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
    """Download a file, going on where an earlier attempt or run stopped.

    Args:
        remote: where it is and what it must be.
        target: where it goes; a whole file that is there already is checked and kept.
        hint: what the user can do where there is no network, for the error.
        attempts: how often in a row nothing may come before it is given up.
        pause: seconds before the second attempt, doubled for each further one.
        timeout: seconds without a byte after which the line counts as broken.

    Returns:
        ``target``.

    Raises:
        TransferError: no network, no such file, no space, or the file is not the one expected. What has come so far
            is kept for the next run where it can be used.
        UsageError: not an http(s) address.
    """
    for url in remote.urls:
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise UsageError("only http and https addresses can be downloaded", found=url)
    if target.is_file():
        wrong = mismatch(remote, target)
        if wrong is not None:
            raise TransferError(
                "not the file expected", file=target, found=wrong, hint="remove it, and it is downloaded anew"
            )
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(target):
        if target.is_file():  # another process was quicker
            return target
        refused: list[TransferError] = []
        for url in remote.urls:
            try:
                return _from(url, remote, target, progress, attempts, pause, timeout)
            except TransferError as error:
                refused.append(error)
        if len(refused) == 1:
            raise refused[0].advised(hint)
        said = [f"{url}: {error.found or error.message}" for url, error in zip(remote.urls, refused)]
        raise TransferError("the file cannot be downloaded", found="\n            ".join(said), hint=hint)


def _from(
    url: str,
    remote: Remote,
    target: Path,
    progress: Optional[Progress],
    attempts: int,
    pause: float,
    timeout: float,
) -> Path:
    """One address, with as many attempts as bring something."""
    part = _Part(target, url, trusted=remote.digest is not None)
    failures, restarted = 0, False
    while True:
        before = part.length
        try:
            _receive(url, remote, part, progress, timeout)
            wrong = mismatch(remote, part.file)
            if wrong is None:
                part.finish()
                return target
            raise _Changed(wrong)
        except _Changed as why:
            # A part of an older version, glued to the new one, is done again once; a wrong file stays wrong.
            part.discard()
            if restarted or before == 0:
                raise TransferError("the server sends a wrong file", file=url, found=str(why)) from None
            restarted = True
        except _Broken as why:
            failures = 1 if part.length > before else failures + 1
            if failures >= attempts:
                raise TransferError(
                    "the download keeps breaking off",
                    file=url,
                    found=f"{why}; {part.length:,} bytes are there",
                    hint="run the same command again later: it goes on where it stopped",
                ) from None
            time.sleep(pause * 2 ** (failures - 1))


class _Part:
    """The unfinished file, and beside it a note of which version of which address it is a part of."""

    def __init__(self, target: Path, url: str, trusted: bool) -> None:
        self.target = target
        self.file = target.with_name(target.name + ".part")
        self.note = target.with_name(target.name + ".part.json")
        self.trusted = trusted
        self.validator: Optional[str] = None
        self.promised: Optional[int] = None
        try:
            noted = json.loads(self.note.read_text())
            known = noted["url"] == url or trusted
            self.validator = noted["validator"] if noted["url"] == url else None
        except (OSError, ValueError, KeyError, TypeError):
            known = False
        # Without a digest to check in the end, bytes are only added to a part of the same version of the same file.
        if not known or not (self.validator or trusted):
            self.discard()

    @property
    def length(self) -> int:
        try:
            return self.file.stat().st_size
        except OSError:
            return 0

    def begin(self, url: str, validator: Optional[str], promised: Optional[int]) -> None:
        self.validator, self.promised = validator, promised
        self.note.write_text(json.dumps({"url": url, "validator": validator}))

    def discard(self) -> None:
        for path in (self.file, self.note):
            path.unlink(missing_ok=True)
        self.validator = None

    def finish(self) -> None:
        os.replace(self.file, self.target)
        self.note.unlink(missing_ok=True)


def _receive(url: str, remote: Remote, part: _Part, progress: Optional[Progress], timeout: float) -> None:
    """Ask for what is missing and add it. Returns when the promised length is there; else raises."""
    start = part.length
    headers = {"User-Agent": f"seg2knet/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if part.validator:
            headers["If-Range"] = part.validator
    try:
        with _open(url, headers, timeout) as response:
            start, total = _whence(response, part, start)
            if remote.size is not None and total is not None and total != remote.size:
                raise _Changed(f"{total:,} bytes, expected {remote.size:,}")
            expected = total if total is not None else remote.size
            require_space(part.target.parent, (expected or start) - start, f"{part.target.name} takes")
            part.begin(url, _validator(response), expected)
            length = _append(response, part, start, expected, progress)
    except _Complete:
        if part.promised not in (None, start) and not part.trusted:
            raise _Changed(f"{start:,} bytes, after promising {part.promised:,}") from None
        return
    except (http.client.HTTPException, socket.timeout, ConnectionError) as error:
        raise _Broken(str(error) or type(error).__name__) from None
    if expected is not None and length < expected:
        raise _Broken(f"{length:,} of {expected:,} bytes came")


def _open(url: str, headers: dict[str, str], timeout: float) -> http.client.HTTPResponse:
    """
    Raises:
        TransferError: the server refuses. _Broken: it does for now. _Changed, _Complete: there is nothing after the
            bytes that are there already, whose number is wrong or right.
    """
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        said = f"HTTP {error.code} {error.reason}"
        if error.code == 416:
            total = error.headers.get("Content-Range", "").rpartition("/")[2]
            if headers.get("Range") == f"bytes={total}-":
                raise _Complete from None
            raise _Changed(f"{total or 'fewer'} bytes on the server, more than that are here") from None
        if error.code in (408, 425, 429) or error.code >= 500:
            raise _Broken(said) from None
        raise TransferError("the server does not give the file", file=url, found=said) from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, (socket.timeout, ConnectionResetError, http.client.HTTPException)):
            raise _Broken(str(error.reason)) from None
        raise TransferError("the server cannot be reached", file=url, found=str(error.reason)) from None
    except ValueError as error:
        raise UsageError("not an address", found=url, hint=str(error)) from None


def _whence(response: http.client.HTTPResponse, part: _Part, start: int) -> tuple[int, Optional[int]]:
    """(offset that the answer begins at, length of the whole file where told)."""
    length = response.headers.get("Content-Length", "")
    if response.status != 206:
        if start:  # it cannot do ranges, or the file has changed: from the beginning
            part.discard()
        return 0, whole_number(length, _DIGITS)
    told = response.headers.get("Content-Range", "")
    unit, _, span = told.partition(" ")
    first, _, _ = span.partition("-")
    total = span.rpartition("/")[2]
    if unit != "bytes" or whole_number(first, _DIGITS) != start:
        raise _Changed(f"a range that was not asked for: {told!r}")
    return start, whole_number(total, _DIGITS)


def _validator(response: http.client.HTTPResponse) -> Optional[str]:
    """What names this version of the file: a strong ETag, else its date."""
    etag = response.headers.get("ETag")
    if etag and not etag.startswith("W/"):
        return etag
    return response.headers.get("Last-Modified")


def _append(
    response: http.client.HTTPResponse, part: _Part, start: int, expected: Optional[int], progress: Optional[Progress]
) -> int:
    length = start
    with part.file.open("ab" if start else "wb") as out:
        while True:
            try:
                chunk = response.read(CHUNK)
            except http.client.IncompleteRead as broken:
                chunk = broken.partial
                if not chunk:
                    break
            if not chunk:
                break
            length += len(chunk)
            if expected is not None and length > expected:
                raise _Changed(f"more than the {expected:,} bytes that were promised")
            try:
                out.write(chunk)
            except OSError as error:
                raise TransferError("the download cannot be written", file=part.file, found=str(error)) from None
            if progress is not None:
                progress(length, expected)
        out.flush()
        os.fsync(out.fileno())
    return length


def mismatch(remote: Remote, file: Path) -> Optional[str]:
    """What is wrong with a whole file: its length, its digest; ``None`` if nothing is."""
    length = file.stat().st_size
    if remote.size is not None and length != remote.size:
        return f"{length:,} bytes, expected {remote.size:,}"
    if remote.digest is None:
        return None
    kind, _, expected = remote.digest.partition(":")
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
    """
    Raises:
        TransferError: fewer than ``needed`` bytes are free where ``folder`` is or will be.
    """
    place = folder.absolute()
    while not place.is_dir() and place.parent != place:
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed:
        raise TransferError(
            "there is not enough space on the disk",
            file=folder,
            found=f"{free / 1e9:.1f} GB free",
            expected=f"{what} {needed / 1e9:.1f} GB",
            hint="make room, or name a folder on another disk",
        )


def size_of(url: str, timeout: float = 30.0) -> Optional[int]:
    """What the server says the length of a file is; ``None`` where it does not say.

    Raises:
        TransferError: no such file, no network.
    """
    request = urllib.request.Request(url, method="HEAD", headers={"Accept-Encoding": "identity"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            length = response.headers.get("Content-Length", "")
            return whole_number(length, _DIGITS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (405, 501):  # it does not do HEAD
            return None
        said = f"HTTP {error.code} {error.reason}"
        raise TransferError("the server does not give the file", file=url, found=said) from None
    except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
        said = str(getattr(error, "reason", error))
        raise TransferError("the server cannot be reached", file=url, found=said) from None


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
