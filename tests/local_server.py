"""A web server on 127.0.0.1 that misbehaves on demand: for tests of downloads."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Optional


@dataclass
class Page:
    """A file that the server has, and how it behaves when it is asked for it.

    Attributes:
        break_after: bytes after which the line is cut, one number a request; then it behaves.
        statuses: answers instead of the file, one a request; then it behaves.
        ranges: whether it answers range requests.
        etag: whether it names the version.
        promise: the length it claims, if not the true one.
        redirect: where it sends the client instead.
    """

    body: bytes
    break_after: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True
    etag: bool = True
    promise: Optional[int] = None
    redirect: Optional[str] = None


class LocalServer:
    """Serves ``pages`` by path, and keeps what was asked: ``requests`` as (path, Range header or None)."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.requests: list[tuple[str, Optional[str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def do_GET(self) -> None:
                outer.answer(self, send=True)

            def do_HEAD(self) -> None:
                outer.answer(self, send=False)

            def log_message(self, *_args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, client: BaseHTTPRequestHandler, send: bool) -> None:
        path = client.path.lstrip("/")
        asked = client.headers.get("Range")
        if send:
            self.requests.append((path, asked))
        page = self.pages.get(path)
        if page is None or (send and page.statuses):
            client.send_error(page.statuses.pop(0) if page else 404)
            return
        if page.redirect is not None:
            client.send_response(302)
            client.send_header("Location", page.redirect)
            client.end_headers()
            return
        tag = f'"{hashlib.md5(page.body).hexdigest()}"'
        start = 0
        if asked and page.ranges and client.headers.get("If-Range", tag) == tag:
            start = int(asked.partition("=")[2].rstrip("-"))
        total = page.promise if page.promise is not None else len(page.body)
        if start and start >= len(page.body):
            client.send_response(416)
            client.send_header("Content-Range", f"bytes */{len(page.body)}")
            client.end_headers()
            return
        client.send_response(206 if start else 200)
        client.send_header("Content-Length", str(total - start))
        if start:
            client.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if page.etag:
            client.send_header("ETag", tag)
        client.end_headers()
        if not send:
            return
        body = page.body[start:]
        if page.break_after:
            body = body[: page.break_after.pop(0)]
        client.wfile.write(body)
