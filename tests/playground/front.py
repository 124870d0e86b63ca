"""A server that stands where the gateway does: the page's files at /, everything else passed on to a Cog server."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "playground"


class Front(SimpleHTTPRequestHandler):
    """Serves the page's files; passes what is no file of the page on to `backend`."""

    backend = ""

    def do_GET(self) -> None:
        if self.path == "/" or (PAGE / self.path.lstrip("/")).is_file():
            super().do_GET()
        else:
            self.pass_on()

    def pass_on(self) -> None:
        connection = http.client.HTTPConnection(self.backend.removeprefix("http://"), timeout=300)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in self.headers.items() if name in ("Content-Type", "Prefer")}
        try:
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
        except OSError:
            self.close_connection = True
            self.connection.close()
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "text/plain"))
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_PUT = pass_on  # noqa: N815 -- the names that http.server calls

    def log_message(self, format: str, *args: object) -> None: ...


@contextmanager
def serve(backend: str, port: int = 0) -> Iterator[str]:
    """Serve the page in front of a Cog server; yield the address."""
    handler = partial(type("To", (Front,), {"backend": backend}), directory=str(PAGE))
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
