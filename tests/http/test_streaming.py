"""The streaming predictor on the real Cog server: pieces come one by one, each plays, and together they are the whole."""

from __future__ import annotations

import base64
import http.client
import io
import json
import time
import wave
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from bark_core import Bark
from bark_core.audio.wav import to_pcm16
from scripts.server import ROOT, Server

pytestmark = pytest.mark.slow

TEXT = (
    "Good morning. It is a fine day. The train leaves at nine, and nobody wants to miss it. We shall see the sea before noon. "
    "Then we walk home along the river, and talk about the day. A small house stands there, and its door is open."
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    env = {"BARK_MODEL": "demo", "PYTHONPATH": str(ROOT)}
    with Server(env, ROOT / "predictors" / "streaming.py", tmp_path_factory.mktemp("streaming")) as running:
        yield running


def read_events(server: Server, **inputs: Any) -> Iterator[tuple[float, str, dict[str, Any]]]:
    """Yield (seconds since the request, event, data) until the answer ends."""
    begin = time.monotonic()
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=120)
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
    connection.request("POST", "/predictions", json.dumps({"input": inputs}), headers)
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("Content-Type")) == (200, "text/event-stream")
    event = ""
    while line := answer.readline():
        kind, _, data = line.decode().strip().partition(": ")
        if kind == "event":
            event = data
        elif kind == "data":
            yield time.monotonic() - begin, event, json.loads(data)
    connection.close()


def read_samples(url: str) -> np.ndarray:
    with wave.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24_000)
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def test_pieces_come_one_by_one_and_are_the_whole(server: Server) -> None:
    events = list(read_events(server, prompt=TEXT, seed=3))
    pieces = [(at, read_samples(data["chunk"])) for at, event, data in events if event == "output"]
    assert len(pieces) > 2 and pieces[0][0] < pieces[-1][0]
    whole = Bark.load("demo").generate(TEXT, seed=3)
    assert np.array_equal(np.concatenate([samples for _, samples in pieces]), to_pcm16(whole.audio))
    metrics = {data["name"]: data["value"] for _, event, data in events if event == "metric"}
    assert metrics["seed"] == 3 and metrics["utterances"] == len(whole.utterances)
    assert 0 < metrics["first_audio_seconds"] < pieces[-1][0]
    assert events[-1][1] == "completed" and events[-1][2]["status"] == "succeeded"


def test_whoever_asks_for_no_events_gets_all_pieces_at_once(server: Server) -> None:
    answer = server.predict(prompt="Good morning.", seed=1, output_format="flac")
    assert answer.body["status"] == "succeeded" and [url[:22] for url in answer.body["output"]] == ["data:audio/flac;base64"]


def test_bad_input_is_a_sentence_and_leaves_the_server_ready(server: Server) -> None:
    answer = server.predict(prompt="[pause -1s] Hello.")
    assert answer.body["status"] == "failed" and "[pause -1s]" in answer.body["error"]
    assert server.predict(prompt="Go on.", seed=1).body["status"] == "succeeded"
    assert len(list(server.scratch.rglob("*.wav"))) == 1
