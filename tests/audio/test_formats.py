"""Every format, whole: read back by readers that are not ours, at every rate that it takes; and what cannot be written."""

from __future__ import annotations

import io
import json
import math
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from scipy.io import wavfile

from bark_core.audio.formats import FORMATS, check_output, encode, find_format, format_of_path
from bark_core.audio.samples import resample
from bark_core.audio.wav import encode_pcm, encode_wav, to_pcm16
from bark_core.errors import InvalidInput
from tests.audio.readers import correlation, decode, probe, read_tags

RATE_HZ = 24_000
CONTAINERS = [name for name in FORMATS if name != "pcm"]
TAGGED = [name for name in CONTAINERS if name != "wav"]
SETTINGS = {"text": 'Grüße, "Welt" \\ 漢字\nzweite Zeile', "seed": 7, "voice": None, "utterances": [{"start_s": 0.25}]}


@pytest.mark.parametrize("rate_hz", [8_000, 12_000, 16_000, 24_000, 48_000])
@pytest.mark.parametrize("name", CONTAINERS)
def test_what_is_written_is_heard_again(speech: np.ndarray, name: str, rate_hz: int) -> None:
    audio = resample(speech, RATE_HZ, rate_hz)
    decoded = decode(encode(audio, rate_hz, name), rate_hz)
    alike, delay = correlation(audio, decoded)
    assert alike > 0.98
    # Bare AAC has no place to say how much of its start is the encoder's own.
    assert delay == (1024 if name == "aac" else 0)
    extra = len(decoded) - len(audio)
    assert extra == 0 if name in ("wav", "flac") else 0 <= extra < 0.3 * rate_hz


@pytest.mark.parametrize("name", ["flac", "mp3", "ogg"])
def test_length_is_exact_for_players_that_know_the_format(speech: np.ndarray, name: str) -> None:
    for n_samples in (1, 2, 1_000, 100_001):
        samples, rate_hz = soundfile.read(io.BytesIO(encode(speech[:n_samples], RATE_HZ, name)))
        assert (len(samples), rate_hz) == (n_samples, RATE_HZ)


def test_wav_is_what_it_always_was(speech: np.ndarray) -> None:
    """scipy wrote it once; every byte is the same."""
    buffer = io.BytesIO()
    wavfile.write(buffer, RATE_HZ, to_pcm16(speech))
    assert encode(speech, RATE_HZ) == encode_wav(speech, RATE_HZ) == buffer.getvalue()
    assert encode(speech, RATE_HZ, "wav", SETTINGS, b"tokens") == encode_wav(speech, RATE_HZ, b"tokens")
    with wave.open(io.BytesIO(encode(speech, 16_000, "wav", chunk=b"odd"))) as file:
        assert (file.getframerate(), file.getnframes()) == (16_000, len(speech))


def test_flac_and_pcm_hold_the_samples_of_the_wav(speech: np.ndarray) -> None:
    expected = to_pcm16(speech)
    samples, _ = soundfile.read(io.BytesIO(encode(speech, RATE_HZ, "flac")), dtype="int16")
    np.testing.assert_array_equal(samples, expected)
    assert encode(speech, RATE_HZ, "pcm") == encode_pcm(speech)
    np.testing.assert_array_equal(np.frombuffer(encode_pcm(speech), "<i2"), expected)


@pytest.mark.parametrize("name", CONTAINERS)
def test_samples_beyond_full_scale_are_clipped_not_wrapped(name: str) -> None:
    audio = (1.3 * np.sin(np.arange(RATE_HZ) / 20)).astype(np.float32)
    alike, _ = correlation(np.clip(audio, -1, 1), decode(encode(audio, RATE_HZ, name), RATE_HZ))
    assert alike > 0.99


@pytest.mark.parametrize("n_bytes", [0, 100_000])
@pytest.mark.parametrize("name", TAGGED)
def test_settings_are_in_the_tags(speech: np.ndarray, name: str, n_bytes: int) -> None:
    """Long ones, too: those of a book are hundreds of kilobytes."""
    settings = {**SETTINGS, "more": "ü漢" * (n_bytes // 5)}
    data = encode(speech[:5_000], RATE_HZ, name, settings)
    tags = read_tags(data)
    assert tags["title"] == 'Grüße, "Welt" \\ 漢字 zweite Zeile'
    assert json.loads(tags["comment"]) == settings
    if name in ("flac", "mp3", "ogg"):
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            assert file.title == tags["title"] and json.loads(file.comment) == settings
    assert encode(speech[:5_000], RATE_HZ, name, settings) == data  # the same speech, the same bytes


@pytest.mark.parametrize("name", TAGGED)
def test_texts_that_tags_cannot_hold_are_shortened_and_mended(speech: np.ndarray, name: str) -> None:
    text = "a\0b \ud800 " + "word " * 100
    tags = read_tags(encode(speech[:5_000], RATE_HZ, name, {"text": text}))
    assert tags["title"].startswith("a b ? word word") and tags["title"].endswith("word …") and len(tags["title"]) <= 200
    assert json.loads(tags["comment"]) == {"text": text.replace("\ud800", "?")}
    plain = encode(speech[:5_000], RATE_HZ, name)  # without settings, too
    assert len(decode(plain, RATE_HZ)) >= 5_000 and not {"title", "comment"} & set(read_tags(plain))


@pytest.mark.parametrize("name", CONTAINERS)
def test_ffprobe_agrees(speech: np.ndarray, name: str, tmp_path: Path) -> None:
    path = tmp_path / f"speech.{name}"
    path.write_bytes(encode(speech, RATE_HZ, name, SETTINGS))
    found = probe(path)
    (stream,) = found["streams"]
    assert (stream["codec_type"], stream["channels"]) == ("audio", 1)
    assert stream["sample_rate"] == ("48000" if name == "ogg" else "24000")  # Opus is always played at 48 kHz
    codec = {"wav": "pcm_s16le", "ogg": "opus", "m4a": "aac", "m4b": "aac"}.get(name, name)
    assert stream["codec_name"] == codec
    assert float(found["format"]["duration"]) == pytest.approx(len(speech) / RATE_HZ, abs=0.5 if name == "aac" else 0.1)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros(0, np.float32), "no audio to write"),
        (np.array([0.1, math.nan]), "1 of the 2 samples"),
        (np.zeros(9, np.int16), "type int16"),
        (np.zeros((9, 2)), r"shape \(9, 2\)"),
    ],
    ids=["empty", "NaN", "int16", "stereo"],
)
def test_what_is_no_audio_is_a_sentence(name: str, audio: Any, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidInput, match=message):
        encode(audio, RATE_HZ, name)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("rate_hz", [0, 7_999, 48_001, 24_000.0, None])
def test_rates_out_of_range_are_sentences(name: str, rate_hz: Any) -> None:
    with pytest.raises(InvalidInput, match="from 8000 to 48000"):
        encode(np.zeros(9, np.float32), rate_hz, name)


@pytest.mark.parametrize("name", ["mp3", "ogg", "aac", "m4a", "m4b"])
def test_rates_that_a_format_does_not_take_are_listed(name: str) -> None:
    with pytest.raises(
        InvalidInput, match=f"{name} does not take a sample rate of 20000 Hz; give one of 8000, .*24000, .*48000, or another"
    ):
        check_output(name, 20_000)
    rates_hz = FORMATS[name].rates_hz
    assert rates_hz is not None
    for rate_hz in rates_hz:
        assert encode(np.full(2_000, 0.1, np.float32), rate_hz, name)


def test_odd_rates_go_into_wav_and_flac() -> None:
    for name in ("wav", "flac"):
        samples, rate_hz = soundfile.read(io.BytesIO(encode(np.full(2_000, 0.1, np.float32), 20_001, name)))
        assert (len(samples), rate_hz) == (2_000, 20_001)


def test_suffixes_say_the_format_and_unknown_ones_list_them() -> None:
    for path, name in (("a.WAV", "wav"), ("b/c.d.flac", "flac"), ("x.mp3", "mp3"), ("x.opus", "ogg"), ("x.OGG", "ogg"), ("x.m4b", "m4b")):
        assert format_of_path(path) == format_of_path(Path(path)) == name
    for name, each in FORMATS.items():
        assert all(format_of_path(f"x{suffix}") == name for suffix in each.suffixes) and each.media_type.startswith("audio/")
    with pytest.raises(
        InvalidInput, match=r"x\.wma ends in \.wma, which stands for no format; end it in one of \.wav, \.flac, \.mp3, \.ogg, "
    ):
        format_of_path("x.wma")
    with pytest.raises(InvalidInput, match="mp3 has no suffix"):
        format_of_path("mp3")
    assert find_format("opus").name == "ogg"
    for name in ("wma", "", "WAV", None, ["wav"]):
        with pytest.raises(InvalidInput, match="is not known; there are wav, flac, mp3, ogg, aac, m4a, m4b, pcm"):
            find_format(name)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("package", "name", "message"), [("soundfile", "mp3", "soundfile.*or choose wav"), ("av", "m4b", r"bark-core\[book\]")]
)
def test_a_missing_package_is_a_sentence_before_anything_slow(
    monkeypatch: pytest.MonkeyPatch, package: str, name: str, message: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InvalidInput, match=message):
        check_output(name, RATE_HZ)
    assert encode(np.full(9, 0.1, np.float32), RATE_HZ, "wav")
