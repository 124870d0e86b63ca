"""Samples as arrays: what counts as audio, other sample rates, and a whole that grows without being held twice. Knows no files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from bark_core.errors import InvalidInput

MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 48_000
"""The sample rates that files are written in: from a telephone's to a studio's."""

_TAPS_A_SIDE = 10
"""Length of the filter on either side, in samples of the lower rate: as scipy's resample_poly has it, and its window."""
_WINDOW: Any = ("kaiser", 5.0)

_PIECE_SAMPLES = 2**18


def check_audio(audio: object) -> np.ndarray:
    """Return float samples (N,) as float32, N from 1 up; float32 is not copied.

    Raises: InvalidInput for whole numbers, more than one channel, no samples, and samples that are not finite.
    """
    samples = np.asarray(audio)
    if samples.dtype.kind != "f":
        raise InvalidInput(
            f"The audio is of type {samples.dtype}; give floats from -1 to 1. 16-bit samples become that when divided by 32,768."
        )
    if samples.ndim != 1:
        raise InvalidInput(f"The audio has the shape {samples.shape}; one channel is written, so give an array of one dimension.")
    if not len(samples):
        raise InvalidInput("The audio is empty; give at least one sample.")
    samples = np.ascontiguousarray(samples, np.float32)
    if not math.isfinite(measure_peak(samples)):
        n_bad = int(np.count_nonzero(~np.isfinite(samples)))
        raise InvalidInput(f"{n_bad} of the {len(samples)} samples of the audio are no finite numbers; make it again.")
    return samples


def measure_peak(audio: np.ndarray) -> float:
    """Return the magnitude of the loudest of samples (N,), 0 where there are none; not finite where any is not. Makes no array."""
    return max(-float(audio.min()), float(audio.max())) if len(audio) else 0.0


def check_rate(rate_hz: object) -> int:
    """Return a sample rate as an int. Raises: InvalidInput where it is not a whole number from 8,000 to 48,000."""
    if isinstance(rate_hz, bool) or not isinstance(rate_hz, (int, np.integer)) or not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise InvalidInput(
            f"A sample rate of {rate_hz!r} Hz was given; it must be a whole number from {MIN_RATE_HZ} to {MAX_RATE_HZ}. Bark speaks at 24000."
        )
    return int(rate_hz)


class Resampler:
    """Samples of a stream at another rate: `add` any number of pieces, then `finish` once."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        """Begin. Raises: InvalidInput for a rate out of 8,000 to 48,000 Hz."""
        common = math.gcd(check_rate(from_hz), check_rate(to_hz))
        self._up, self._down = to_hz // common, from_hz // common
        widest = max(self._up, self._down)
        if from_hz != to_hz:
            from scipy.signal import firwin  # a second of imports, which whoever stays at Bark's own rate need not wait for

            self._filter = np.asarray(firwin(2 * _TAPS_A_SIDE * widest + 1, 1 / widest, window=_WINDOW), np.float32)
        # Every output needs so many inputs on either side. Work begins and ends at multiples of `down`, where outputs fall on inputs.
        self._context = -(-_TAPS_A_SIDE * widest // (self._up * self._down)) * self._down
        self._held = np.zeros(0, np.float32)
        self._n_before = 0

    def add(self, piece: np.ndarray) -> np.ndarray:
        """Take samples (n,); return those (m,) float32 that no later piece can change."""
        self._held = np.concatenate((self._held, np.asarray(piece, np.float32)))
        ready = (len(self._held) - self._n_before - self._context) // self._down * self._down
        if ready <= 0:
            return np.zeros(0, np.float32)
        out = self._filter_held(self._n_before + ready + self._context)[: ready // self._down * self._up]
        drop = max(0, self._n_before + ready - self._context)
        self._held, self._n_before = self._held[drop:], self._n_before + ready - drop
        return out

    def finish(self) -> np.ndarray:
        """Return the rest (m,), as if silence followed."""
        rest = self._filter_held(len(self._held))
        self._held, self._n_before = self._held[:0], 0
        return rest

    def _filter_held(self, n: int) -> np.ndarray:
        """Return the outputs of the first n samples held that have not been given out yet."""
        if self._up == self._down or not n:
            return self._held[self._n_before : n]
        from scipy.signal import resample_poly

        return resample_poly(self._held[:n], self._up, self._down, window=self._filter)[self._n_before // self._down * self._up :]


def resample(audio: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """Return samples (N,) at another rate: (ceil(N · to / from),) float32. Raises: InvalidInput for a rate out of 8,000 to 48,000 Hz."""
    if check_rate(from_hz) == check_rate(to_hz):
        return audio
    resampler = Resampler(from_hz, to_hz)
    return np.concatenate((resampler.add(audio), resampler.finish()))


def convert(audio: np.ndarray, gain: float, from_hz: int, to_hz: int) -> Iterator[np.ndarray]:
    """Yield samples (N,) with a gain and at another rate, piece by piece, so that nothing of their length is held beside them."""
    resampler = Resampler(from_hz, to_hz)
    for start in range(0, len(audio), _PIECE_SAMPLES):
        piece = audio[start : start + _PIECE_SAMPLES]
        yield resampler.add(piece if gain == 1 else piece * np.float32(gain))
    yield resampler.finish()


class Whole:
    """Pieces of audio in one growing array. Growing moves nothing twice, so that an hour is held once."""

    def __init__(self, pieces: Iterable[np.ndarray] = ()) -> None:
        """Begin with these pieces (n,) float32."""
        self._bytes = bytearray()
        for piece in pieces:
            self.add(piece)

    def __len__(self) -> int:
        """Count the samples so far."""
        return len(self._bytes) // 4

    def add(self, piece: np.ndarray) -> None:
        """Append samples (n,)."""
        self._bytes += np.ascontiguousarray(piece, np.float32).data.cast("B")

    def take(self) -> np.ndarray:
        """Return all samples (N,) float32 without a copy; what is added from now on begins a new whole."""
        whole, self._bytes = self._bytes, bytearray()
        return np.frombuffer(whole, np.float32)
