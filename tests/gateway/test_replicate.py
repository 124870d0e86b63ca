"""Replicate: its own Python client with our predictor, and the gateway before its API, both on a local stand-in of that API before the real server."""

from __future__ import annotations

import asyncio
import base64
import io
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest
import replicate
from replicate.exceptions import ModelError

from bark_core.errors import InvalidInput
from bark_core.gateway.replicate import Replicate
from scripts.server import Server
from tests.gateway.replicate_api import TOKEN, VERSION, ReplicateApi
from tests.gateway.running import Gateway, read_error, read_wav, wait_until
from tests.gateway.speakers.sound import make_samples

pytestmark = pytest.mark.slow

TEXT = "Good morning."


@pytest.fixture(scope="module")
def demo(cog: Server) -> Iterator[ReplicateApi]:
    with ReplicateApi(cog.url, has_delivery=False) as api:
        yield api


@pytest.fixture(scope="module")
def quick(noise: Server) -> Iterator[ReplicateApi]:
    with ReplicateApi(noise.url, is_official=False) as api:
        yield api


@pytest.fixture(scope="module")
def before_quick(quick: ReplicateApi) -> Iterator[Gateway]:
    with Gateway(replicate=("bark/bark", TOKEN), api=quick.url) as gateway:
        yield gateway


def test_the_python_client_runs_our_model(demo: ReplicateApi, cog: Server) -> None:
    client = replicate.Client(api_token=TOKEN, base_url=demo.url)
    inputs = {"prompt": TEXT, "history_prompt": "demo_speaker_0", "seed": 5}
    expected = base64.b64decode(cog.predict(**inputs).body["output"].partition(",")[2])
    output: Any = client.run("bark/bark", input=inputs)
    assert output.read() == expected
    # An output is a voice for the next prediction, sent as a file.
    again: Any = client.run(f"bark/bark:{VERSION}", input={"prompt": "Yes.", "seed": 5, "custom_history_prompt": io.BytesIO(expected)})
    assert len(read_wav(again.read())) > 1000
    with pytest.raises(ModelError, match="The text is empty"):
        client.run("bark/bark", input={"prompt": " "})


def test_the_python_client_runs_it_asynchronously_with_progress_and_cancel(demo: ReplicateApi) -> None:
    async def run() -> bytes:
        client = replicate.Client(api_token=TOKEN, base_url=demo.url)
        output: Any = await client.async_run("bark/bark", input={"prompt": TEXT, "seed": 6})
        return await output.aread()

    assert len(read_wav(asyncio.run(run()))) > 1000
    client = replicate.Client(api_token=TOKEN, base_url=demo.url)
    prediction = client.models.predictions.create("bark/bark", input={"prompt": "The quick brown fox jumps over the dog. " * 3, "min_eos_p": 1})
    prediction.cancel()
    prediction.wait()
    assert prediction.status in ("canceled", "succeeded")


def test_the_gateway_speaks_through_replicate(before_quick: Gateway, quick: ReplicateApi) -> None:
    quick.seen.clear()
    answer = before_quick.speak(TEXT, voice="alloy", seed=21, response_format="pcm")
    assert answer.status_code == 200, answer.text
    np.testing.assert_array_equal(np.frombuffer(answer.content, "<i2"), make_samples(21))
    given = next(iter(quick.predictions.values()))["input"]
    assert given["prompt"] == TEXT and given["seed"] == 21
    # The token goes to the API alone.
    assert {(path.startswith("/delivery"), token) for _, path, token in quick.seen} == {(False, f"Bearer {TOKEN}"), (True, None)}


def test_the_page_works_through_replicate(before_quick: Gateway) -> None:
    assert before_quick.client.get("/health-check").json()["status"] == "READY"
    assert before_quick.client.get("/openapi.json").json()["components"]["schemas"]["Input"]
    answer = before_quick.client.put("/predictions/one", json={"input": {"prompt": TEXT, "seed": 22}}).json()
    assert answer["status"] == "succeeded" and answer["output"].startswith("data:audio/wav;base64,")
    failed = before_quick.client.put("/predictions/two", json={"input": {"prompt": "fail"}}).json()
    assert (failed["status"], failed["error"]) == ("failed", "The text cannot be spoken; give another.")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(before_quick.client.put, "/predictions/three", json={"input": {"prompt": "wait 20"}})
        look: dict[str, Any] = {"json": {"input": []}, "headers": {"Prefer": "respond-async"}}
        wait_until(lambda: before_quick.client.put("/predictions/three", **look).json().get("status") == "processing")
        before_quick.client.post("/predictions/three/cancel")
        assert running.result().json()["status"] == "canceled"


def test_a_cancel_while_replicate_still_creates_a_prediction_is_kept(before_quick: Gateway, quick: ReplicateApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick, "create_s", 1.5)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(before_quick.client.put, "/predictions/early", json={"input": {"prompt": "wait 20", "seed": 98}})
        time.sleep(0.5)
        assert not any(each["input"].get("seed") == 98 for each in quick.predictions.values())
        before_quick.client.post("/predictions/early/cancel")
        assert running.result().json()["status"] == "canceled"


def test_a_client_that_goes_away_cancels_at_replicate(before_quick: Gateway, quick: ReplicateApi) -> None:
    with pytest.raises(httpx.ReadTimeout):
        before_quick.client.post("/v1/audio/speech", json={"input": "wait 30", "seed": 99}, timeout=0.8)
    mine = [each for each in quick.predictions.values() if each["input"].get("seed") == 99]
    wait_until(lambda: [each["status"] for each in mine] == ["canceled"])


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        ((401, {"detail": "Invalid token"}), 502, "the token in REPLICATE_API_TOKEN (status 401): Invalid token"),
        ((402, {"detail": "You have run out of credit"}), 502, "run out of credit"),
        ((422, {"detail": "input: prompt is required"}), 400, "prompt is required"),
        ((500, {}), 503, "status 500"),
        ((200, {}), 502, "no version"),
        ((200, {"latest_version": {"openapi_schema": 3}}), 502, "not the schema of a Cog model"),
    ],
)
def test_what_replicate_refuses_is_a_sentence(quick: ReplicateApi, fault: tuple[int, dict[str, object]], status: int, words: str) -> None:
    with Gateway(replicate=("bark/bark", TOKEN), api=quick.url) as gateway:
        quick.fault = fault
        try:
            answer = gateway.speak()
        finally:
            quick.fault = None
    assert answer.status_code == status, answer.text
    assert words in read_error(answer)["message"]
    assert TOKEN not in answer.text


def test_the_token_is_in_no_log_and_no_message(quick: ReplicateApi, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Gateway(replicate=("bark/bark", TOKEN), api=quick.url) as gateway:
        assert gateway.speak().status_code == 200
    with Gateway(replicate=("bark/bark", TOKEN + "x"), api=quick.url) as gateway:
        answer = gateway.speak()
        assert answer.status_code == 502 and "valid authentication token" in answer.text
    with Gateway(replicate=("bark/bark", TOKEN), api="http://127.0.0.1:9") as gateway:
        answer = gateway.speak()
        assert answer.status_code == 503
    assert TOKEN not in caplog.text + answer.text


@pytest.mark.parametrize("token", [None, "", " ", "two words", "r8_\r\nX-Evil: 1", "r8_é"])
def test_a_token_that_is_none_is_refused_without_being_shown(token: str | None) -> None:
    with pytest.raises(InvalidInput, match="REPLICATE_API_TOKEN") as refused:
        Replicate("bark/bark", token)
    assert "r8_" not in str(refused.value)


@pytest.mark.parametrize("name", ["bark", "bark/bark/bark", "../models", "bark/ba rk", "https://replicate.com/bark/bark", ""])
def test_a_model_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="owner/name"):
        Replicate(name, TOKEN)


def test_waiting_is_bounded_though_replicate_takes_many(before_quick: Gateway) -> None:
    begin = time.monotonic()
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda seed: before_quick.speak(seed=seed, response_format="pcm"), (31, 32, 33)))
    assert [answer.status_code for answer in answers] == [200] * 3
    for seed, answer in zip((31, 32, 33), answers, strict=True):
        np.testing.assert_array_equal(np.frombuffer(answer.content, "<i2"), make_samples(seed))
    assert time.monotonic() - begin < 15
