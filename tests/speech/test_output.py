"""A speech as a file: every format, what it carries, and that nothing is lost where something small fails."""

from __future__ import annotations

import json
import warnings
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bark_core import BarkWarning, Generation, InvalidInput
from bark_core.speech.output import OutputOptions
from bark_core.voices.files import read_info
from bark_core.voices.voice import Voice
from tests.speech.test_bark import make_bark, same

BOOK = "A word before.\n\n# One\n\nFirst things come first.\n\n# Two\n\nThen come the others. They are many."


@pytest.fixture(scope="module")
def book() -> Iterator[Generation]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BarkWarning)
        yield make_bark().generate(BOOK, seed=1, max_seconds=0.6, split=True)


def test_a_wav_is_the_same_saved_and_encoded_and_carries_its_voice(book: Generation, tmp_path: Path) -> None:
    book.save(tmp_path / "book.wav")
    assert (tmp_path / "book.wav").read_bytes() == book.to_wav() == book.encode()
    with wave.open(str(tmp_path / "book.wav")) as file:
        assert (file.getframerate(), file.getnframes()) == (24_000, len(book.audio))
    assert np.array_equal(Voice.load(tmp_path / "book.wav").fine, book.fine)


@pytest.mark.parametrize("suffix", [".flac", ".mp3", ".ogg", ".opus"])
def test_compressed_formats_hold_the_speech_and_its_settings(book: Generation, tmp_path: Path, suffix: str) -> None:
    soundfile = pytest.importorskip("soundfile")
    path = book.save(tmp_path / f"book{suffix}")
    with soundfile.SoundFile(path) as file:
        assert file.samplerate in (24_000, 48_000) and abs(len(file) / file.samplerate - len(book.audio) / 24_000) < 0.2
        if suffix != ".mp3":
            assert json.loads(file.comment)["seed"] == 1
    assert json.dumps("utterances").encode() in path.read_bytes().replace(b"\0", b"")


def test_an_audiobook_has_a_chapter_for_each_heading(book: Generation, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    assert book._find_chapters(1.0)[0] == ("…", 0.0)
    with av.open(str(book.save(tmp_path / "book.m4b"))) as file:
        chapters = file.chapters()
        assert [each["metadata"]["title"] for each in chapters] == ["…", "One", "Two"]


def test_rate_speed_and_loudness_are_heard_and_written_down(book: Generation, tmp_path: Path) -> None:
    pytest.importorskip("python_stretch")
    output = OutputOptions(sample_rate_hz=16_000, speed=2)
    book.save(tmp_path / "fast.wav", output)
    with wave.open(str(tmp_path / "fast.wav")) as file:
        assert file.getframerate() == 16_000 and file.getnframes() == pytest.approx(len(book.audio) / 24_000 * 16_000 / 2, abs=2)
    info = read_info(tmp_path / "fast.wav")
    assert (info["sample_rate_hz"], info["speed"]) == (16_000, 2) and "loudness_lufs" not in info
    assert "speed" not in read_info(book.save(tmp_path / "plain.wav"))


def test_loudness_that_cannot_be_had_is_noted_and_the_file_is_there(book: Generation, tmp_path: Path) -> None:
    pytest.importorskip("pyloudnorm")
    with warnings.catch_warnings():
        warnings.simplefilter("error", BarkWarning)
        path = book.save(tmp_path / "loud.wav", OutputOptions(loudness_lufs=0))
    assert "LUFS" in read_info(path)["notes"][-1]
    with pytest.warns(BarkWarning, match="LUFS"):
        book.encode(OutputOptions(loudness_lufs=0))


def test_subtitles_say_what_is_said_when(book: Generation) -> None:
    srt, vtt = book.subtitles(), book.subtitles("vtt")
    assert srt.startswith("1\n00:00:00,000 --> ") and "First things come first." in srt
    assert vtt.startswith("WEBVTT") and srt.count(" --> ") == vtt.count(" --> ") == len(book.utterances)
    assert book.subtitles(speed=2) != srt
    with pytest.raises(InvalidInput, match="Subtitles in 'ass' were asked for; there are srt, vtt"):
        book.subtitles("ass")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"format": "wma"}, "format 'wma' is not known"),
        ({"sample_rate_hz": 7999}, "7999"),
        ({"sample_rate_hz": 48_001}, "48001"),
        ({"speed": 0.49}, "speed of 0.49"),
        ({"speed": True}, "speed of True"),
        ({"loudness_lufs": 5}, "loudness of 5 LUFS"),
        ({"format": "ogg", "sample_rate_hz": 44_100}, "44100"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_work(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        OutputOptions(**given)


def test_suffixes_without_a_format_leave_nothing(book: Generation, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"ends in \.xyz, which stands for no format"):
        book.save(tmp_path / "book.xyz")
    assert not list(tmp_path.iterdir())
    assert same(book, book)
