"""Audio files in the formats that players know: names, suffixes, one call for a whole file, one writer for pieces.

WAV is ours (wav.py); FLAC, MP3 and Ogg Opus are soundfile's. Knows nothing of tokens, voices or what settings mean.
"""

from __future__ import annotations

import io
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from bark_core.audio.samples import check_audio, check_rate
from bark_core.audio.wav import encode_wav, finish_wav, to_pcm16
from bark_core.errors import InvalidInput


@dataclass(frozen=True)
class Format:
    """A kind of file: its name, what it ends in, its media type, the sample rates it takes (None: all of 8,000 to 48,000)."""

    name: str
    suffixes: tuple[str, ...]
    media_type: str
    rates_hz: tuple[int, ...] | None = None
    kind: str = ""
    subtype: str = ""


_MP3_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)

FORMATS = {
    each.name: each
    for each in (
        Format("wav", (".wav",), "audio/wav"),
        Format("flac", (".flac",), "audio/flac", None, "FLAC", "PCM_16"),
        Format("mp3", (".mp3",), "audio/mpeg", _MP3_RATES_HZ, "MP3", "MPEG_LAYER_III"),
        Format("ogg", (".ogg", ".opus"), "audio/ogg", (8_000, 12_000, 16_000, 24_000, 48_000), "OGG", "OPUS"),
        Format("pcm", (".pcm", ".raw"), "audio/pcm"),
    )
}
"""Formats by name. `ogg` is Opus in Ogg; `pcm` is bare 16-bit little-endian samples."""


def find_format(name: str) -> Format:
    """Return the format of this name. Raises: InvalidInput, which lists them, for another."""
    if name not in FORMATS:
        raise InvalidInput(f"The format {name!r} is not known; there are {', '.join(FORMATS)}.")
    return FORMATS[name]


def format_of_path(path: str | os.PathLike[str]) -> str:
    """Return the name of the format that a path's suffix asks for. Raises: InvalidInput, which lists the suffixes, for another."""
    suffix = Path(path).suffix.lower()
    for each in FORMATS.values():
        if suffix in each.suffixes:
            return each.name
    known = ", ".join(suffix for each in FORMATS.values() for suffix in each.suffixes)
    raise InvalidInput(f"{path} ends in {suffix or 'no suffix'!r}, which says no format; end it in one of {known}.")


def check_output(name: str, sample_rate_hz: int) -> Format:
    """Return the format if it can be written here at this rate: what is checked before anything slow.

    Raises: InvalidInput for an unknown format, a rate it does not take, or a package that is not installed.
    """
    format = find_format(name)
    check_rate(sample_rate_hz)
    if format.rates_hz is not None and sample_rate_hz not in format.rates_hz:
        rates = ", ".join(str(rate) for rate in format.rates_hz)
        raise InvalidInput(f"{format.name} takes no sample rate of {sample_rate_hz} Hz; give one of {rates}, or another format.")
    if format.kind:
        _import_soundfile(format.name)
    return format


def encode(
    audio: np.ndarray, sample_rate_hz: int, format: str = "wav", settings: Mapping[str, Any] | None = None, chunk: bytes | None = None
) -> bytes:
    """Return the bytes of a whole file of samples (N,), floats from -1 to 1; what lies beyond is clipped.

    `settings`: plain values for JSON, which go into the tags of flac, mp3 and ogg, `settings["text"]` as the title. `chunk`: what a
    WAV carries behind its audio; the other formats have no place for it.
    Raises: InvalidInput for audio, a format or a rate that cannot be written.
    """
    file = io.BytesIO()
    if check_output(format, sample_rate_hz).name == "wav":
        return encode_wav(check_audio(audio), sample_rate_hz, chunk)
    encoder = open_encoder(file, sample_rate_hz, format, settings)
    encoder.write(check_audio(audio))
    encoder.close()
    return file.getvalue()


def encode_pcm(audio: np.ndarray) -> bytes:
    """Return samples (N,) as bare signed 16-bit little-endian PCM, without a header: what pipes and sockets take."""
    return to_pcm16(audio).astype("<i2").tobytes()


class Encoder:
    """Samples in, the bytes of one file out, into a file object that is open for writing."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def write(self, audio: np.ndarray) -> None:
        """Append samples (n,)."""
        self.file.write(encode_pcm(audio))

    def close(self, chunk: bytes | None = None) -> None:
        """Finish the file; only a WAV has a place for `chunk`."""


class _SoundfileEncoder(Encoder):
    def __init__(self, file: BinaryIO, sample_rate_hz: int, format: Format, settings: Mapping[str, Any] | None) -> None:
        super().__init__(file)
        soundfile = _import_soundfile(format.name)
        self.sound = soundfile.SoundFile(
            file, "w", samplerate=sample_rate_hz, channels=1, format=format.kind, subtype=format.subtype, closefd=False
        )
        if settings is not None:
            self.sound.title = str(settings.get("text", ""))
            self.sound.comment = json.dumps(settings, ensure_ascii=False)

    def write(self, audio: np.ndarray) -> None:
        self.sound.write(to_pcm16(audio))

    def close(self, chunk: bytes | None = None) -> None:  # noqa: ARG002
        self.sound.close()


class _WavEncoder(Encoder):
    def __init__(self, file: BinaryIO, sample_rate_hz: int) -> None:
        super().__init__(file)
        self.sample_rate_hz = sample_rate_hz
        self.n_samples = 0
        file.write(encode_wav(np.zeros(0, np.float32), sample_rate_hz))

    def write(self, audio: np.ndarray) -> None:
        super().write(audio)
        self.n_samples += len(audio)

    def close(self, chunk: bytes | None = None) -> None:
        finish_wav(self.file, self.n_samples, chunk)


def open_encoder(file: BinaryIO, sample_rate_hz: int, format: str, settings: Mapping[str, Any] | None = None) -> Encoder:
    """Begin a file of a format in a file object that can seek. Raises: as `check_output`."""
    found = check_output(format, sample_rate_hz)
    if found.name == "wav":
        return _WavEncoder(file, sample_rate_hz)
    return _SoundfileEncoder(file, sample_rate_hz, found, settings) if found.kind else Encoder(file)


class FileWriter:
    """A file that grows by pieces under a temporary name and gets its own when it is whole; left early, nothing stays.

    with FileWriter("speech.mp3", 24_000) as writer: writer.write(samples)
    """

    def __init__(
        self, path: str | os.PathLike[str], sample_rate_hz: int, format: str | None = None, settings: Mapping[str, Any] | None = None
    ) -> None:
        """Begin. `format`: the suffix decides where None. Raises: InvalidInput as `encode`, and where the folder cannot be written to."""
        self.path = Path(path)
        name = format or format_of_path(path)
        check_output(name, sample_rate_hz)
        self.chunk: bytes | None = None
        self.temporary = self.path.with_name(f".{self.path.name[:64]}.{secrets.token_hex(4)}.part")
        try:
            self.file = open(os.open(self.temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666), "w+b")  # noqa: SIM115
            self.encoder = open_encoder(self.file, sample_rate_hz, name, settings)
        except OSError as error:
            raise self._explain(error) from error

    def write(self, audio: np.ndarray) -> None:
        """Append samples (n,)."""
        try:
            self.encoder.write(check_audio(audio))
        except OSError as error:
            raise self._explain(error) from error

    def __enter__(self) -> FileWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self.encoder.close(self.chunk)
                self.file.close()
                os.replace(self.temporary, self.path)
        except OSError as problem:
            raise self._explain(problem) from problem
        finally:
            self.file.close()
            self.temporary.unlink(missing_ok=True)

    def _explain(self, error: OSError) -> InvalidInput:
        return InvalidInput(f"{self.path} cannot be written: {error.strerror or error}. Give a path in a folder that exists and has room.")


def _import_soundfile(name: str) -> Any:
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: the package is there and its library is not
        raise InvalidInput(f"{name} needs the package soundfile ({error}); pip install soundfile, or choose wav.") from error
    return soundfile
