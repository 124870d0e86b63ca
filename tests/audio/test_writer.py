"""Files that grow by pieces: the bytes of the whole, and nothing left where something failed."""

from __future__ import annotations

import io
import os
import tracemalloc
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from bark_core.audio.encoders import WavEncoder
from bark_core.audio.formats import FORMATS, encode
from bark_core.audio.loudness import measure_loudness
from bark_core.audio.samples import resample
from bark_core.audio.wav import MAX_WAV_BYTES, read_chunk
from bark_core.audio.writer import FileWriter, Output, save_audio
from bark_core.errors import InvalidInput

RATE_HZ = 24_000
SETTINGS = {"text": "Good morning.", "seed": 3}


@pytest.mark.parametrize("name", FORMATS)
def test_pieces_become_the_bytes_of_the_whole(speech: np.ndarray, name: str, tmp_path: Path) -> None:
    path = tmp_path / f"speech.{name}"
    with FileWriter(path, RATE_HZ, name, SETTINGS) as writer:
        for piece in np.split(speech, [0, 1, 7_000, 7_000, 120_000]):
            writer.write(piece)
        assert not path.exists()
        assert writer.finish(b"tokens") == path
    assert os.listdir(tmp_path) == [path.name]
    assert path.read_bytes() == encode(speech, RATE_HZ, name, SETTINGS, b"tokens")
    if name == "wav":
        assert read_chunk(io.BytesIO(path.read_bytes()), "x") == b"tokens"


def write_and_fail(path: Path, good: np.ndarray, bad: np.ndarray | None) -> None:
    with FileWriter(path, RATE_HZ) as writer:
        writer.write(good)
        if bad is None:
            raise KeyError
        writer.write(bad)


@pytest.mark.parametrize("name", FORMATS)
def test_what_fails_leaves_what_was_there(speech: np.ndarray, name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"speech.{name}"
    path.write_bytes(b"old")
    for error, bad in ((KeyError, None), (InvalidInput, np.array([0.1, np.nan]))):
        with pytest.raises(error):
            write_and_fail(path, speech[:RATE_HZ], bad)
    with pytest.raises(InvalidInput, match="no audio to write"), FileWriter(path, RATE_HZ):
        pass
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == [path.name]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("room", [0, 500, 5_000])
@pytest.mark.parametrize("name", FORMATS)
def test_a_full_disk_is_a_sentence_and_leaves_nothing(
    speech: np.ndarray,
    name: str,
    room: int,
    tmp_path: Path,
    full_disk: Callable[[int], AbstractContextManager[None]],
    capfd: pytest.CaptureFixture[str],
) -> None:
    path, audio = tmp_path / f"speech.{name}", speech[: 3 * RATE_HZ]
    with full_disk(room):
        with pytest.raises(InvalidInput, match=f"{name} cannot be written: File too large. Give a path in a folder that .* has room"):
            save_audio(path, audio, settings=SETTINGS)
        assert os.listdir(tmp_path) == []
    assert capfd.readouterr() == ("", "")
    save_audio(path, audio, settings=SETTINGS)
    assert os.listdir(tmp_path) == [path.name]


def test_paths_that_cannot_be_written_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be written: No such file"):
        FileWriter(tmp_path / "missing" / "x.mp3", RATE_HZ)
    (tmp_path / "x.wav").mkdir()
    with pytest.raises(InvalidInput, match="cannot be written: Is a directory"):
        FileWriter(tmp_path / "x.wav", RATE_HZ)
    with pytest.raises(InvalidInput, match="ends in .txt"):
        FileWriter(tmp_path / "x.txt", RATE_HZ)
    assert os.listdir(tmp_path) == ["x.wav"]


def test_saving_resamples_and_encodes(speech: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "speech.flac"
    assert save_audio(path, speech, output=Output(sample_rate_hz=16_000)) == []
    assert path.read_bytes() == encode(resample(speech, RATE_HZ, 16_000), 16_000, "flac")
    assert save_audio(tmp_path / "x", speech, output=Output("mp3")) == []
    assert (tmp_path / "x").read_bytes() == encode(speech, RATE_HZ, "mp3")


def test_saving_to_a_loudness(speech: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "speech.wav"
    assert save_audio(path, speech, output=Output(loudness_lufs=-30)) == []
    samples, _ = soundfile.read(path)
    assert measure_loudness(samples, RATE_HZ) == pytest.approx(-30, abs=0.05)
    (note,) = save_audio(path, speech, output=Output(loudness_lufs=-3))
    samples, _ = soundfile.read(path)
    assert "not -3: more would clip" in note and np.abs(samples).max() == pytest.approx(10 ** (-1 / 20), abs=1e-3)


def test_what_is_beyond_full_scale_is_clipped_or_all_is_made_to_fit(tmp_path: Path) -> None:
    audio = np.array([0.6, -1.2, 0.3], np.float32)
    for fits, expected in ((False, [0.6, -1.0, 0.3]), (True, [0.5, -1.0, 0.25])):
        save_audio(tmp_path / "x.wav", audio, output=Output(fits=fits))
        np.testing.assert_allclose(soundfile.read(tmp_path / "x.wav")[0], expected, atol=1e-4)
    save_audio(tmp_path / "x.wav", audio / 2, output=Output(fits=True))
    np.testing.assert_allclose(soundfile.read(tmp_path / "x.wav")[0], audio / 2, atol=1e-4)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (Output("wma"), "'wma' is not known"),
        (Output(sample_rate_hz=7_999), "from 8000 to 48000"),
        (Output("ogg", 22_050), "ogg does not take a sample rate of 22050"),
        (Output(loudness_lufs=5), r"A loudness of 5 LUFS was given; it must be a number from -60 to 0"),
    ],
    ids=["format", "rate", "format's rate", "loudness"],
)
def test_what_cannot_be_had_is_said_before_anything_is_written(output: Output, message: str, tmp_path: Path) -> None:
    for refuse in (output.check, lambda path: save_audio(path, np.zeros(9, np.float32), output=output)):
        with pytest.raises(InvalidInput, match=message):
            refuse(tmp_path / "x.wav")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("name", ["wav", "flac", "mp3"])
def test_long_audio_is_not_held_a_second_time(name: str, tmp_path: Path) -> None:
    audio = np.zeros(120 * RATE_HZ, np.float32)
    audio[::100] = 0.1
    save_audio(tmp_path / f"x.{name}", audio[:RATE_HZ], output=Output(sample_rate_hz=16_000, loudness_lufs=-40))  # imports are not counted
    tracemalloc.start()
    save_audio(tmp_path / f"x.{name}", audio, output=Output(sample_rate_hz=16_000))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < audio.nbytes / 2


def test_a_wav_says_how_much_it_can_hold() -> None:
    encoder = WavEncoder(io.BytesIO(), RATE_HZ, is_stream=False)
    encoder.n_samples = MAX_WAV_BYTES // 2  # as if a day had been written
    with pytest.raises(InvalidInput, match="A WAV holds at most .* choose flac or mp3"):
        encoder.write(np.zeros(1, np.float32))


def test_a_file_that_is_given_up_midway_is_gone(speech: np.ndarray, tmp_path: Path) -> None:
    writer: Any = FileWriter(tmp_path / "x.ogg", RATE_HZ)
    writer.write(speech)
    assert len(os.listdir(tmp_path)) == 1
    writer.abandon()
    writer.abandon()
    assert not os.listdir(tmp_path)
