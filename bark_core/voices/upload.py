"""A file that somebody sent, or a URL of it, kept for a while: so many bytes, downloaded in so many seconds. Knows not what is in it.

A server that sends a byte a second keeps every single read within any limit. So the transfer has a thread of its own, and
whoever waits for it shuts its connection down when time is up, or when the waiting itself is interrupted.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import socket
import ssl
import string
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from io import IOBase
from pathlib import Path
from typing import Any

from bark_core.errors import InvalidInput

MAX_BYTES, MAX_SECONDS = 64 * 2**20, 60.0
"""What is enough for a voice: a quarter of an hour of our WAVs has 43 MB."""

STALL_S = 10.0
"""Seconds for a connection to be made, and for each byte to follow the one before it."""

CHUNK_BYTES = 2**16


@contextlib.contextmanager
def keep_upload(source: object, folder: str | os.PathLike[str], name: str) -> Iterator[Path | None]:
    """Keep what an open file or an http(s) URL gives as a file in `folder` meanwhile; None where there is no source.

    Raises: InvalidInput, also out of the block, in which messages call the file by `name`: where it was kept means nothing to who sent it.
    """
    path = Path(folder) / f"upload-{secrets.token_hex(8)}"
    try:
        if isinstance(source, str) and source.lower().startswith(("http://", "https://")):
            download(source, path, name)
        elif isinstance(source, IOBase):
            path.write_bytes(source.read())
        elif source is not None:  # above all the name of a file of this machine
            raise InvalidInput(f"{name} was {str(source)[:80]!r}; it must be an uploaded file: an http(s) or data: URL of an .npz or a WAV.")
        yield None if source is None else path
    except InvalidInput as error:
        raise InvalidInput(str(error).replace(str(path), name)) from error
    finally:
        path.unlink(missing_ok=True)


def download(url: str, target: Path, name: str, max_bytes: int = MAX_BYTES, max_seconds: float = MAX_SECONDS) -> None:
    """Write what an http or https URL gives to `target`. What ends the waiting ends the transfer, and leaves no file.

    `name` is what messages call it. Raises: InvalidInput, in one sentence, for whatever is wrong with the URL or its server.
    """
    transfer = _Transfer(url, target, max_bytes)
    thread = threading.Thread(target=transfer.run, daemon=True)
    thread.start()
    end = time.monotonic() + max_seconds
    try:
        while thread.is_alive():
            thread.join(0.05)
            if time.monotonic() > end and thread.is_alive():
                raise InvalidInput(f"{name} was not downloaded within {max_seconds:g} seconds; use a faster server, or send the file itself as a data: URL.")
    finally:
        transfer.close()
        thread.join(1.0)  # its connections are shut down, so that it has nothing to wait for but a name or a handshake
    if transfer.reason is not None:
        raise InvalidInput(f"{name} could not be downloaded: {transfer.reason}. Check the URL, or send the file itself as a data: URL.")


class _Transfer:
    """One download, and the connections that it makes."""

    def __init__(self, url: str, target: Path, max_bytes: int) -> None:
        self._url, self._target, self._max_bytes = url, target, max_bytes
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._closed = False
        self.reason: str | None = None

    def run(self) -> None:
        """Download; what goes wrong becomes the `reason`."""
        try:
            self._run()
        except urllib.error.HTTPError as error:
            self.reason = f"the server answered {error.code} {error.reason}"
            error.close()
        except Exception as error:  # of urllib, http.client, ssl and the system: a server can break anything
            self.reason = str(getattr(error, "reason", None) or error).strip().split("\n")[0].rstrip(".")[:200] or type(error).__name__
        if self.reason is not None:
            self._target.unlink(missing_ok=True)

    def _run(self) -> None:
        n_bytes = 0
        # Spaces and letters that no URL may have are escaped; what is escaped already stays as it is.
        request = urllib.request.Request(urllib.parse.quote(self._url, safe=string.punctuation), headers={"User-Agent": "bark"})
        with _make_opener(self).open(request, timeout=STALL_S) as response, open(self._target, "wb") as file:
            while chunk := response.read1(CHUNK_BYTES):
                n_bytes += len(chunk)
                if n_bytes > self._max_bytes:
                    raise ValueError(f"it has more than {self._max_bytes / 2**20:g} MiB, which no voice has")
                file.write(chunk)
            if response.length:
                raise ValueError(f"the connection broke {response.length} bytes before its end")
        self._check_awaited()

    def watch(self, connection: socket.socket) -> None:
        """Take note of a connection. Raises: ConnectionAbortedError where nobody waits any more."""
        with self._lock:
            self._check_awaited()
            self._sockets.append(connection.dup())  # TLS takes the socket itself over

    def _check_awaited(self) -> None:
        if self._closed:
            raise ConnectionAbortedError("nobody waits for it any more")

    def close(self) -> None:
        """Break off all connections; the thread that reads from them then ends."""
        with self._lock:
            self._closed = True
            for each in self._sockets:
                with contextlib.suppress(OSError), each:
                    each.shutdown(socket.SHUT_RDWR)


def _make_opener(transfer: _Transfer) -> urllib.request.OpenerDirector:
    """Return what opens http and https URLs, through proxies and redirects, on connections that the transfer watches."""

    class Http(http.client.HTTPConnection):
        def connect(self) -> None:
            super().connect()
            transfer.watch(self.sock)

    class Https(http.client.HTTPSConnection, Http):
        """Its connect makes the plain connection first, by Http's, and then speaks TLS on it."""

    class HttpHandler(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> Any:
            return self.do_open(Http, req)

    class HttpsHandler(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> Any:
            return self.do_open(Https, req, context=ssl.create_default_context())

    opener = urllib.request.OpenerDirector()
    for handler in (
        HttpHandler,
        HttpsHandler,
        urllib.request.ProxyHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener
