"""The concurrent predictor on the real Cog server: each prediction is what it is alone, whoever comes, fails or is cancelled beside it."""

from __future__ import annotations

import base64
import io
import time
import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bark_core import Bark
from scripts.server import ROOT, Answer, Server
from tests.gateway.running import Gateway

pytestmark = pytest.mark.slow

LONG = " ".join(f"This is sentence number {n} of a long story that nobody will hear." for n in range(200))
TEXTS = ["Good morning.", "The train leaves at nine.", "A small house."]
MAX_AT_ONCE = 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    env = {"BARK_MODEL": "demo", "PYTHONPATH": str(ROOT), "COG_MAX_CONCURRENCY": str(MAX_AT_ONCE)}
    with Server(env, ROOT / "predictors" / "concurrent.py", tmp_path_factory.mktemp("concurrent")) as running:
        yield running


@pytest.fixture(scope="module")
def alone() -> list[bytes]:
    """What each text is, spoken alone with its number as the seed."""
    bark = Bark.load("demo")
    return [bark.generate(text, seed=seed).to_wav() for seed, text in enumerate(TEXTS)]


def send(server: Server, n: int, **more: Any) -> Answer:
    return server.predict(**{"prompt": TEXTS[n], "seed": n, **more})


def check(answer: Answer, n: int, wanted: bytes) -> None:
    """Hold an answer to the audio, the log and the metrics of one text, and to nothing of the others."""
    body = answer.body
    assert (answer.status, body["status"]) == (200, "succeeded"), body
    assert base64.b64decode(body["output"].partition(",")[2]) == wanted
    logs = body["logs"]
    assert f"Seed: {n}\n" in logs and f"Speaking {TEXTS[n]!r}" in logs and "100%" in logs and "\x1b" not in logs
    assert logs.count("Seed: ") == logs.count("Speaking ") == 1
    assert body["metrics"]["seed"] == n and body["metrics"]["semantic_tokens"] > 0 and body["metrics"]["utterances"] == 1


def wait_for_status(server: Server, status: str) -> None:
    end = time.monotonic() + 60
    while server.request("GET", "/health-check").body["status"] != status:
        assert time.monotonic() < end, f"the server did not become {status}"
        time.sleep(0.02)


def test_many_at_once_one_cancelled_one_too_many(server: Server, alone: list[bytes]) -> None:
    for n in range(MAX_AT_ONCE):
        begun = server.request("PUT", f"/predictions/endless-{n}", {"input": {"prompt": LONG, "seed": n}}, {"Prefer": "respond-async"})
        assert begun.status == 202
    wait_for_status(server, "BUSY")
    assert server.request("POST", "/predictions", {"input": {"prompt": "One too many."}}).status == 409, "it is told at once to come again"
    for n in range(1, MAX_AT_ONCE):
        assert server.request("POST", f"/predictions/endless-{n}/cancel").status == 200
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(send, server, n) for n in range(3)]
        check(waiting[0].result(), 0, alone[0])
        assert server.request("POST", "/predictions/endless-0/cancel").status == 200
        for n in (1, 2):
            check(waiting[n].result(), n, alone[n])


def test_a_bad_request_fails_alone(server: Server, alone: list[bytes]) -> None:
    with ThreadPoolExecutor(4) as pool:
        good = [pool.submit(send, server, n) for n in (0, 2)]
        bad = [pool.submit(send, server, 1, prompt="[pause -1s] Hello."), pool.submit(send, server, 1, custom_history_prompt="/etc/passwd")]
        refused, failed = bad[0].result(), bad[1].result()
        assert refused.body["status"] == "failed" and "[pause -1s]" in refused.body["error"]
        assert failed.body["status"] == "failed" and "custom_history_prompt" in failed.body["error"]
        for n, answer in zip((0, 2), good, strict=True):
            check(answer.result(), n, alone[n])
    assert send(server, 1, top_k=0).status == 422


def test_the_gateway_sends_it_several_at_a_time(server: Server, alone: list[bytes]) -> None:
    with Gateway(server.url) as gateway, ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(gateway.speak, text, seed=seed, response_format="wav", model="bark") for seed, text in enumerate(TEXTS)]
        for answer, wanted in zip(waiting, alone, strict=True):
            assert answer.result().status_code == 200, answer.result().text
            assert read_samples(answer.result().content) == read_samples(wanted)


def read_samples(data: bytes) -> bytes:
    with wave.open(io.BytesIO(data)) as file:
        return file.readframes(file.getnframes())
