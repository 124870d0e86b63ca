"""Utterances to one speech: the silence around each is trimmed, its ends are faded, and pauses of given lengths lie between them.

Works utterance by utterance, so that a stream and a whole are the same samples. No gain is changed here, since a stream cannot know its
loudest sample (loudness.py has gains for wholes). Knows nothing of texts, voices or files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bark_core.audio.silence import MARGIN_S, trim_silence
from bark_core.config import SAMPLE_RATE
from bark_core.errors import InvalidInput

FADE_S = 0.005
"""Seconds over which an utterance comes up from zero, and goes back to it; less than the margin of silence that it has there."""


@dataclass(frozen=True, eq=False)
class Joined:
    """What one utterance adds to the speech.

    `audio` (n,) float32: its trimmed samples and the pause after them. It is heard from the sample `start` of the whole up to `end`.
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
        """Return what an utterance (N,) float32 adds; one that is silent adds only its pause.

        Raises: InvalidInput for a pause that is no number of seconds from 0 up.
        """
        pause = self._make_silence(pause_after_s)
        speech = fade_ends(trim_silence(audio, self.sample_rate_hz, self.margin_s), self.sample_rate_hz, self.fade_s)
        start = self.position
        end = start + len(speech)
        self.position = end + len(pause)
        return Joined(np.concatenate((speech, pause)), start, end)

    def add_pause(self, seconds: float) -> np.ndarray:
        """Return silence (n,) of this length: a pause before the first utterance."""
        pause = self._make_silence(seconds)
        self.position += len(pause)
        return pause

    def _make_silence(self, seconds: float) -> np.ndarray:
        if not 0 <= seconds < float("inf"):
            raise InvalidInput(f"A pause of {seconds!r} s was given; it must be a number of seconds from 0 up.")
        return np.zeros(round(seconds * self.sample_rate_hz), np.float32)


def fade_ends(audio: np.ndarray, sample_rate_hz: int = SAMPLE_RATE, fade_s: float = FADE_S) -> np.ndarray:
    """Return a copy of (N,) that begins and ends at zero, by half a cosine at either end; each is at most half of what there is."""
    faded = np.array(audio, np.float32)
    n = min(round(fade_s * sample_rate_hz), (len(faded) + 1) // 2)
    if n:
        ramp = (0.5 - 0.5 * np.cos(np.pi * np.arange(n) / n)).astype(np.float32)
        faded[:n] *= ramp
        faded[-n:] *= ramp[::-1]
    return faded
