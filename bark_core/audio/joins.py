"""Utterances to one speech: the silence around each is trimmed, its ends are faded, and pauses of given lengths lie between them.

Works piece by piece, so that a stream and a whole are the same samples. Gains: none, since a stream cannot know its loudest sample
(`scale_to_fit` is for wholes). Knows nothing of texts, voices or files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bark_core.config import SAMPLE_RATE

MARGIN_S = 0.05
"""Silence that is left on either side of an utterance: a consonant softer than the threshold lies within it."""

FADE_S = 0.005
"""Seconds over which an utterance comes up from zero and goes back to it, within its margins."""

FRAME_S = 0.01
SILENCE_PEAK = 10 ** (-60 / 20)
"""Audio with no sample above this is silence altogether (-60 dB below full scale)."""

FLOOR_MARGIN_DB, DEEPEST_DB, SHALLOWEST_DB = 8.0, 45.0, 28.0
"""Speech is what rises this far above the noise floor, but at the deepest and the shallowest this far below the loudest frame."""


@dataclass(frozen=True, eq=False)
class Joined:
    """What one utterance adds to the speech.

    `audio` (n,) float32: its trimmed samples and the pause after them. `start` and `end`: the samples of the whole between which it is heard.
    """

    audio: np.ndarray
    start: int
    end: int


class Joiner:
    """Join utterances one after the other. `position` counts the samples given out so far."""

    def __init__(self, sample_rate_hz: int = SAMPLE_RATE, margin_s: float = MARGIN_S, fade_s: float = FADE_S) -> None:
        """Begin an empty speech. `margin_s`: silence kept on either side of each utterance. `fade_s`: of either end."""
        self.sample_rate_hz, self.margin_s, self.fade_s = sample_rate_hz, margin_s, fade_s
        self.position = 0

    def add(self, audio: np.ndarray, pause_after_s: float = 0.0) -> Joined:
        """Return what an utterance (N,) float32 adds; silence alone adds only its pause."""
        speech = fade(trim_silence(audio, self.sample_rate_hz, self.margin_s), self.sample_rate_hz, self.fade_s)
        start = self.position
        end = start + len(speech)
        added = np.concatenate((speech, self._silence(pause_after_s)))
        self.position += len(added)
        return Joined(added, start, end)

    def add_pause(self, seconds: float) -> np.ndarray:
        """Return silence of this length: a pause before the first utterance."""
        silence = self._silence(seconds)
        self.position += len(silence)
        return silence

    def _silence(self, seconds: float) -> np.ndarray:
        return np.zeros(round(seconds * self.sample_rate_hz), np.float32)


def find_speech(audio: np.ndarray, sample_rate_hz: int = SAMPLE_RATE) -> tuple[int, int]:
    """Return the first sample of the speech in (N,) and the one after its last, to 10 ms; (0, 0) where all is silence."""
    if not len(audio) or float(np.max(np.abs(audio))) <= SILENCE_PEAK:
        return 0, 0
    levels_db = _measure_levels(audio, max(1, round(FRAME_S * sample_rate_hz)))
    loudest = float(levels_db.max())
    threshold = np.clip(np.percentile(levels_db, 10) + FLOOR_MARGIN_DB, loudest - DEEPEST_DB, loudest - SHALLOWEST_DB)
    (active,) = np.nonzero(levels_db >= threshold)
    frame = max(1, round(FRAME_S * sample_rate_hz))
    return int(active[0]) * frame, min(int(active[-1] + 1) * frame, len(audio))


def trim_silence(audio: np.ndarray, sample_rate_hz: int = SAMPLE_RATE, margin_s: float = MARGIN_S) -> np.ndarray:
    """Return (N,) without the silence at its ends but for a margin: a view of it, empty where all is silence."""
    start, end = find_speech(audio, sample_rate_hz)
    margin = round(margin_s * sample_rate_hz) if end > start else 0
    return audio[max(0, start - margin) : end + margin]


def fade(audio: np.ndarray, sample_rate_hz: int = SAMPLE_RATE, fade_s: float = FADE_S) -> np.ndarray:
    """Return a copy of (N,) that begins and ends at zero, by half a cosine at either end."""
    faded = np.array(audio, np.float32)
    n = min(round(fade_s * sample_rate_hz), len(faded) // 2)
    if n:
        ramp = (0.5 - 0.5 * np.cos(np.pi * np.arange(n) / n)).astype(np.float32)
        faded[:n] *= ramp
        faded[-n:] *= ramp[::-1]
    return faded


def scale_to_fit(audio: np.ndarray, peak: float = 1.0) -> np.ndarray:
    """Return (N,) with one gain over the whole so that no sample is beyond `peak`; audio that fits is returned as it is."""
    loudest = max(-float(audio.min()), float(audio.max())) if len(audio) else 0.0
    return audio if loudest <= peak else audio * np.float32(peak / loudest)


def _measure_levels(audio: np.ndarray, frame: int) -> np.ndarray:
    """Return the level of each frame in dB below full scale."""
    padded = np.concatenate((audio, np.zeros(-len(audio) % frame, audio.dtype))).reshape(-1, frame)  # (frames, frame)
    return 10 * np.log10(np.mean(np.square(padded), axis=1) + 1e-12)
