"""Samples as arrays: what counts as audio, other sample rates, and a whole that grows without being held twice. Knows no files."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from bark_core.errors import InvalidInput

MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 48_000
"""The sample rates that files are written in: from a telephone's to a studio's."""


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
    # One sum instead of an array of truth values: it is not finite where any sample is not.
    if not math.isfinite(float(np.dot(samples, np.zeros_like(samples)))):
        n_bad = int(np.count_nonzero(~np.isfinite(samples)))
        raise InvalidInput(f"{n_bad} of the {len(samples)} samples of the audio are no finite numbers; make it again.")
    return samples


def measure_peak(audio: np.ndarray) -> float:
    """Return the magnitude of the loudest of samples (N,), 0 where there are none. No array of magnitudes is made."""
    return max(-float(audio.min()), float(audio.max())) if len(audio) else 0.0


def check_rate(rate_hz: object) -> int:
    """Return a sample rate as an int. Raises: InvalidInput where it is not a whole number from 8,000 to 48,000."""
    if isinstance(rate_hz, bool) or not isinstance(rate_hz, (int, np.integer)) or not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise InvalidInput(
            f"A sample rate of {rate_hz!r} Hz was given; it must be a whole number from {MIN_RATE_HZ} to {MAX_RATE_HZ}. Bark speaks at 24000."
        )
    return int(rate_hz)


def resample(audio: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """Return samples (N,) at another rate, (ceil(N · to / from),) float32, with an anti-aliasing filter."""
    if from_hz == to_hz:
        return audio
    from scipy.signal import resample_poly  # a second of imports, which whoever writes at Bark's own rate need not wait for

    common = math.gcd(from_hz, to_hz)
    return resample_poly(audio, to_hz // common, from_hz // common).astype(np.float32)


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
