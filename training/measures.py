"""What is measured of speech besides its words: spectral distance, silence before it, clicks, and whose voice it is."""

from __future__ import annotations

import numpy as np
import torch

from bark_core.config import SAMPLE_RATE
from training.features import HOP, log_mel
from training.phonetokens import Range
from training.pitch import track_pitch

_BANDS_JOINED = 4
"""Neighbouring mel bands joined before they are compared, so that a distance tells timbre rather than single harmonics."""


def mel_distance(made: np.ndarray, real: np.ndarray) -> float:
    """Return the mean distance of log-mel frames in dB, over 32 joined bands, of two recordings (N,) at 24 kHz that run in step."""
    length = min(len(made), len(real)) // HOP * HOP
    frames = [log_mel(torch.from_numpy(np.ascontiguousarray(audio[:length], np.float32))) for audio in (made, real)]
    joined = [each.unflatten(1, (-1, _BANDS_JOINED)).exp().mean(dim=2).log() for each in frames]
    return float((joined[0] - joined[1]).abs().mean()) * 20 / np.log(10)


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
