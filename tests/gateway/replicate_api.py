"""A stand-in for Replicate's HTTP API on a local port, whose models are Cog servers: models, predictions, files and their delivery."""

from __future__ import annotations

import base64
import json
import re
import secrets
import threading
import time
import urllib.request
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from scripts.server import ask

TOKEN = "r8_not_a_real_token"
VERSION = "0" * 64
ENDED = {"succeeded", "failed", "canceled"}


class ReplicateApi:
    """The model bark/bark, served by the Cog server at a URL. Use as a context manager."""

    def __init__(self, cog_url: str, is_official: bool = True, has_delivery: bool = True) -> None:
        """`has_delivery`: outputs are URLs of files; else data: URLs. Replicate's client makes files of those and of https only."""
        self.cog_url, self.is_official, self.has_delivery = cog_url, is_official, has_delivery
        self.predictions: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.seen: list[tuple[str, str, str | None]] = []
        """(method, path, Authorization) of every request"""
        self.fault: tuple[int, dict[str, Any]] | None = None
        """What every request of the API is answered with, where it is not None."""
        self.create_s = 0.0
        """How long a prediction takes to be created."""

    def __enter__(self) -> ReplicateApi:
        api = self

        class Handler(_Handler):
            owner = api

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

    def begin(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Begin a prediction in a thread."""
        id = secrets.token_hex(13)
        urls = {"get": f"{self.url}/v1/predictions/{id}", "cancel": f"{self.url}/v1/predictions/{id}/cancel"}
        prediction = {"id": id, "model": "bark/bark", "version": VERSION, "status": "starting", "input": inputs, "output": None}
        self.predictions[id] = prediction | {"logs": "", "error": None, "metrics": {}, "created_at": "2026-01-01T00:00:00Z", "urls": urls}
        threading.Thread(target=self._run, args=(id, inputs), daemon=True).start()
        return self.predictions[id]

    def _run(self, id: str, inputs: dict[str, Any]) -> None:
        prediction = self.predictions[id]
        while True:
            answer = ask(self.cog_url, "PUT", f"/predictions/{id}", {"input": inputs})
            if answer.status != 409:
                break
            time.sleep(0.05)
        if answer.status != 200:
            prediction |= {"error": json.dumps(answer.body), "status": "failed"}
            return
        body = answer.body
        output = body.get("output")
        if output is not None and self.has_delivery:
            self.files[id] = base64.b64decode(output.partition(",")[2])
            output = f"{self.url}/delivery/{id}/output.wav"
        prediction |= {"output": output, "logs": body.get("logs"), "error": body.get("error"), "metrics": body.get("metrics")}
        prediction["status"] = body["status"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: ReplicateApi

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: tests look at `seen`."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        api = self.owner
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        api.seen.append((self.command, self.path, self.headers.get("Authorization")))
        if found := re.fullmatch(r"/delivery/(\w+)/output.wav", self.path):
            return self._send(200, api.files[found[1]], "audio/wav")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._send_json(401, {"title": "Unauthenticated", "detail": "You did not pass a valid authentication token", "status": 401})
        if api.fault is not None:
            return self._send_json(*api.fault)
        handlers = {
            r"GET /v1/models/bark/bark": self._show_model,
            r"GET /v1/models/bark/bark/versions/\w+": self._show_version,
            r"POST /v1/models/bark/bark/predictions": self._create_official,
            r"POST /v1/predictions": self._create,
            r"GET /v1/predictions/(\w+)": self._show_prediction,
            r"POST /v1/predictions/(\w+)/cancel": self._cancel,
            r"POST /v1/files": self._keep_file,
        }
        for pattern, handler in handlers.items():
            if found := re.fullmatch(pattern, f"{self.command} {self.path}"):
                return handler(body, *found.groups())
        return self._send_json(404, {"detail": "The requested resource could not be found.", "status": 404})

    def _version(self) -> dict[str, Any]:
        schema = ask(self.owner.cog_url, "GET", "/openapi.json").body
        return {"id": VERSION, "created_at": "2026-01-01T00:00:00Z", "cog_version": "0.23.1", "openapi_schema": schema}

    def _show_model(self, _: bytes) -> None:
        about = {"url": "https://replicate.com/bark/bark", "owner": "bark", "name": "bark", "description": None, "visibility": "public"}
        more = {"github_url": None, "paper_url": None, "license_url": None, "run_count": 1, "cover_image_url": None, "default_example": None}
        self._send_json(200, {**about, **more, "latest_version": self._version()})

    def _show_version(self, _: bytes) -> None:
        self._send_json(200, self._version())

    def _create_official(self, body: bytes) -> None:
        if not self.owner.is_official:
            return self._send_json(404, {"detail": "The requested resource could not be found.", "status": 404})
        return self._create(body)

    def _create(self, body: bytes) -> None:
        time.sleep(self.owner.create_s)
        prediction = self.owner.begin(json.loads(body)["input"])
        end = time.monotonic() + (60 if "wait" in self.headers.get("Prefer", "") else 0)
        while prediction["status"] not in ENDED and time.monotonic() < end:
            time.sleep(0.01)
        self._send_json(201, prediction)

    def _show_prediction(self, _: bytes, id: str) -> None:
        self._send_json(200, self.owner.predictions[id])

    def _cancel(self, _: bytes, id: str) -> None:
        ask(self.owner.cog_url, "POST", f"/predictions/{id}/cancel")
        self._send_json(200, self.owner.predictions[id])

    def _keep_file(self, body: bytes) -> None:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        parts: list[Message] = list(BytesParser(policy=HTTP).parsebytes(head + body).iter_parts())  # pyright: ignore[reportAttributeAccessIssue]
        content = next(part.get_payload(decode=True) for part in parts if part.get_filename())
        id = secrets.token_hex(8)
        assert isinstance(content, bytes)
        self.owner.files[id] = content
        name = {"id": id, "name": "file", "content_type": "application/octet-stream", "size": len(content), "etag": id, "checksums": {}, "metadata": {}}
        self._send_json(201, {**name, "created_at": "2026-01-01T00:00:00Z", "expires_at": None, "urls": {"get": f"{self.owner.url}/delivery/{id}/output.wav"}})

    def _send_json(self, status: int, body: Any) -> None:
        self._send(status, json.dumps(body).encode(), "application/json")

    def _send(self, status: int, body: bytes, media_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:
        return answer.read()
