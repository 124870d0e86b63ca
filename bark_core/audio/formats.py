"""Audio files in the formats that players know: their names and suffixes, a whole file, and a stream of bytes.

Checks what is asked for; encoders.py and mp4.py do it. Knows nothing of tokens, voices or what settings mean.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import numpy as np

from bark_core.audio.encoders import SOUNDFILE_KINDS, Chapter, Encoder, PcmEncoder, SoundfileEncoder, WavEncoder, import_soundfile
from bark_core.audio.mp4 import AacEncoder, import_av
from bark_core.audio.samples import check_rate
from bark_core.audio.tags import make_tags
from bark_core.errors import InvalidInput
from bark_core.types import check_path


@dataclass(frozen=True)
class Format:
    """A kind of file: its name, what its files end in, its media type, the sample rates that it takes (None: all) and the package it needs."""

    name: str
    suffixes: tuple[str, ...]
    media_type: str
    rates_hz: tuple[int, ...] | None = None
    package: str | None = None


_MPEG_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)

FORMATS = {
    each.name: each
    for each in (
        Format("wav", (".wav",), "audio/wav"),
        Format("flac", (".flac",), "audio/flac", package="soundfile"),
        Format("mp3", (".mp3",), "audio/mpeg", _MPEG_RATES_HZ, "soundfile"),
        Format("ogg", (".ogg", ".opus"), "audio/ogg", (8_000, 12_000, 16_000, 24_000, 48_000), "soundfile"),
        Format("aac", (".aac",), "audio/aac", _MPEG_RATES_HZ, "av"),
        Format("m4a", (".m4a",), "audio/mp4", _MPEG_RATES_HZ, "av"),
        Format("m4b", (".m4b",), "audio/mp4", _MPEG_RATES_HZ, "av"),
        Format("pcm", (".pcm", ".raw"), "audio/pcm"),
    )
}
"""Formats by name. `ogg` is Opus in Ogg, `aac` bare AAC (ADTS), `m4b` an audiobook, `pcm` signed 16-bit little-endian samples and nothing else."""

ALIASES = {"opus": "ogg"}
"""Other names that clients use."""


def find_format(name: str) -> Format:
    """Return the format of this name. Raises: InvalidInput, which lists them, for another."""
    found = FORMATS.get(ALIASES.get(name, name)) if isinstance(name, str) else None
    if found is None:
        raise InvalidInput(f"The format {name!r} is not known; there are {', '.join(FORMATS)}.")
    return found


def format_of_path(path: str | os.PathLike[str]) -> str:
    """Return the name of the format that a path's suffix asks for. Raises: InvalidInput, which lists the suffixes, for another."""
    suffix = check_path(path).suffix.lower()
    for each in FORMATS.values():
        if suffix in each.suffixes:
            return each.name
    known = ", ".join(suffix for each in FORMATS.values() for suffix in each.suffixes)
    has = f"ends in {suffix}, which stands for no format" if suffix else "has no suffix, which would say its format"
    raise InvalidInput(f"{path} {has}; end it in one of {known}.")


def check_output(name: str, sample_rate_hz: int) -> Format:
    """Return the format if it can be written here at this rate: what is checked before anything slow.

    Raises: InvalidInput for an unknown format, a rate it does not take, or a package that is not installed.
    """
    found = find_format(name)
    check_rate(sample_rate_hz)
    if found.rates_hz is not None and sample_rate_hz not in found.rates_hz:
        rates = ", ".join(str(rate) for rate in found.rates_hz)
        raise InvalidInput(f"{found.name} does not take a sample rate of {sample_rate_hz} Hz; give one of {rates}, or another format.")
    if found.package == "soundfile":
        import_soundfile(found.name)
    elif found.package == "av":
        import_av(found.name)
    return found


def open_encoder(
    file: BinaryIO, sample_rate_hz: int, format: str, settings: Mapping[str, Any] | None = None, is_stream: bool = False
) -> Encoder:
    """Begin a file of this format in a file object. `is_stream`: it need only have `write`, and nothing in it is mended afterwards.

    Raises: InvalidInput as `check_output`, and for a stream of a format that cannot be one.
    """
    name = check_output(format, sample_rate_hz).name
    if name == "pcm":
        return PcmEncoder(file)
    if name == "wav":
        return WavEncoder(file, sample_rate_hz, is_stream)
    if name in SOUNDFILE_KINDS:
        return SoundfileEncoder(file, sample_rate_hz, name, make_tags(settings or {}), is_stream)
    if is_stream and name != "aac":
        raise InvalidInput(f"{name} cannot be streamed, since its index is written at the end; choose aac, mp3, ogg, flac, wav or pcm.")
    return AacEncoder(file, sample_rate_hz, name, make_tags(settings or {}))


def encode(
    audio: np.ndarray | Iterable[np.ndarray],
    sample_rate_hz: int,
    format: str = "wav",
    settings: Mapping[str, Any] | None = None,
    chunk: bytes | None = None,
    chapters: Sequence[Chapter] = (),
) -> bytes:
    """Return the bytes of a whole file of samples (N,), or of pieces (n,) of them; floats from -1 to 1, and what lies beyond is clipped.

    `settings`: plain values for JSON, which go into the tags of every format that has some, `settings["text"]` as the title. `chunk`:
    what a WAV carries behind its audio, instead of tags. `chapters`: titles and the seconds at which they begin, for m4b and m4a.
    Raises: InvalidInput for audio, a format, a rate or chapters that cannot be written.
    """
    file = io.BytesIO()
    encoder = open_encoder(file, sample_rate_hz, format, settings)
    try:
        for piece in (audio,) if isinstance(audio, np.ndarray) else audio:
            encoder.write(piece)
        encoder.close(chunk, chapters)
    except BaseException:
        encoder.abandon()
        raise
    return file.getvalue()


class StreamEncoder:
    """One file whose bytes are sent while it grows, to a socket or a pipe: `add` pieces, then `finish` once.

    A WAV's header says that its length is unknown. flac, mp3, ogg and aac give out whole packets: what is left of a piece, at most a third
    of a second, comes with the next.
    """

    def __init__(self, sample_rate_hz: int, format: str = "wav", settings: Mapping[str, Any] | None = None) -> None:
        """Begin. Raises: InvalidInput as `encode`, and for m4a and m4b, whose index is written at the end."""
        self._bytes = bytearray()
        self._encoder = open_encoder(cast("BinaryIO", self), sample_rate_hz, format, settings, is_stream=True)

    def add(self, audio: np.ndarray) -> bytes:
        """Take samples (n,), floats from -1 to 1; return what can be sent by now. Raises: InvalidInput for what is no audio."""
        self._encoder.write(audio)
        return self._take()

    def finish(self) -> bytes:
        """Return the end of the file. Raises: InvalidInput where no audio was added."""
        self._encoder.close()
        return self._take()

    def write(self, data: bytes, /) -> int:
        """Take bytes from the encoder."""
        self._bytes += data
        return len(data)

    def _take(self) -> bytes:
        taken = bytes(self._bytes)
        self._bytes.clear()
        return taken
