"""Start the real Cog server on a checkout, without Docker, and talk to it. Used by scripts/predict.py and by the tests."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.schema import ROOT, write_schema

IMAGE_SETTINGS = {"MALLOC_ARENA_MAX": "2"}
"""What cog.yaml sets for every model, for reasons that it gives."""

_PREDICTION_TIMEOUT_S = 3600.0
_ADDRESS = re.compile(r"Starting coglet server on (\S+:\d+)")
_STYLING = re.compile(r"\x1b\[[0-9;]*m")
# A log line as coglet prints it: time, level, where from, the message, then what it belongs to.
_LOG_LINE = re.compile(r"^\S+Z\s+[A-Z]+ (?P<source>\S+): (?P<message>.*?)(?: prediction_id=\S+)?(?: source=\w+)?$")


class ServerError(Exception):
    """The server did not start, or died; the message says why."""


@dataclass(frozen=True)
class Answer:
    """What the server answered: an HTTP status, and a JSON body."""

    status: int
    body: Any


def ask(url: str, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, timeout_s: float = 600.0) -> Answer:
    """Send one request to a server at `url`; return its answer, whatever its status. Raises: OSError where there is none."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Content-Type": "application/json", **(headers or {})}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:
            return Answer(response.status, _parse(response.read()))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, _parse(error.read()))


def predict(url: str, inputs: Mapping[str, Any]) -> Answer:
    """Run a prediction on the server at `url` and wait for it. While the slot of the one before is being freed it says 409: try again."""
    end = time.monotonic() + 60.0
    while True:
        answer = ask(url, "POST", "/predictions", {"input": inputs}, timeout_s=_PREDICTION_TIMEOUT_S)
        if answer.status != 409 or time.monotonic() > end:
            return answer
        time.sleep(0.05)


class Server:
    """A running server. Use it as `with Server(...) as server:`; it is ready to predict inside the block and gone after it."""

    def __init__(
        self,
        env: Mapping[str, str] | None = None,
        predictor: Path = ROOT / "predict.py",
        folder: Path = ROOT,
        ready_timeout_s: float = 600.0,
        on_log: Callable[[str], None] | None = None,
    ) -> None:
        """Prepare to serve `predictor` from `folder`, with `env` added to the environment.

        `on_log` hears what the predictor prints, line by line. The server and all that it starts keep their temporary
        files in `scratch`, a folder that goes with the server.
        """
        self._predictor, self._folder, self._env = predictor, folder, dict(env or {})
        self._ready_timeout_s, self._on_log = ready_timeout_s, on_log
        self._address: str | None = None
        self._tail: deque[str] = deque(maxlen=400)
        self._scratch = tempfile.TemporaryDirectory(prefix="bark-server-", ignore_cleanup_errors=True)
        self.scratch = Path(self._scratch.name)
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Server:
        try:
            self.launch()
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where the server listens."""
        assert self._address is not None
        return f"http://{self._address}"

    @property
    def pid(self) -> int:
        """The server's process; its worker is a child of it."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """The last lines that the server logged."""
        return "\n".join(self._tail)

    def launch(self) -> None:
        """Write the schema, start the process and wait until it says where it listens."""
        write_schema(self._predictor, self._folder / ".cog" / "openapi_schema.json")
        # The server starts its worker as `python`, whichever comes first on PATH.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        stub = f"{os.path.relpath(self._predictor, self._folder)}:Predictor"
        settings = {"PATH": path, "PORT": "0", "COG_PREDICT_TYPE_STUB": stub, "LOG_FORMAT": "console", "TMPDIR": str(self.scratch)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cog.server.http", "--host", "127.0.0.1"],
            cwd=self._folder,
            env={**os.environ, **IMAGE_SETTINGS, **settings, **self._env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        for _ in self._watch("say where it listens", 60.0):
            if self._address is not None:
                return

    def wait_ready(self) -> None:
        """Wait for the end of setup. Raises: ServerError where it failed, with its reason."""
        for _ in self._watch("become ready", self._ready_timeout_s):
            state = self.request("GET", "/health-check").body
            if state["status"] == "READY":
                return
            if state["status"] in ("SETUP_FAILED", "DEFUNCT", "UNHEALTHY"):
                raise ServerError(f"The server's setup failed: {_last_reason(state['setup']['logs'])}")
            if "Traceback (most recent call last)" in self.log:
                raise ServerError(f"The server's worker died during setup:\n{self.log}")

    def _watch(self, purpose: str, timeout_s: float) -> Iterator[None]:
        """Yield ten times a second while the process lives and there is time left."""
        assert self._process is not None
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if self._process.poll() is not None:
                time.sleep(0.2)  # the reader of its log may be a moment behind
                raise ServerError(f"The server ended with exit code {self._process.returncode} before it could {purpose}:\n{self.log}")
            yield
            time.sleep(0.1)
        raise ServerError(f"The server did not {purpose} within {timeout_s:.0f} seconds:\n{self.log}")

    def _read_log(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        for raw in self._process.stderr:
            line = _STYLING.sub("", raw.rstrip("\n"))
            self._tail.append(line)
            if self._address is None and (found := _ADDRESS.search(line)):
                self._address = found[1]
            parsed = _LOG_LINE.match(line)
            if self._on_log is not None and parsed is not None and " source=" in line and parsed["source"] == "coglet::prediction":
                self._on_log(parsed["message"])

    def request(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, timeout_s: float = 600.0) -> Answer:
        """Send one request; return its answer, whatever its status."""
        return ask(self.url, method, path, body, headers, timeout_s)

    def predict(self, **inputs: Any) -> Answer:
        """Run a prediction and wait for it."""
        return predict(self.url, inputs)

    def stop(self) -> int | None:
        """Ask the server to end, insist if it does not; return its exit code. What it kept in `scratch` goes, too."""
        code = None
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                code = self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                code = self._process.wait()
            if self._reader is not None:
                self._reader.join(5)
            if self._process.stderr is not None:
                self._process.stderr.close()
        self._scratch.cleanup()
        return code


def _parse(body: bytes) -> Any:
    with contextlib.suppress(ValueError):
        return json.loads(body)
    return body.decode(errors="replace")


def _last_reason(logs: str) -> str:
    """Return the last line of setup's logs that says something."""
    lines = [line for line in logs.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it gave no reason."
