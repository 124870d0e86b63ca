"""A stand-in for the hub's file service on a local port, with the faults that a network has.

Serves HEAD and GET of /{repository}/resolve/{revision}/{path}: commit, etag, ranges; large files by redirect to another
origin, as the hub does, with their size and SHA-256 in headers.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What is served, what goes wrong, and what was asked. Use as a context manager; `endpoint` is for HF_ENDPOINT."""

    files: dict[str, bytes] = field(default_factory=dict)
    """repository/path → bytes"""
    large: int = 100_000
    """Files from this size on are redirected to another origin."""
    drops: dict[str, list[int]] = field(default_factory=dict)
    """file name → after how many bytes each of its next downloads breaks"""
    statuses: dict[str, int] = field(default_factory=dict)
    """file name → the status it is answered with"""
    headers: dict[str, str] = field(default_factory=dict)
    """what goes with those statuses"""
    token: str | None = None
    """where it is not None, the access token without which, or with another than which, nothing is answered but 401"""
    page: bytes | None = None
    """what everything is answered with, as by a network that wants one to sign in"""
    pause_s: dict[str, float] = field(default_factory=dict)
    """file name → seconds of waiting in the middle of its download"""
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    """(method, path, Range) of every request"""
    started: threading.Event = field(default_factory=threading.Event)
    """Set when the first half of a paused file is sent."""

    def __enter__(self) -> Hub:
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
        for server in self._servers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._servers[0].server_port}"

    @property
    def storage(self) -> str:
        """The other origin, where large files are."""
        return f"http://127.0.0.1:{self._servers[1].server_port}"

    def add_folder(self, repository: str, folder: Path) -> None:
        """Serve every file of a folder."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.files[f"{repository}/{path.relative_to(folder).as_posix()}"] = path.read_bytes()

    def downloads(self, name: str) -> list[str | None]:
        """Return the Range header of every GET that sent bytes of a file, in order."""
        return [given for method, path, given in self.requests if method == "GET" and path.endswith(f"/{name}")]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: tests look at `requests`."""

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        path = unquote(self.path.split("?")[0])
        self.hub.requests.append((self.command, path, self.headers.get("Range")))
        is_storage = path.startswith("/storage/")
        match = re.fullmatch(r"/storage/(.+)" if is_storage else r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if self.hub.page is not None:
            return self._send(200, {"Content-Type": "text/html"}, self.hub.page if with_body else b"")
        if match is None:
            return self._send(404, {})
        if self.hub.token is not None and not is_storage and (given := self.headers.get("Authorization")) != f"Bearer {self.hub.token}":
            return self._send(401, {"X-Error-Message": "Invalid credentials in Authorization header" if given else "Invalid username or password."})
        key = match[1] if is_storage else f"{match[1]}/{match[3]}"
        name = key.rsplit("/", 1)[-1]
        if name in self.hub.statuses:
            return self._send(self.hub.statuses[name], self.hub.headers)
        if key not in self.hub.files:
            known = any(each.startswith(f"{match[1]}/") for each in self.hub.files)
            return self._send(404, {"X-Error-Code": "EntryNotFound" if known else "RepoNotFound", **({"X-Repo-Commit": COMMIT} if known else {})})
        if not is_storage and match[2] not in ("main", COMMIT):
            return self._send(404, {"X-Error-Code": "RevisionNotFound"})
        data = self.hub.files[key]
        etag = hashlib.sha256(data).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if not is_storage and len(data) >= self.hub.large:
            moved = {"Location": f"{self.hub.storage}/storage/{key}", "X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(data))}
            return self._send(302, {**headers, **moved})
        return self._send_file(name, data, headers, with_body)

    def _send_file(self, name: str, data: bytes, headers: dict[str, str], with_body: bool) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(wanted[1]) if wanted else 0
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self.send_response(206 if wanted else 200)
        for header, value in {**headers, "Content-Length": str(len(data) - start)}.items():
            self.send_header(header, value)
        self.end_headers()
        if not with_body:
            return
        drops = self.hub.drops.get(name)
        if drops:
            self.wfile.write(data[start : start + drops.pop(0)])
            self.close_connection = True
            return
        if name in self.hub.pause_s:
            half = start + (len(data) - start) // 2
            self.wfile.write(data[start:half])
            self.wfile.flush()
            self.hub.started.set()
            time.sleep(self.hub.pause_s[name])
            start = half
        self.wfile.write(data[start:])

    def _send(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for header, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(body)


class _Guard(BaseHTTPRequestHandler):
    """A proxy that asks for a password, whatever is asked of it."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_CONNECT(self) -> None:
        self.send_response(407)
        self.send_header("Proxy-Authenticate", 'Basic realm="proxy"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.do_CONNECT()

    def do_HEAD(self) -> None:
        self.do_CONNECT()


@contextmanager
def open_proxy() -> Iterator[str]:
    """Serve such a proxy; yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Guard) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
