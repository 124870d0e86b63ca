"""What is measured of speech besides its words: spectral distance, silence before it, clicks, and whose voice it is."""

from __future__ import annotations

import numpy as np
import torch

from bark_core.config import SAMPLE_RATE
from training.features import HOP, log_mel
from training.phonetokens import Range
from training.pitch import track_pitch

_BAND_FRAMES = 12
"""How far apart in time, in frames of 13 ms, two recordings may run when they are aligned."""


def mel_distance(made: np.ndarray, real: np.ndarray, aligned: bool = False) -> float:
    """Return the mean distance in dB of the log-mel frames of two recordings (N,) at 24 kHz, frame by frame, over all 128 bands.

    `aligned`: along the path in time on which they differ least (dynamic time warping), as distances of synthetic speech
    are mostly given, since a sound that comes 10 ms early is not a worse sound.
    """
    length = min(len(made), len(real)) // HOP * HOP
    frames = [log_mel(torch.from_numpy(np.ascontiguousarray(audio[:length], np.float32))).numpy() for audio in (made, real)]
    if not aligned:
        return float(np.abs(frames[0] - frames[1]).mean()) * 20 / np.log(10)
    distances = np.abs(frames[0][:, None] - frames[1][None]).mean(axis=-1)  # (T, T)
    return _mean_along_best_path(distances) * 20 / np.log(10)


def _mean_along_best_path(distances: np.ndarray) -> float:
    """Return the mean of distances (T, T') along the cheapest path of steps right, down or both, from the first corner to the last."""
    n, m = distances.shape
    cost, steps = np.full((n + 1, m + 1), np.inf), np.zeros((n + 1, m + 1))
    cost[0, 0] = 0
    for i in range(1, n + 1):
        for j in range(max(1, i - _BAND_FRAMES), min(m, i + _BAND_FRAMES) + 1):
            before = min(((i - 1, j - 1), (i - 1, j), (i, j - 1)), key=lambda at: cost[at])
            cost[i, j] = cost[before] + distances[i - 1, j - 1]
            steps[i, j] = steps[before] + 1
    return float(cost[n, m] / steps[n, m])


def leading_silence_s(audio: np.ndarray) -> float:
    """Return the seconds before audio (N,) first reaches a twentieth of its loudest, by the root mean square over 10 ms."""
    block = SAMPLE_RATE // 100
    loudness = np.sqrt(np.square(audio[: len(audio) // block * block]).reshape(-1, block).mean(axis=1))
    return float(np.argmax(loudness > loudness.max() / 20)) * block / SAMPLE_RATE


def largest_step(audio: np.ndarray) -> float:
    """Return the largest difference between neighbouring samples: what a click has more of than speech."""
    return float(np.abs(np.diff(audio)).max())


def median_log_pitch(audio: np.ndarray) -> float:
    """Return the median log pitch of audio (N,) at 24 kHz, nan where nothing is voiced."""
    track = track_pitch(audio, SAMPLE_RATE)
    return float(np.log(np.median(track[track > 0]))) if (track > 0).any() else float("nan")


def recognise_voice(audio: np.ndarray, ranges: dict[str, Range]) -> str:
    """Return the teacher whose pitch is nearest to that of the audio."""
    pitch = median_log_pitch(audio)
    return min(ranges, key=lambda voice: abs(ranges[voice].mean - pitch))
