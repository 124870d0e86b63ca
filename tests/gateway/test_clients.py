"""Real clients and real request bodies before the real server: what each sends, and what each needs back."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import openai
import pytest

from tests.gateway.running import Gateway, read_wav

pytestmark = pytest.mark.slow

TEXT = "Good morning."
CLIENTS: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "clients.json").read_text(encoding="utf-8"))
OPENAI_VOICES = ("alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer", "verse")


@pytest.fixture(scope="module")
def client(noisy: Gateway) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{noisy.url}/v1", api_key="none is asked for", max_retries=0)


def seconds_of(data: bytes) -> float:
    """Return how long a file plays, read as a player reads it."""
    with av.open(io.BytesIO(data), "r") as file:
        return sum(frame.samples / frame.sample_rate for frame in file.decode(audio=0))


@pytest.mark.parametrize("name", CLIENTS)
def test_each_client_gets_what_it_needs(gateway: Gateway, name: str) -> None:
    body, expected = CLIENTS[name]["body"], CLIENTS[name]["answer"]
    answer = gateway.client.post("/v1/audio/speech", json=body, headers={"Authorization": "Bearer sk-none", "Accept": "*/*"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == expected
    data = answer.content
    if expected.startswith("text/event-stream"):
        events = [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n") if line.startswith("data: ")]
        assert [event["type"] for event in events[-1:]] == ["speech.audio.done"]
        data = b"".join(base64.b64decode(event["audio"]) for event in events[:-1])
    if body.get("response_format") == "pcm":
        assert len(data) % 2 == 0 and 0.4 < len(data) / 48_000 < 4
    else:
        assert 0.4 < seconds_of(data) < 4


def test_the_python_client_speaks_every_format(client: openai.OpenAI) -> None:
    wav = client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT, response_format="wav", extra_body={"seed": 7})
    length = len(read_wav(wav.read())) / 24_000
    for name in ("mp3", "opus", "aac", "flac"):
        spoken = client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT, response_format=name, extra_body={"seed": 7})
        assert seconds_of(spoken.read()) == pytest.approx(length, abs=0.12), name
    pcm = client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT, response_format="pcm", extra_body={"seed": 7})
    np.testing.assert_array_equal(np.frombuffer(pcm.read(), "<i2"), read_wav(wav.read()))


def test_the_python_client_streams_to_a_file(client: openai.OpenAI, tmp_path: Path) -> None:
    with client.audio.speech.with_streaming_response.create(model="tts-1", voice="nova", input=TEXT) as answer:
        assert answer.headers["content-type"] == "audio/mpeg"
        assert answer.headers["x-bark-seed"].isdigit()
        answer.stream_to_file(tmp_path / "speech.mp3")
    assert seconds_of((tmp_path / "speech.mp3").read_bytes()) > 0.2


def test_the_asynchronous_client_streams(noisy: Gateway) -> None:
    async def speak() -> bytes:
        async with openai.AsyncOpenAI(base_url=f"{noisy.url}/v1", api_key="none") as client:
            made = client.audio.speech.with_streaming_response.create(model="tts-1", voice="nova", input=TEXT, response_format="pcm")
            async with made as answer:
                return b"".join([part async for part in answer.iter_bytes(1024)])

    assert len(asyncio.run(speak())) == 12_000


def test_the_python_client_lists_the_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["bark"]
    assert client.models.retrieve("bark").object == "model"


def test_the_python_client_raises_its_own_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.speech.create(model="tts-1", voice="nobody", input=TEXT)
    assert refused.value.param == "voice" and refused.value.code == "voice_not_found"
    assert "There is no voice 'nobody'" in refused.value.message
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("whisper-1")


def test_the_python_client_raises_its_own_errors_about_keys(noisy: Gateway, noise: Any) -> None:
    with Gateway(noise.url, api_key="right") as gateway:
        with pytest.raises(openai.AuthenticationError):
            openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="wrong").audio.speech.create(model="tts-1", voice="alloy", input=TEXT)
        right = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="right")
        assert right.audio.speech.create(model="tts-1", voice="alloy", input=TEXT).read()
    assert noisy.client.get("/health").status_code == 200


def test_every_voice_of_openai_is_spoken(noisy: Gateway) -> None:
    for voice in OPENAI_VOICES:
        for given in (voice, {"id": voice}):
            assert noisy.speak(TEXT, voice=given, response_format="pcm").status_code == 200
