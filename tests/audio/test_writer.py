"""Files that grow by pieces: the bytes of the whole, and nothing left where something failed."""

from __future__ import annotations

import errno
import io
import os
import tracemalloc
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bark_core.audio.encoders import Encoder, WavEncoder
from bark_core.audio.formats import FORMATS, encode, open_encoder
from bark_core.audio.samples import convert
from bark_core.audio.wav import MAX_WAV_BYTES, read_chunk
from bark_core.audio.writer import FileWriter
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


def save(path: Path, audio: np.ndarray) -> None:
    with FileWriter(path, RATE_HZ, settings=SETTINGS) as writer:
        writer.write(audio)


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
            save(path, audio)
        assert os.listdir(tmp_path) == []
    assert capfd.readouterr() == ("", "")
    save(path, audio)
    assert os.listdir(tmp_path) == [path.name]


class FullDisk(io.BytesIO):
    """A file that takes 2,000 bytes and no more, and says so once: what is refused is lost, as on a disk without a buffer before it."""

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > 2_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("name", FORMATS)
def test_an_error_of_the_file_is_not_lost_in_an_encoder(
    speech: np.ndarray, name: str, is_stream: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    if is_stream and name in ("m4a", "m4b"):
        return
    encoder = open_encoder(FullDisk(), RATE_HZ, name, SETTINGS, is_stream)
    with pytest.raises(OSError, match="No space left"):
        feed_and_close(encoder, speech[: 3 * RATE_HZ])
    encoder.abandon()
    assert capfd.readouterr() == ("", "")


def feed_and_close(encoder: Encoder, audio: np.ndarray) -> None:
    encoder.write(audio)
    encoder.close()


def test_paths_that_cannot_be_written_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be written: No such file"):
        FileWriter(tmp_path / "missing" / "x.mp3", RATE_HZ)
    (tmp_path / "x.wav").mkdir()
    with pytest.raises(InvalidInput, match="cannot be written: Is a directory"):
        FileWriter(tmp_path / "x.wav", RATE_HZ)
    with pytest.raises(InvalidInput, match="ends in .txt"):
        FileWriter(tmp_path / "x.txt", RATE_HZ)
    assert os.listdir(tmp_path) == ["x.wav"]


@pytest.mark.parametrize("name", ["wav", "flac", "mp3"])
def test_long_audio_is_not_held_a_second_time(name: str, tmp_path: Path) -> None:
    audio = np.zeros(120 * RATE_HZ, np.float32)
    audio[::100] = 0.1

    def save(audio: np.ndarray) -> None:
        with FileWriter(tmp_path / f"x.{name}", 16_000) as writer:
            for piece in convert(audio, 0.5, RATE_HZ, 16_000):
                writer.write(piece)

    save(audio[:RATE_HZ])  # imports are not counted
    tracemalloc.start()
    save(audio)
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
