"""How high a voice speaks: fundamental frequency by autocorrelation, frame by frame and phone by phone."""

from __future__ import annotations

import itertools

import numpy as np

HOP_S = 0.01
_WINDOW_S = 0.04
_LOWEST_HZ, _HIGHEST_HZ = 60.0, 350.0
_LEAST_CORRELATION = 0.5


def track_pitch(audio: np.ndarray, rate_hz: int) -> np.ndarray:
    """Return the fundamental in Hz every 10 ms, (F,) float32, 0 where unvoiced; audio (N,) of any scale."""
    hop, window = round(HOP_S * rate_hz), round(_WINDOW_S * rate_hz)
    padded = np.pad(audio.astype(np.float32), (window // 2, window))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[: len(audio) : hop] * np.hanning(window).astype(np.float32)
    spectrum = np.fft.rfft(frames, 2 * window)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[:, :window]
    # A windowed signal's autocorrelation falls off with the lag as the window's own does.
    own = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(window), 2 * window)) ** 2)[:window]
    energy = correlation[:, :1]
    first, last = int(rate_hz / _HIGHEST_HZ), int(rate_hz / _LOWEST_HZ)
    normal = correlation[:, first : last + 1] / np.maximum(own[first : last + 1] / own[0] * energy, 1e-9)
    # The shortest lag that is nearly as good as the best is the period; the best itself may be two of them.
    good = normal > 0.9 * normal.max(axis=1, keepdims=True)
    rising = np.diff(normal, axis=1, append=-np.inf) < 0
    peak = np.argmax(good & rising, axis=1)
    strength = normal[np.arange(len(normal)), peak]
    loud = energy[:, 0] > 1e-4 * max(float(energy.max()), 1e-9)
    return np.where((strength > _LEAST_CORRELATION) & loud, rate_hz / (first + peak), 0).astype(np.float32)


def pitch_of_phones(track: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return each phone's median log pitch, (P,) float32, nan where it has none; `ends` (P,) in seconds."""
    edges = np.round(np.concatenate([[0.0], ends]) / HOP_S).astype(int)
    values = np.full(len(ends), np.nan, np.float32)
    for i, (start, end) in enumerate(itertools.pairwise(edges)):
        voiced = track[start : max(end, start + 1)]
        voiced = voiced[voiced > 0]
        if len(voiced):
            values[i] = np.log(np.median(voiced))
    return values
