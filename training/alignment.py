"""Which letter each phone comes from: a monotone alignment, learned from texts and phones alone.

Only training needs it: a semantic model that is also asked where in the text it is finds its way through it far sooner.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.phones import PAUSE, PHONES

_SKIP = 1.5
"""What a letter without a phone costs, in nats."""

_STAY = 1.5
"""What a further phone of the same letter costs."""


def align(letters: np.ndarray, phones: np.ndarray, emission: np.ndarray) -> np.ndarray:
    """Return the index of each phone's letter, (P,), never falling: letters (n,), phones (P,), emission (letters, phones) log probabilities."""
    scores = emission[letters][:, phones].T.copy()  # (P, n)
    if phones[0] == PAUSE:
        scores[0] = 0
    where = np.arange(len(letters)) * _SKIP
    best = scores[0] - where
    back = np.zeros(scores.shape, np.int64)
    for i in range(1, len(phones)):
        # From any earlier letter, each one passed over costing _SKIP: a running maximum finds the best of them.
        lead = best + where
        peak = np.maximum.accumulate(lead)
        source = np.maximum.accumulate(np.where(lead >= peak, np.arange(len(lead)), 0))
        moved = np.concatenate([[-np.inf], peak[:-1] - where[1:] + _SKIP])
        stayed = best - _STAY
        back[i] = np.where(moved > stayed, np.concatenate([[0], source[:-1]]), np.arange(len(lead)))
        best = np.maximum(moved, stayed) + scores[i]
    path = np.empty(len(phones), np.int64)
    path[-1] = int(np.argmax(best + where))
    for i in range(len(phones) - 1, 0, -1):
        path[i - 1] = back[i, path[i]]
    return path


def learn_emission(pairs: Sequence[tuple[np.ndarray, np.ndarray]], n_letters: int, n_rounds: int = 5) -> np.ndarray:
    """Return log probabilities of phones given letters, (n_letters, phones), from (letters, phones) pairs, starting from even spacing."""
    counts = np.full((n_letters, len(PHONES)), 0.1)
    for letters, phones in pairs:
        np.add.at(counts, (letters[np.arange(len(phones)) * len(letters) // len(phones)], phones), 1)
    for _ in range(n_rounds):
        emission = np.log(counts / counts.sum(axis=1, keepdims=True))
        counts = np.full_like(counts, 0.1)
        for letters, phones in pairs:
            np.add.at(counts, (letters[align(letters, phones, emission)], phones), 1)
    return np.log(counts / counts.sum(axis=1, keepdims=True))
