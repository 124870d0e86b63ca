"""What the tests of this room start: gateways in threads of this process, and real Cog servers with predictors of the tests' own."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import threading
import time
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from bark_core.gateway.serve import API, build_server
from bark_core.gateway.settings import Settings
from scripts.server import Server

SPEAKERS = Path(__file__).resolve().parent / "speakers"


class Gateway:
    """A gateway in a thread, in front of the Cog servers at `urls`. Settings are those of the command line."""

    def __init__(self, *urls: str, replicate: tuple[str, str | None] | None = None, api: str = API, **settings: Any) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self.socket.getsockname()
        self.url = f"http://127.0.0.1:{self.address[1]}"
        self.server = build_server(Settings(**settings), urls, replicate, api)
        self._thread = threading.Thread(target=lambda: asyncio.run(self.server.serve(sockets=[self.socket])))
        self.client = httpx.Client(base_url=self.url, timeout=60)

    def __enter__(self) -> Gateway:
        self._thread.start()
        wait_until(lambda: self.server.started)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()

    def speak(self, text: str | None = "Hello.", **fields: Any) -> httpx.Response:
        """Ask for speech; whatever the status, return the answer."""
        return self.client.post("/v1/audio/speech", json={"input": text, **fields})

    def connect(self) -> socket.socket:
        """Return a bare connection."""
        connection = socket.create_connection(self.address)
        connection.settimeout(30)
        return connection


class Speaker(Server):
    """The real Cog server with one of the predictors in speakers/."""

    def __init__(self, folder: Path, name: str, env: Mapping[str, str] | None = None, is_streaming: bool = False) -> None:
        super().__init__(env, predictor=SPEAKERS / f"{name}.py", folder=folder)
        self._is_streaming = is_streaming

    def launch(self) -> None:
        """Start it with a schema of the tests' own: what makes ours from a predictor knows neither streams nor async ones."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("scripts.server.write_schema", lambda _, target: write_schema(target, self._is_streaming))
            super().launch()


def write_schema(target: Path, is_streaming: bool) -> Path:
    output: dict[str, Any] = {"type": "string", "format": "uri", "title": "Output"}
    if is_streaming:
        output = {"type": "array", "items": {"type": "string", "format": "uri"}, "title": "Output", "x-cog-array-type": "iterator"}
    properties = {
        "prompt": {"type": "string", "title": "Prompt", "maxLength": 5_000, "x-order": 0},
        "history_prompt": {"type": "string", "title": "Voice", "nullable": True, "x-order": 1},
        "seed": {"type": "integer", "title": "Seed", "default": 0, "minimum": 0, "maximum": 2**32 - 1, "x-order": 2},
        "text_temp": {"type": "number", "title": "Temperature", "default": 0.7, "minimum": 0, "maximum": 2, "x-order": 3},
    }
    schema = {
        "openapi": "3.0.2",
        "info": {"title": "Cog", "version": "0.1.0"},
        "paths": {"/predictions": {"post": {"x-cog-streaming": is_streaming}}},
        "components": {"schemas": {"Input": {"type": "object", "title": "Input", "properties": properties, "required": ["prompt"]}, "Output": output}},
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(schema))
    return target


def wait_until(is_so: Any, timeout_s: float = 20.0) -> None:
    end = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < end, "it did not come to be in time"
        time.sleep(0.01)


def read_wav(data: bytes) -> np.ndarray:
    with wave.open(io.BytesIO(data)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def read_error(answer: httpx.Response) -> dict[str, Any]:
    """Return an answer's error, whose form is always the same."""
    body = answer.json()
    assert list(body) == ["error"] and set(body["error"]) == {"message", "type", "param", "code"}, body
    assert answer.headers["content-type"] == "application/json"
    message = body["error"]["message"]
    assert message.endswith((".", "?")) and "Traceback" not in message, message
    return body["error"]
