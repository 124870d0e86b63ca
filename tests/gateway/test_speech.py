"""POST /v1/audio/speech in front of the real server with the demo: formats, fields, voices, seeds."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import av
import numpy as np
import pytest

from bark_core.voices.files import read_info
from scripts.server import Server
from tests.gateway.running import Gateway, read_error, read_wav

pytestmark = pytest.mark.slow

TEXT = "Good morning."
MEDIA_TYPES = {"mp3": "audio/mpeg", "opus": "audio/ogg", "aac": "audio/aac", "flac": "audio/flac", "wav": "audio/wav", "pcm": "audio/pcm"}
CODECS = {"mp3": "mp3float", "opus": "opus", "aac": "aac", "flac": "flac", "wav": "pcm_s16le"}


@pytest.fixture(scope="module")
def through_cog(cog: Server) -> bytes:
    """What Cog itself answers."""
    answer = cog.predict(prompt=TEXT, seed=7, history_prompt="demo_speaker_1")
    return base64.b64decode(answer.body["output"].partition(",")[2])


def decode(data: bytes) -> tuple[str, int, np.ndarray]:
    """Return the codec, the rate and the samples of a file."""
    with av.open(io.BytesIO(data), "r") as file:
        stream = file.streams.audio[0]
        resampler = av.AudioResampler(format="flt", layout="mono", rate=24_000)
        frames = [part for frame in file.decode(stream) for part in resampler.resample(frame)] + resampler.resample(None)
        return stream.codec.name, stream.rate, np.concatenate([frame.to_ndarray()[0] for frame in frames])


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest correlation of two recordings, wherever the one begins in the other."""
    size = len(one) + len(other)
    product = np.fft.irfft(np.fft.rfft(one, size) * np.conj(np.fft.rfft(other, size)), size)
    return float(np.abs(product).max() / (np.linalg.norm(one) * np.linalg.norm(other)))


def test_wav_and_pcm_are_what_cog_gives(gateway: Gateway, through_cog: bytes) -> None:
    fields = {"voice": "demo_speaker_1", "seed": 7}
    wav, pcm = (gateway.speak(TEXT, response_format=name, **fields) for name in ("wav", "pcm"))
    assert wav.content == through_cog
    assert wav.headers["x-bark-seed"] == pcm.headers["x-bark-seed"] == "7"
    np.testing.assert_array_equal(np.frombuffer(pcm.content, "<i2"), read_wav(through_cog))


@pytest.mark.parametrize("name", [None, *MEDIA_TYPES])
def test_every_format_holds_the_same_speech(gateway: Gateway, through_cog: bytes, name: str | None) -> None:
    fields = {} if name is None else {"response_format": name}
    answer = gateway.speak(TEXT, voice="demo_speaker_1", seed=7, **fields)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPES[name or "mp3"]
    assert int(answer.headers["content-length"]) == len(answer.content)
    if name == "pcm":
        return  # compared sample by sample above
    codec, rate, samples = decode(answer.content)
    assert codec == CODECS[name or "mp3"]
    assert rate == (48_000 if name == "opus" else 24_000)
    expected = read_wav(through_cog) / 32767
    assert abs(len(samples) - len(expected)) < 0.12 * 24_000  # codecs work by frames, and begin with some silence
    assert likeness(samples, expected) > 0.9


def test_speed_changes_the_length_and_keeps_the_voice_in_the_file(gateway: Gateway, through_cog: bytes, tmp_path: Path) -> None:
    length = len(read_wav(through_cog))
    for speed in (0.25, 2, 4):
        answer = gateway.speak(TEXT, voice="demo_speaker_1", seed=7, speed=speed, response_format="wav")
        assert len(read_wav(answer.content)) == pytest.approx(length / speed, abs=2)
    path = tmp_path / "fast.wav"
    path.write_bytes(answer.content)
    assert read_info(path)["seed"] == 7


def test_another_sample_rate(gateway: Gateway, through_cog: bytes) -> None:
    answer = gateway.speak(TEXT, voice="demo_speaker_1", seed=7, sample_rate=8000, response_format="pcm")
    assert len(answer.content) // 2 == -(-len(read_wav(through_cog)) // 3)


def test_events_carry_the_same_bytes(gateway: Gateway, through_cog: bytes) -> None:
    answer = gateway.speak(TEXT, voice="demo_speaker_1", seed=7, response_format="pcm", stream_format="sse")
    assert answer.headers["content-type"].startswith("text/event-stream")
    *deltas, done = [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n\n") if line]
    assert [delta["type"] for delta in deltas] == ["speech.audio.delta"] * len(deltas)
    audio = b"".join(base64.b64decode(delta["audio"]) for delta in deltas)
    np.testing.assert_array_equal(np.frombuffer(audio, "<i2"), read_wav(through_cog))
    assert len(deltas) > 1
    usage = done["usage"]
    assert done["type"] == "speech.audio.done"
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] and usage["output_tokens"] > 10


def test_a_seed_left_out_is_told_and_makes_the_same_again(gateway: Gateway) -> None:
    first = gateway.speak("Yes.", voice="alloy", response_format="wav")
    again = gateway.speak("Yes.", voice="alloy", response_format="wav", seed=float(first.headers["x-bark-seed"]))
    assert again.content == first.content


def test_temperatures_reach_the_model(gateway: Gateway, tmp_path: Path) -> None:
    answer = gateway.speak("Yes.", voice="alloy", seed=3, temperature=0.6, fine_temp=0.4, min_eos_p=0.3, top_k=50, top_p=None, response_format="wav")
    path = tmp_path / "spoken.wav"
    path.write_bytes(answer.content)
    info = read_info(path)
    assert (info["text_temp"], info["waveform_temp"], info["fine_temp"]) == (0.6, 0.6, 0.4)
    assert (info["min_eos_p"], info["top_k"]) == (0.3, 50)


@pytest.mark.parametrize("url", ["data:", "data:;base64,#", "http://[::1", "http://", "http://a:99999/v.npz", "ftp://a/v.npz", "/etc/passwd", "v.npz", ""])
def test_a_voice_that_is_no_url_of_a_file_is_named_and_not_cogs_riddle(gateway: Gateway, url: str) -> None:
    answer = gateway.speak("Yes.", custom_history_prompt=url)
    assert (answer.status_code, read_error(answer)["param"]) == (400, "custom_history_prompt")
    assert "must be an http(s) or a data: URL of a file" in read_error(answer)["message"]


def test_a_voice_as_a_data_url_reaches_the_model(gateway: Gateway, through_cog: bytes) -> None:
    answer = gateway.speak("Yes.", seed=3, custom_history_prompt=f"data:audio/wav;base64,{base64.b64encode(through_cog).decode()}", response_format="wav")
    assert answer.status_code == 200, answer.text


def test_voices_are_listed_as_clients_read_them(gateway: Gateway) -> None:
    voices = gateway.client.get("/v1/audio/voices").json()["voices"]
    assert all(set(voice) == {"id", "name", "language"} for voice in voices)
    ids = [voice["id"] for voice in voices]
    assert ids[:2] == ["demo_speaker_0", "demo_speaker_1"] and len(ids) == len(set(ids)) == 15
    assert {"alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer", "verse"} < set(ids)


def test_models_are_listed_as_clients_read_them(gateway: Gateway) -> None:
    listed = gateway.client.get("/v1/models").json()
    assert listed["object"] == "list" and [model["id"] for model in listed["data"]] == ["bark"]
    assert gateway.client.get("/v1/models/bark").json()["object"] == "model"
    assert gateway.client.get("/v1/audio/models").json()["models"][0]["id"] == "bark"
    assert gateway.client.get("/v1/models/whisper").status_code == 404


def test_alive_and_ready(gateway: Gateway) -> None:
    assert gateway.client.get("/health").json() == {"status": "ok"}
    assert gateway.client.get("/ready").status_code == 200
