"""Where the speech of an utterance begins and ends: every frequency band against its own noise floor. Knows one recording at a time.

By bands, because a soft consonant (f, th, h, a final t) is weaker than the hum or hiss of the whole and still rises far above what there
is at its own frequencies. Thresholds lie between two bounds below the loudest frame; noise above them is taken for speech and kept, so
that a noisy recording is trimmed too little rather than too much.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from bark_core.audio.samples import check_audio, measure_peak
from bark_core.config import SAMPLE_RATE

MARGIN_S = 0.05
"""Silence that is left on either side of an utterance, so that what begins or dies away below the threshold is kept too."""

SILENCE_PEAK = 10 ** (-50 / 20)
"""A recording with no sample above this (-50 dB below full scale) is silent altogether."""

FRAME_S = 0.01
EDGES_HZ = (0, 300, 1000, 2000, 4000, 7000, 24_000)
FLOOR_PERCENTILE = 5
"""The noise floor of a band is the level that so many of its frames do not reach."""

ABOVE_FLOOR_DB = 7.0
DEEPEST_DB, SHALLOWEST_DB = 48.0, 15.0
"""A band's threshold lies this far above its floor, but at the deepest and at the shallowest so far below the loudest frame of all."""

SHORT_S = 0.06
"""Sound shorter than this at an end is a click (or the codec's own start), not speech, if more silence than below parts it from the rest."""

GAP_BEFORE_S, GAP_AFTER_S = 0.08, 0.2
"""After a click at the start, and before one at the end. More there, since a final t or k comes after a closure of up to 0.15 s."""

_BLOCK_FRAMES = 1024


def find_speech(audio: np.ndarray, sample_rate_hz: int = SAMPLE_RATE) -> tuple[int, int]:
    """Return the first sample of the speech in (N,) and the one after its last, to 10 ms; (0, 0) where all is silent.

    Raises: InvalidInput for samples that are not finite floats of one channel.
    """
    if not len(audio) or measure_peak(check_audio(audio)) <= SILENCE_PEAK:
        return 0, 0
    hop = max(1, round(FRAME_S * sample_rate_hz))
    power = _smooth(_measure_bands(audio, hop, sample_rate_hz))  # (frames, bands)
    loudest_db = _to_db(power.sum(axis=1).max())
    floor_db = _to_db(np.percentile(power, FLOOR_PERCENTILE, axis=0))
    threshold_db = np.clip(floor_db + ABOVE_FLOOR_DB, loudest_db - DEEPEST_DB, loudest_db - SHALLOWEST_DB)
    active = np.any(_to_db(power) >= threshold_db, axis=1)
    first, last = _drop_clicks(active, hop / sample_rate_hz)
    return min(first * hop, len(audio)), min(last * hop, len(audio))


def trim_silence(audio: np.ndarray, sample_rate_hz: int = SAMPLE_RATE, margin_s: float = MARGIN_S) -> np.ndarray:
    """Return (N,) without the silence at its ends but for a margin: a view of it, empty where all is silent."""
    start, end = find_speech(audio, sample_rate_hz)
    margin = round(margin_s * sample_rate_hz) if end > start else 0
    return audio[max(0, start - margin) : end + margin]


def _measure_bands(audio: np.ndarray, hop: int, sample_rate_hz: int) -> np.ndarray:
    """Return the power in each band of a window of two hops around each hop: (frames, bands). By blocks, so that long audio takes no more memory."""
    n_frames = -(-len(audio) // hop)
    window = np.hanning(2 * hop)
    bins = np.searchsorted(np.fft.rfftfreq(2 * hop, 1 / sample_rate_hz), EDGES_HZ)
    power = np.zeros((n_frames, len(EDGES_HZ) - 1))
    for first in range(0, n_frames, _BLOCK_FRAMES):
        n = min(_BLOCK_FRAMES, n_frames - first)
        start, end = first * hop - hop // 2, (first + n + 1) * hop - hop // 2
        inside = audio[max(0, start) : end]
        padded = np.pad(inside, (max(0, -start), end - max(0, start) - len(inside)))
        frames = np.lib.stride_tricks.sliding_window_view(padded, 2 * hop)[::hop]  # (n, 2 · hop)
        spectrum = np.square(np.abs(np.fft.rfft(frames * window)))  # (n, hop + 1)
        for band, (low, high) in enumerate(pairwise(bins)):
            power[first : first + n, band] = spectrum[:, low:high].sum(axis=1)
    return power / (2 * np.square(window.sum()))  # a full-scale square wave has about 0 dB


def _smooth(power: np.ndarray) -> np.ndarray:
    """Return the mean of each frame and its two neighbours: noise strays less from its floor."""
    padded = np.pad(power, ((1, 1), (0, 0)), mode="edge")
    return (padded[:-2] + padded[1:-1] + padded[2:]) / 3


def _to_db(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(power + 1e-15)


def _drop_clicks(active: np.ndarray, frame_s: float) -> tuple[int, int]:
    """Return the first active frame and the one after the last, without clicks that stand apart at either end."""
    edges = np.flatnonzero(np.diff(active, prepend=False, append=False))
    starts, ends = list(edges[::2]), list(edges[1::2])
    while len(starts) > 1 and (ends[0] - starts[0]) * frame_s < SHORT_S and (starts[1] - ends[0]) * frame_s >= GAP_BEFORE_S:
        del starts[0], ends[0]
    while len(starts) > 1 and (ends[-1] - starts[-1]) * frame_s < SHORT_S and (starts[-1] - ends[-2]) * frame_s >= GAP_AFTER_S:
        del starts[-1], ends[-1]
    return int(starts[0]), int(ends[-1])
