"""A server that looks like a Cog server until it is asked for a prediction."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Impostor:
    """`answer` is what predictions are answered with; `raw`, where it is not None, what is sent instead of any HTTP."""

    def __init__(self) -> None:
        self.answer: tuple[int, bytes] = (200, b"{}")
        self.raw: bytes | None = None
        self.schema: Any = {
            "paths": {"/predictions": {"post": {}}},
            "components": {"schemas": {"Input": {"properties": {"prompt": {"type": "string"}}}}},
        }

    def __enter__(self) -> Impostor:
        impostor = self

        class Handler(_Handler):
            owner = impostor

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: Impostor

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        body = self.owner.schema if self.path == "/openapi.json" else {"status": "READY", "setup": {"logs": 3}}
        self._send(200, json.dumps(body).encode())

    def do_POST(self) -> None:
        self.do_PUT()

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.owner.raw is not None:
            self.wfile.write(self.owner.raw)
            self.close_connection = True
            return
        self._send(*self.owner.answer)

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
