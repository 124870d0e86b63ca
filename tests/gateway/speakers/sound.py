"""What the tests' predictors speak: noise that is its seed's alone, so that a test knows whose audio it got."""

from __future__ import annotations

import io
import wave

import numpy as np

RATE_HZ = 24_000


def make_samples(seed: int, n_samples: int = 6_000) -> np.ndarray:
    """Return int16 samples (n,) of a seed."""
    return np.random.default_rng(seed).integers(-8_000, 8_000, n_samples).astype(np.int16)


def make_wav(samples: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()
