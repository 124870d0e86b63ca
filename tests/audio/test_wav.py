"""WAV files: what players read, and what becomes of damaged ones."""

from __future__ import annotations

import io
import struct
import wave

import numpy as np
import pytest
import soundfile

from bark_core.audio.wav import CHUNK_ID, encode_wav, read_chunk, to_pcm16
from bark_core.errors import InvalidInput

AUDIO = np.sin(np.arange(4801) / 7).astype(np.float32) * 0.5


def test_samples_beyond_full_scale_are_clipped_not_wrapped() -> None:
    assert to_pcm16(np.array([-3.0, -1.0, 0.0, 0.5, 1.0, 1.5])).tolist() == [-32767, -32767, 0, 16384, 32767, 32767]


@pytest.mark.parametrize("chunk", [None, b"odd", b"even"])
def test_players_read_pcm_and_skip_the_chunk(chunk: bytes | None) -> None:
    data = encode_wav(AUDIO, 24_000, chunk)
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate(), file.getnframes()) == (1, 2, 24_000, 4801)
    samples, rate = soundfile.read(io.BytesIO(data), dtype="int16")
    assert rate == 24_000
    assert samples.tolist() == to_pcm16(AUDIO).tolist()
    assert struct.unpack_from("<I", data, 4)[0] == len(data) - 8


def test_header_is_the_plain_44_bytes_that_every_player_knows() -> None:
    data = encode_wav(AUDIO, 24_000, b"tokens")
    assert data[:4] == b"RIFF" and data[8:16] == b"WAVEfmt "
    assert struct.unpack_from("<IHHIIHH", data, 16) == (16, 1, 1, 24_000, 48_000, 2, 16)
    assert data[36:40] == b"data" and struct.unpack_from("<I", data, 40)[0] == 2 * len(AUDIO)


@pytest.mark.parametrize("chunk", [b"", b"odd", b"even", bytes(100_000)])
def test_chunk_comes_back(chunk: bytes) -> None:
    assert read_chunk(io.BytesIO(encode_wav(AUDIO, 24_000, chunk)), "speech.wav") == chunk


def test_every_truncation_is_a_sentence() -> None:
    data = encode_wav(AUDIO[:50], 24_000, b"tokens")
    for length in range(len(data)):
        with pytest.raises(InvalidInput, match=r"speech\.wav"):
            read_chunk(io.BytesIO(data[:length]), "speech.wav")


def test_huge_chunk_sizes_are_refused_before_they_are_read() -> None:
    head = b"RIFF" + struct.pack("<I", 36) + b"WAVE"
    with pytest.raises(InvalidInput, match="claims 4294967295 bytes"):
        read_chunk(io.BytesIO(head + b"LIST" + b"\xff" * 4), "x.wav")
    sparse = io.BytesIO(head + CHUNK_ID + struct.pack("<I", 17 * 2**20) + bytes(17 * 2**20))
    with pytest.raises(InvalidInput, match="bytes of tokens; at most"):
        read_chunk(sparse, "x.wav")


def test_wrong_magic_says_so_and_a_foreign_wav_has_no_chunk() -> None:
    with pytest.raises(InvalidInput, match="not a WAV file"):
        read_chunk(io.BytesIO(b"ID3\x03 this is an mp3 ......"), "x.wav")
    assert read_chunk(io.BytesIO(encode_wav(AUDIO, 24_000)), "x.wav") is None
    streamed = encode_wav(AUDIO, 24_000)
    streamed = streamed[:4] + b"\xff" * 4 + streamed[8:40] + b"\xff" * 4 + streamed[44:]
    assert read_chunk(io.BytesIO(streamed), "x.wav") is None
