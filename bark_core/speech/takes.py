"""Which take of an utterance is good: how long it is for its text, whether it is stuck or silent, and how likely its tokens were.

Knows arrays and texts; who draws takes, and how often, is elsewhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bark_core.audio.silence import find_speech
from bark_core.errors import InvalidInput
from bark_core.text.duration import bound_seconds, estimate_seconds
from bark_core.types import is_whole

MAX_TAKES, MAX_RETRIES = 8, 5

MAX_PERIOD, MAX_REPEATED_S = 20, 3.0
"""Tokens that repeat with a period of at most 20 (0.4 s) for longer than 3 s say the same thing over and over, or nothing.

Of Suno's presets none repeats for more than 0.7 s, pauses among them; the demo's speech never does for more than 0.6 s.
"""


@dataclass(frozen=True)
class TakeOptions:
    """How often an utterance is drawn.

    `n_takes`: 1 to 8 drawn at once, of which the best is kept. `retry`: draw a bad take again, at most `max_retries` (0 to
    5) times, and split what has no end. `verify`: None, or "asr" to compare what is heard with what was written.
    `keep_all`: take all of `n_takes` through every stage.
    """

    n_takes: int = 1
    retry: bool = True
    max_retries: int = 2
    verify: str | None = None
    keep_all: bool = False

    def __post_init__(self) -> None:
        if not is_whole(self.n_takes) or not 1 <= self.n_takes <= MAX_TAKES:
            raise InvalidInput(f"n_takes was {self.n_takes!r}; it must be a whole number from 1 to {MAX_TAKES}.")
        if not is_whole(self.max_retries) or not 0 <= self.max_retries <= MAX_RETRIES:
            raise InvalidInput(f"max_retries was {self.max_retries!r}; it must be a whole number from 0 to {MAX_RETRIES}.")
        for name in ("retry", "keep_all"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidInput(f"{name} was {getattr(self, name)!r}; it must be True or False.")
        if self.verify not in (None, "asr"):
            raise InvalidInput(f'verify was {self.verify!r}; it must be "asr" or None.')


def find_fault(text: str, semantic: np.ndarray, rate_hz: float, max_seconds: float | None = None) -> str | None:
    """Return what is wrong with a take's semantic tokens (S,), as the end of a sentence, or None.

    `max_seconds`: what the caller allowed, which a take that fills it is not blamed for.
    """
    seconds = len(semantic) / rate_hz
    least_s, most_s = bound_seconds(text)
    if seconds < least_s and (max_seconds is None or seconds < max_seconds):
        return f"took {seconds:.1f} s, where its text takes {least_s:.1f} s at least"
    if seconds > most_s:
        return f"took {seconds:.1f} s, where its text takes {most_s:.1f} s at most"
    repeated_s = find_repetition(semantic) / rate_hz
    return f"repeated itself for {repeated_s:.1f} s" if repeated_s > MAX_REPEATED_S else None


def find_repetition(tokens: np.ndarray) -> int:
    """Return the length of the longest run of tokens (S,) that repeats with a period of at most MAX_PERIOD; 0 for none."""
    longest = 0
    for period in range(1, min(MAX_PERIOD, len(tokens) - 1) + 1):
        differs = np.flatnonzero(np.concatenate(([True], tokens[period:] != tokens[:-period], [True])))
        run = int(np.diff(differs).max()) - 1
        longest = max(longest, run + period if run else 0)
    return longest


def is_silent(audio: np.ndarray) -> bool:
    """Tell whether nothing is heard in audio (N,)."""
    start, end = find_speech(audio)
    return end == start


def score_take(text: str, semantic: np.ndarray, rate_hz: float, logprob: float) -> float:
    """Return how good a take is, higher is better: the mean log-probability of its tokens, less how far its length is from the text's.

    The distance is the logarithm of the ratio, so that half as long and twice as long cost alike.
    """
    estimate_s = max(estimate_seconds(text), 0.5)
    seconds = max(len(semantic), 1) / rate_hz
    return logprob - abs(math.log(seconds / estimate_s))
