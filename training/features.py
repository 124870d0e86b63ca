"""What the codec's codebooks quantise: 128 normalised log-mel bands at 75 frames a second, and the resampling before it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from scipy.signal import resample_poly
from torch import Tensor

from bark_core.config import SAMPLE_RATE

BANDS = 128
HOP = 320
"""Samples a frame at 24 kHz."""

_WINDOW = 1024
_TRANSFORM = 2048
_HIGHEST_HZ = 8_000.0  # the teachers speak at 16 kHz
_FLOOR = 3e-4  # about −70 dB: below it is nothing that a listener should be given


def magnitudes(audio: Tensor, window: Tensor, hop: int) -> Tensor:
    """Return the magnitudes (B, T, F) of audio (B, N) under a window every `hop` samples; none is quite 0, where their slope has no end."""
    spectrum = torch.stft(audio, len(window), hop, window=window, return_complex=True, center=False)
    return (spectrum.real.square() + spectrum.imag.square() + 1e-12).sqrt().transpose(1, 2) * (2 / len(window))


def to_codec_rate(audio: np.ndarray) -> np.ndarray:
    """Resample (N,) int16 at 16 kHz to float32 in −1 … 1 at 24 kHz, (1.5 N,)."""
    return np.asarray(resample_poly(audio.astype(np.float32) / 32768, 3, 2), np.float32)


def mel_filters(n_fft: int, bands: int, highest_hz: float = _HIGHEST_HZ, rate_hz: int = SAMPLE_RATE) -> Tensor:
    """Return triangular filters (n_fft // 2 + 1, bands), evenly spaced in mel, each of weight 1."""
    top = 2595 * np.log10(1 + highest_hz / 700)
    edges = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    bins = np.linspace(0, rate_hz / 2, n_fft // 2 + 1)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0, np.minimum(rising, falling))
    return torch.from_numpy((filters / np.maximum(filters.sum(axis=0), 1e-6)).astype(np.float32))


@lru_cache(maxsize=1)
def _filters() -> Tensor:
    return mel_filters(_TRANSFORM, BANDS)


def log_mel(audio: Tensor) -> Tensor:
    """Return log-mel frames (T, 128), T = N // 320, of audio (N,) at 24 kHz; frame t is centred on the 320 samples it stands for."""
    n_frames = len(audio) // HOP
    before = (_WINDOW - HOP) // 2
    padded = torch.nn.functional.pad(audio, (before, _WINDOW))
    frames = padded.unfold(0, _WINDOW, HOP)[:n_frames] * torch.hann_window(_WINDOW)
    magnitude = torch.fft.rfft(frames, _TRANSFORM).abs() * (2 / _WINDOW)
    return (magnitude @ _filters()).clamp(min=_FLOOR).log()
