"""Semantic tokens of the demo: which phone, how high, and how many tokens of it remain ("countdown").

They follow from the teacher's phones, are the same for every voice, and say what comes next: text to tokens is then
spelling to sound and rhythm, which a small model learns from little. The sound itself is left to the coarse stage.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.phones import PHONES, VOICED

REMAINING = 10
"""Countdown values: 0 … 8 tokens remain after this one, or 9 and more."""

HEIGHTS = 5
"""Pitch classes of a voiced phone, fifths of the voice's own range."""

_EDGES = np.array([-0.84, -0.25, 0.25, 0.84])
N_TOKENS = (len(VOICED) * HEIGHTS + len(PHONES) - len(VOICED)) * REMAINING


@dataclass(frozen=True)
class Range:
    """Where a voice's log pitch lies: mean and standard deviation over its voiced phones."""

    mean: float
    deviation: float

    @classmethod
    def measure(cls, phones: np.ndarray, pitch: np.ndarray) -> Range:
        """Measure over phones (P,) and their log pitch (P,), nan where unvoiced."""
        values = pitch[(phones < len(VOICED)) & ~np.isnan(pitch)]
        return cls(float(values.mean()), float(values.std()))


def classify(phones: np.ndarray, pitch: np.ndarray, voice: Range) -> np.ndarray:
    """Return each phone's kind (P,): phone and pitch class in one number."""
    z = np.where(np.isnan(pitch), 0, (pitch - voice.mean) / voice.deviation)
    height = np.digitize(z, _EDGES)
    phones = phones.astype(np.int64)
    return np.where(phones < len(VOICED), phones * HEIGHTS + height, len(VOICED) * HEIGHTS + phones - len(VOICED))


def tokenise(phones: np.ndarray, ends: np.ndarray, pitch: np.ndarray, voice: Range, rate_hz: float) -> np.ndarray:
    """Return the semantic tokens (S,) int64 of phones (P,) ending at `ends` seconds (P,); every phone gets at least one."""
    kinds = classify(phones, pitch, voice)
    edges = np.round(ends.astype(np.float64) * rate_hz).astype(np.int64)
    edges = np.maximum(edges, np.arange(1, len(edges) + 1))
    counts = np.diff(edges, prepend=0)
    while (counts < 1).any():  # a phone shorter than a token takes one from the next
        edges = np.maximum(edges[:], np.concatenate([[1], edges[:-1] + 1]))
        counts = np.diff(edges, prepend=0)
    remaining = np.repeat(edges, counts) - 1 - np.arange(edges[-1])
    return np.repeat(kinds, counts) * REMAINING + np.minimum(remaining, REMAINING - 1)


def split_phones(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the phones (P,) that tokens (S,) speak one after the other, and how many tokens each takes (P,)."""
    phones, _, remaining = split_tokens(tokens)
    first = np.concatenate([[True], remaining[:-1] == 0])
    starts = np.flatnonzero(first)
    return phones[starts], np.diff(starts, append=len(tokens))


def split_tokens(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what tokens (…,) are made of: phone index, pitch class (HEIGHTS where unvoiced) and remaining count."""
    kinds, remaining = tokens // REMAINING, tokens % REMAINING
    voiced = kinds < len(VOICED) * HEIGHTS
    phones = np.where(voiced, kinds // HEIGHTS, kinds - len(VOICED) * HEIGHTS + len(VOICED))
    return phones, np.where(voiced, kinds % HEIGHTS, HEIGHTS), remaining
