"""What backends send, as samples, and samples as what clients asked for. Knows no HTTP."""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass

import numpy as np

from bark_core.audio.formats import StreamEncoder, encode
from bark_core.audio.samples import MAX_RATE_HZ, MIN_RATE_HZ, resample
from bark_core.audio.speed import MAX_SPEED, MIN_SPEED, change_speed
from bark_core.audio.wav import read_chunk
from bark_core.config import SAMPLE_RATE
from bark_core.errors import InvalidInput
from bark_core.gateway.faults import Fault
from bark_core.gateway.speech import SpeechRequest

COMMON_RATES_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)
"""The rates that every format takes."""


@dataclass(frozen=True, eq=False)
class Sound:
    """Samples (N,) float32 at a rate; `file`: the WAV that they came as, where it was 16-bit mono; `chunk`: what it carries."""

    audio: np.ndarray
    rate_hz: int
    file: bytes | None = None
    chunk: bytes | None = None

    @property
    def seconds(self) -> float:
        """Their length."""
        return len(self.audio) / self.rate_hz


def read_sound(data: bytes) -> Sound:
    """Return the samples of a file. Raises: Fault where it holds no audio."""
    if data[:4] == b"RIFF":
        try:
            with wave.open(io.BytesIO(data)) as file:
                if (file.getnchannels(), file.getsampwidth()) == (1, 2) and file.getnframes():
                    pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
                    # The inverse of to_pcm16, so that they come out as they came.
                    return Sound(pcm.astype(np.float32) / 32767, file.getframerate(), data, _read_chunk(data))
        except (wave.Error, EOFError, ValueError):
            pass  # another kind of WAV, such as of floats
    try:
        import soundfile

        audio, rate_hz = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except (ImportError, OSError, RuntimeError) as error:
        raise Fault(502, "The backend sent something that is not audio. Look at what --backend names.", code="backend_error") from error
    if not len(audio):
        raise Fault(502, "The backend sent a file without any audio in it.", code="backend_error")
    return Sound(np.ascontiguousarray(audio.mean(axis=1)), int(rate_hz))


def _read_chunk(data: bytes) -> bytes | None:
    try:
        return read_chunk(io.BytesIO(data), "the output")
    except InvalidInput:
        return None  # a WAV that another program wrote


def write_whole(sound: Sound, request: SpeechRequest) -> bytes:
    """Return a whole file in the format that was asked for. A WAV that needs no change is the backend's own, byte for byte."""
    rate_hz = _target_rate(sound, request)
    if request.format == "wav" and sound.file is not None and request.speed == 1 and rate_hz == sound.rate_hz:
        return sound.file
    return encode(_change(sound, request), rate_hz, request.format, chunk=sound.chunk)


class SoundStream:
    """Pieces of sound as one file that is sent while it grows."""

    def __init__(self, request: SpeechRequest) -> None:
        self._request = request
        self._encoder: StreamEncoder | None = None
        self._rate_hz = 0
        self.seconds = 0.0

    def feed(self, sound: Sound) -> bytes:
        """Take a piece; return what can be sent by now. Raises: Fault where its rate is not that of the piece before."""
        if self._encoder is None:
            self._rate_hz = sound.rate_hz
            self._encoder = StreamEncoder(_target_rate(sound, self._request), self._request.format)
        elif sound.rate_hz != self._rate_hz:
            raise Fault(502, f"The backend sent a piece at {sound.rate_hz} Hz after one at {self._rate_hz} Hz.", code="backend_error")
        self.seconds += sound.seconds
        return self._encoder.add(_change(sound, self._request))

    def finish(self) -> bytes:
        """Return the end of the file."""
        return b"" if self._encoder is None else self._encoder.finish()


def _target_rate(sound: Sound, request: SpeechRequest) -> int:
    """Return the rate to send: the one asked for; else as it is, where the format's files can say so; else 24 kHz."""
    if request.sample_rate_hz is not None:
        return request.sample_rate_hz
    can_say = MIN_RATE_HZ <= sound.rate_hz <= MAX_RATE_HZ if request.format in ("wav", "flac") else sound.rate_hz in COMMON_RATES_HZ
    return sound.rate_hz if can_say and request.format != "pcm" else SAMPLE_RATE


def _change(sound: Sound, request: SpeechRequest) -> np.ndarray:
    """Return the samples at the speed and the rate that were asked for."""
    audio, speed = sound.audio, request.speed
    while speed != 1:  # beyond what can be done at once, in two turns
        step = min(max(speed, MIN_SPEED), MAX_SPEED)
        audio, speed = change_speed(audio, sound.rate_hz, step), speed / step
    return resample(audio, sound.rate_hz, _target_rate(sound, request))
