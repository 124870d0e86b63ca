"""How many tokens ahead it pays to draft: told from what steps took here and from how many drafts were right.

Arithmetic on seconds and counts; knows no models. What it says changes how long tokens take, never which they are.
"""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass, field

MAX_TOKENS = 8
"""The most tokens that a row may gain in a round: more would be read at once by more rows than the kernel serves in one pass."""

MAX_ROWS = 32
"""The most rows of one exact step, all sequences' together."""

_PLAIN_FIRST, _KEPT = 3, 5
"""Plain steps that are timed before any drafts, and how many of the latest times count."""

_LOOK_AGAIN = 64
"""Rounds after which what is not being done is timed again."""

_MEMORY = 200
"""Drafts after which the older ones count half."""

_GAIN = 1.03
"""What drafts must gain to be made: less is what measurements err by."""


@dataclass
class _Times:
    """The latest seconds of a number of sequences: of plain steps, of a draft, and of what each further row adds to an exact step."""

    plain: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))
    draft: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))
    row: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))
    n_rounds: int = 0


class Pace:
    """Chooses by measurement; one for each model, shared by all that run it."""

    def __init__(self) -> None:
        self._times: dict[int, _Times] = {}
        self._right, self._drafted = 0.0, 0.0
        self.n_kept, self.n_drafted = 0, 0

    @property
    def share_right(self) -> float:
        """The share of drafts that were what the exact step draws, later ones counting more; 0.9 to begin with."""
        return (self._right + 9) / (self._drafted + 10)

    def choose(self, n: int) -> int:
        """Return how many tokens `n` sequences should go for in the next round; 1 is a plain step."""
        most, times = min(MAX_TOKENS, MAX_ROWS // n), self._times.setdefault(n, _Times())
        times.n_rounds += 1
        if most < 2 or len(times.plain) < _PLAIN_FIRST:
            return 1
        if len(times.row) < _PLAIN_FIRST:
            return most
        best = max(range(2, most + 1), key=lambda k: self.gain(n, k))
        is_ahead = self.gain(n, best) > _GAIN
        if times.n_rounds % _LOOK_AGAIN == 0:
            is_ahead = not is_ahead
        return best if is_ahead else 1

    def gain(self, n: int, k: int) -> float:
        """Return how many times as fast as plain steps rounds of `k` tokens are for `n` sequences; 1 where that was not measured."""
        times, share = self._times.get(n, _Times()), self.share_right
        if not times.plain or not times.row:
            return 1.0
        plain, draft, row = (statistics.median(each) for each in (times.plain, times.draft, times.row))
        expected = sum(share**i for i in range(k))
        return expected * plain / ((k - 1) * draft + plain + (k - 1) * n * row)

    def note_plain(self, n: int, seconds: float) -> None:
        """Take note of what a plain step of `n` sequences took."""
        self._times.setdefault(n, _Times()).plain.append(seconds)

    def note_round(self, n: int, n_drafts: int, draft_s: float, n_rows: int, exact_s: float) -> None:
        """Take note of a round of `n` sequences: so many drafts in turn, and one exact step of `n_rows` rows."""
        times = self._times.setdefault(n, _Times())
        if times.plain and n_drafts and n_rows > n:
            times.draft.append(draft_s / n_drafts)
            times.row.append(max(0.0, exact_s - statistics.median(times.plain)) / (n_rows - n))

    def note_drafts(self, n_right: int, n_judged: int) -> None:
        """Take note of how many drafts were right, of those that an exact step was there to judge."""
        self.n_kept, self.n_drafted = self.n_kept + n_right, self.n_drafted + n_judged
        self._right, self._drafted = self._right + n_right, self._drafted + n_judged
        if self._drafted > _MEMORY:
            self._right, self._drafted = self._right / 2, self._drafted / 2

    def best_gain(self) -> tuple[int, float]:
        """Return the tokens a round that are best for the fewest sequences that were measured, and how many times as fast that is."""
        for n in sorted(self._times):
            if self._times[n].row:
                best = max(range(1, min(MAX_TOKENS, MAX_ROWS // n) + 1), key=lambda k: self.gain(n, k) if k > 1 else _GAIN)
                return best, self.gain(n, best) if best > 1 else 1.0
        return 1, 1.0
