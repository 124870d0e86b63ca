"""Bytes that are sent while they are made: readable by others though nothing is mended, for every way of cutting the audio."""

from __future__ import annotations

import io
import shutil
import subprocess
import wave
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import soundfile

from bark_core.audio.formats import FORMATS, StreamEncoder
from bark_core.audio.wav import to_pcm16
from bark_core.errors import InvalidInput
from tests.audio.readers import correlation, decode, read_tags

RATE_HZ = 24_000
STREAMED = ["wav", "flac", "mp3", "ogg", "aac"]


def stream(pieces: Iterable[np.ndarray], name: str = "wav", settings: dict[str, Any] | None = None) -> bytes:
    encoder = StreamEncoder(RATE_HZ, name, settings)
    return b"".join([*map(encoder.add, pieces), encoder.finish()])


@pytest.mark.parametrize("name", STREAMED)
def test_a_stream_is_heard_whole(speech: np.ndarray, name: str) -> None:
    pieces = np.split(speech, [1, 1, 9_000, 100_000])
    sent = stream(pieces, name, {"text": "Guten Tag, 漢字."})
    decoded = decode(sent, RATE_HZ)
    alike, delay = correlation(speech, decoded)
    assert alike > 0.98 and 0 <= delay < 0.1 * RATE_HZ
    assert len(decoded) >= len(speech) + delay
    if name != "wav":
        assert read_tags(sent)["title"] == "Guten Tag, 漢字."


@pytest.mark.parametrize("name", [*STREAMED, "pcm"])
def test_how_audio_is_cut_changes_no_byte(speech: np.ndarray, name: str) -> None:
    one, many = ([speech], np.split(speech, [0, 1, 777, 50_000, 50_000]))
    assert stream(one, name) == stream(many, name)


@pytest.mark.parametrize("name", ["flac", "mp3", "ogg", "aac"])
def test_at_most_a_third_of_a_second_waits_for_the_next_piece(speech: np.ndarray, name: str) -> None:
    encoder = StreamEncoder(RATE_HZ, name)
    sent = b""
    for start in range(0, len(speech), RATE_HZ):
        sent += encoder.add(speech[start : start + RATE_HZ])
        given = min(len(speech), start + RATE_HZ)
        assert len(decode(sent, RATE_HZ)) > given - 0.33 * RATE_HZ


def test_a_wav_of_unknown_length_is_read_by_all(speech: np.ndarray) -> None:
    data = stream([speech])
    expected = to_pcm16(speech)
    np.testing.assert_array_equal(soundfile.read(io.BytesIO(data), dtype="int16")[0], expected)
    with wave.open(io.BytesIO(data)) as file:
        np.testing.assert_array_equal(np.frombuffer(file.readframes(len(expected)), "<i2"), expected)
    assert data[:4] == b"RIFF" and data[40:44] == b"\xff" * 4 and len(data) == 44 + 2 * len(speech)


@pytest.mark.parametrize("player", ["ffmpeg -v quiet -i - -f s16le -", "sox -V1 -t wav - -t raw -"])
def test_a_wav_of_unknown_length_is_read_from_a_pipe(speech: np.ndarray, player: str) -> None:
    if shutil.which(player.split()[0]) is None:
        pytest.skip(f"{player.split()[0]} is not installed here (Debian has it)")
    data = stream([speech])
    done = subprocess.run(player.split(), input=data, capture_output=True, check=True)
    np.testing.assert_array_equal(np.frombuffer(done.stdout, "<i2"), to_pcm16(speech))


@pytest.mark.parametrize("name", FORMATS)
def test_streams_without_audio_and_of_bad_audio_are_sentences(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    if name in ("m4a", "m4b"):
        with pytest.raises(InvalidInput, match=f"{name} cannot be streamed, since its index is written at the end; choose aac, mp3"):
            StreamEncoder(RATE_HZ, name)
        return
    with pytest.raises(InvalidInput, match="no audio to write"):
        stream([], name)
    with pytest.raises(InvalidInput, match="type int16"):
        stream([np.zeros(9, np.int16)], name)
    with pytest.raises(InvalidInput, match="from 8000 to 48000"):
        StreamEncoder(7_999, name)
    assert capfd.readouterr() == ("", "")
