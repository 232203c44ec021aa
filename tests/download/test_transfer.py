"""Downloads from a server that breaks off, lies, refuses and changes its mind."""

from __future__ import annotations

import hashlib
import multiprocessing
import random
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import requests
from local_server import LocalServer, Page

from seg2knet.download import transfer
from seg2knet.download.transfer import Remote, TransferError, bar, fetch
from seg2knet.errors import UsageError

BODY = random.Random(0).randbytes(300_000)
DIGEST = "sha256:" + hashlib.sha256(BODY).hexdigest()


def get(server: LocalServer, target: Path, **parts: object) -> Path:
    return fetch(Remote((f"{server.url}/file",), **parts), target, pause=0.001, attempts=3, timeout=5)  # type: ignore[arg-type]


def leftovers(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


def test_a_sound_download(server: LocalServer, tmp_path: Path) -> None:
    server.pages["file"] = Page(BODY)
    steps: list[tuple[int, object]] = []
    target = tmp_path / "deep" / "file"
    remote = Remote((f"{server.url}/file",), digest=DIGEST)
    assert fetch(remote, target, progress=lambda done, total: steps.append((done, total))) == target
    assert target.read_bytes() == BODY
    assert steps[-1] == (len(BODY), len(BODY))
    assert {path.name for path in target.parent.iterdir()} == {"file"}


def test_what_is_there_is_not_asked_for(server: LocalServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(BODY)
    get(server, tmp_path / "file", digest=DIGEST)
    assert server.requests == []


def test_what_is_there_and_wrong_is_an_error(server: LocalServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(BODY[:-1])
    with pytest.raises(TransferError, match="remove it"):
        get(server, tmp_path / "file", digest=DIGEST)


def test_a_broken_line_is_gone_on_with(server: LocalServer, tmp_path: Path) -> None:
    server.pages["file"] = Page(BODY, break_after=[1000, 0, 50_000, 100_000])
    get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == BODY
    assert [asked for _, asked in server.requests] == [
        None,
        "bytes=1000-",
        "bytes=1000-",
        "bytes=51000-",
        "bytes=151000-",
    ]


def test_a_broken_run_is_gone_on_with(server: LocalServer, tmp_path: Path) -> None:
    server.pages["file"] = Page(BODY, break_after=[70_000, 0, 0, 0])
    with pytest.raises(TransferError, match="resumes where it stopped") as caught:
        get(server, tmp_path / "file")
    assert "70,000" in str(caught.value)
    server.pages["file"].break_after = []
    server.requests.clear()
    get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == BODY
    assert server.requests == [("file", "bytes=70000-")]


def test_a_server_without_ranges(server: LocalServer, tmp_path: Path) -> None:
    server.pages["file"] = Page(BODY, break_after=[1000, 2000], ranges=False)
    get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == BODY


def test_a_server_that_never_ends_well(server: LocalServer, tmp_path: Path) -> None:
    server.pages["file"] = Page(BODY, break_after=[1000] * 50, ranges=False)
    with pytest.raises(TransferError, match="keeps breaking off"):
        get(server, tmp_path / "file")
    assert len(server.requests) < 10


@pytest.mark.parametrize("ranges", [True, False])
def test_a_promise_that_is_too_long(server: LocalServer, tmp_path: Path, ranges: bool) -> None:
    server.pages["file"] = Page(BODY, promise=len(BODY) + 5, ranges=ranges)
    with pytest.raises(TransferError):
        get(server, tmp_path / "file")
    assert not (tmp_path / "file").exists()
    assert len(server.requests) < 10


def test_a_promise_that_is_too_long_and_a_digest_that_knows_better(server: LocalServer, tmp_path: Path) -> None:
    server.pages["file"] = Page(BODY, promise=len(BODY) + 5)
    assert get(server, tmp_path / "file", digest=DIGEST).read_bytes() == BODY


def test_a_promise_that_is_too_short(server: LocalServer, tmp_path: Path) -> None:
    server.pages["file"] = Page(BODY, promise=len(BODY) - 5)
    with pytest.raises(TransferError, match="wrong file"):
        get(server, tmp_path / "file", digest=DIGEST)
    assert leftovers(tmp_path) == set()


@pytest.mark.parametrize("parts", [{"digest": "sha256:" + "0" * 64}, {"digest": "md5:00"}])
def test_not_the_file_expected(server: LocalServer, tmp_path: Path, parts: dict[str, object]) -> None:
    server.pages["file"] = Page(BODY)
    with pytest.raises(TransferError, match="wrong file") as caught:
        get(server, tmp_path / "file", **parts)
    assert "expected" in str(caught.value)
    assert leftovers(tmp_path) == set()


def test_the_beginning_of_a_digest_will_do(server: LocalServer, tmp_path: Path) -> None:
    server.pages["file"] = Page(BODY)
    get(server, tmp_path / "file", digest=DIGEST[:15])


def test_a_file_that_changed_meanwhile(server: LocalServer, tmp_path: Path) -> None:
    server.pages["file"] = Page(BODY[::-1], break_after=[70_000, 0, 0, 0])
    with pytest.raises(TransferError):
        get(server, tmp_path / "file")
    server.pages["file"] = Page(BODY)
    get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == BODY


def test_a_changed_file_without_version_is_told_by_its_digest(server: LocalServer, tmp_path: Path) -> None:
    server.pages["file"] = Page(BODY[::-1], break_after=[70_000, 0, 0, 0], etag=False)
    with pytest.raises(TransferError):
        get(server, tmp_path / "file", digest=DIGEST)
    server.pages["file"] = Page(BODY, etag=False)
    get(server, tmp_path / "file", digest=DIGEST)
    assert (tmp_path / "file").read_bytes() == BODY
    assert [asked for _, asked in server.requests[-2:]] == ["bytes=70000-", None]


def test_without_version_and_digest_it_begins_anew(server: LocalServer, tmp_path: Path) -> None:
    server.pages["file"] = Page(BODY, break_after=[70_000, 0, 0], etag=False)
    with pytest.raises(TransferError):
        get(server, tmp_path / "file")
    server.requests.clear()
    get(server, tmp_path / "file")
    assert server.requests == [("file", None)]


def test_a_part_that_is_whole_already(server: LocalServer, tmp_path: Path) -> None:
    server.pages["file"] = Page(BODY)
    (tmp_path / "file.part").write_bytes(BODY)
    (tmp_path / "file.part.json").write_text(f'{{"url": "{server.url}/file", "validator": null}}')
    get(server, tmp_path / "file", digest=DIGEST)
    assert leftovers(tmp_path) == {"file"}


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_is_final(server: LocalServer, tmp_path: Path, status: int) -> None:
    server.pages["file"] = Page(BODY, statuses=[status])
    with pytest.raises(TransferError, match=str(status)):
        get(server, tmp_path / "file")
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_stumble_is_not(server: LocalServer, tmp_path: Path, status: int) -> None:
    server.pages["file"] = Page(BODY, statuses=[status, status])
    assert get(server, tmp_path / "file").read_bytes() == BODY


def test_mirrors_in_turn(server: LocalServer, tmp_path: Path) -> None:
    server.pages["good"] = Page(BODY)
    fetch(Remote((f"{server.url}/gone", f"{server.url}/good"), digest=DIGEST), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == BODY
    with pytest.raises(TransferError, match="do this") as caught:
        fetch(Remote((f"{server.url}/gone", f"{server.url}/lost")), tmp_path / "other", hint="do this")
    assert "gone" in str(caught.value)
    assert "lost" in str(caught.value)


def test_no_network(tmp_path: Path) -> None:
    with pytest.raises(TransferError, match="cannot be reached") as caught:
        fetch(Remote(("http://127.0.0.1:9/file",)), tmp_path / "file", hint="--backbone-weights PATH", timeout=2)
    assert "--backbone-weights PATH" in str(caught.value)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/file", "/etc/passwd", "data:,x"])
def test_other_addresses_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match="http"):
        fetch(Remote((url,)), tmp_path / "file")


@pytest.mark.parametrize("elsewhere", ["file:///etc/passwd", "ftp://host/file", "data:,x"])
def test_a_redirect_to_another_protocol_is_refused(server: LocalServer, tmp_path: Path, elsewhere: str) -> None:
    server.pages["file"] = Page(BODY, redirect=elsewhere)
    with pytest.raises(TransferError, match="redirect that is not followed"):
        get(server, tmp_path / "file")
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize(
    ("here", "there", "followed"),
    [
        ("https://a/file", "http://b/file", False),
        ("https://a/file", "https://b/file", True),
        ("http://a/file", "http://b/file", True),
        ("http://a/file", "/other", True),
    ],
)
def test_https_is_not_left(here: str, there: str, followed: bool) -> None:
    response = requests.Response()
    response.url, response.status_code = here, 302
    response.headers["location"] = there
    with transfer._session(1, 0.0) as session:
        if followed:
            assert session.get_redirect_target(response) == there
            return
        with pytest.raises(TransferError, match="not followed"):
            session.get_redirect_target(response)


def test_a_full_disk_is_told_before(server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.pages["file"] = Page(BODY)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10**6, 10**6 - 1000, 1000))
    with pytest.raises(TransferError, match="not enough space"):
        get(server, tmp_path / "file")
    assert leftovers(tmp_path) == set()


def _get(url: str, target: Path) -> None:
    fetch(Remote((url,), digest=DIGEST), target)


def test_two_processes_at_once(server: LocalServer, tmp_path: Path) -> None:
    server.pages["file"] = Page(BODY)
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_get, args=(f"{server.url}/file", tmp_path / "file")) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert (tmp_path / "file").read_bytes() == BODY


def test_size_of(server: LocalServer) -> None:
    server.pages["file"] = Page(BODY)
    assert transfer.size_of(f"{server.url}/file") == len(BODY)
    with pytest.raises(TransferError, match="404"):
        transfer.size_of(f"{server.url}/none")


def test_a_log_gets_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("weights") as progress:
        progress(1, 2_000_000)
        progress(2, 2_000_000)
    assert capsys.readouterr().err == "downloading weights, 2.0 MB\n"
