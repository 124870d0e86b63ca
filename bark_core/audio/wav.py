"""WAV files: 16-bit PCM that plays everywhere, with a chunk of its own that players skip. Knows nothing of tokens or voices."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

import numpy as np

from bark_core.errors import InvalidInput

CHUNK_ID = b"bark"
"""The RIFF chunk that carries what made the audio. Lower-case ids are left to applications."""

MAX_WAV_BYTES = 2**32 - 2**25
"""What the 32-bit sizes of a WAV leave for audio, beside the largest chunk: 24 hours at Bark's rate."""

MAX_CHUNK_BYTES = 16 * 2**20
"""More than an hour of speech needs; a file that claims more is refused before anything is read."""

UNKNOWN_SIZE = 0xFFFFFFFF
"""What a WAV says of its length that is sent while it is made."""


def to_pcm16(audio: np.ndarray) -> np.ndarray:
    """Return float samples (N,) as int16, rounded, values beyond ±1 clipped (the codec makes some)."""
    return np.round(np.clip(audio, -1.0, 1.0) * 32767.0).astype(np.int16)


def encode_pcm(audio: np.ndarray) -> bytes:
    """Return float samples (N,) as bare signed 16-bit little-endian PCM, without a header: what pipes and sockets take."""
    return to_pcm16(audio).astype("<i2").tobytes()


def encode_wav(audio: np.ndarray, sample_rate_hz: int, chunk: bytes | None = None) -> bytes:
    """Return a whole mono WAV file of float samples (N,), with `chunk` behind the audio."""
    packed = pack_chunk(chunk)
    return make_header(sample_rate_hz, len(audio), len(packed)) + encode_pcm(audio) + packed


def make_header(sample_rate_hz: int, n_samples: int | None, n_bytes_after: int = 0) -> bytes:
    """Return the 44 bytes before the audio. `n_samples` None: a stream whose length is not known, as ffmpeg and others mark it."""
    n_bytes = UNKNOWN_SIZE if n_samples is None else 2 * n_samples
    n_bytes_in_all = UNKNOWN_SIZE if n_samples is None else 36 + n_bytes + n_bytes_after
    form = struct.pack("<IHHIIHH", 16, 1, 1, sample_rate_hz, 2 * sample_rate_hz, 2, 16)  # PCM, one channel, 2 bytes a sample
    return b"RIFF" + struct.pack("<I", n_bytes_in_all) + b"WAVEfmt " + form + b"data" + struct.pack("<I", n_bytes)


def pack_chunk(chunk: bytes | None) -> bytes:
    """Return our chunk as it stands in the file, nothing where there is none."""
    return b"" if chunk is None else CHUNK_ID + struct.pack("<I", len(chunk)) + chunk + b"\0" * (len(chunk) % 2)


def read_chunk(file: BinaryIO, name: str) -> bytes | None:
    """Return the chunk that `encode_wav` put into a WAV file, None where it carries none. `name` is what messages call it.

    Raises: InvalidInput where the file is not a WAV, or is cut off.
    """
    total = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
        raise InvalidInput(f"{name} is not a WAV file: it does not begin with a RIFF/WAVE header.")
    position = 12
    while position + 8 <= total:
        file.seek(position)
        chunk_id, size = struct.unpack("<4sI", file.read(8))
        position += 8
        if chunk_id == b"data" and size == UNKNOWN_SIZE:
            return None  # sent while it was made: the audio goes on to the end
        if size > total - position:
            raise InvalidInput(
                f"{name} is cut off or damaged: its chunk {chunk_id!r} claims {size} bytes and {total - position} are left. Use an undamaged copy."
            )
        if chunk_id == CHUNK_ID:
            if size > MAX_CHUNK_BYTES:
                raise InvalidInput(f"{name} claims {size} bytes of tokens; at most {MAX_CHUNK_BYTES} are read.")
            return file.read(size)
        position += size + size % 2
    claimed = struct.unpack_from("<I", head, 4)[0]
    if 8 + claimed > total and claimed != UNKNOWN_SIZE:
        raise InvalidInput(
            f"{name} is cut off or damaged: its header claims {8 + claimed} bytes and it has {total}. Use an undamaged copy."
        )
    return None
