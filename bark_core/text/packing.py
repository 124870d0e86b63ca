"""Pieces of text → groups that fit, as few and as even as may be, cut where it hurts least. Knows no languages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from bark_core.text.pieces import Cut

_STUB, _STUB_COST = 0.3, 4.0
"""A group less full than this costs so much more for what it lacks."""

_FIRST_COST = 3.0
"""What the first group costs for each time that it is longer than asked, squared."""

_SILENT_COST = 20.0
"""What a group of marks alone costs: it would not be spoken."""


@dataclass(frozen=True)
class Item:
    """A piece of text that stays whole: how long it takes, how many tokens it is, what a cut after it would part, its line ends.

    `is_spoken`: it has a letter or a digit.
    """


    text: str
    seconds: float
    tokens: int
    cut: Cut
    n_lines: int = 0
    is_spoken: bool = True


def pack(items: Sequence[Item], most_s: float, most_tokens: int, first_s: float | None = None) -> list[list[Item]]:
    """Return the items in groups, in order, each within both bounds; an item that is beyond them alone is a group of its own.

    The cheapest grouping: a group costs 1 and the square of how full it is, so that two even ones are cheaper than a long one
    and a stub; one that is nearly empty costs more, and so does what a cut parts. `first_s`: about how long the first group should be.
    """
    seconds = [0.0, *accumulate(item.seconds for item in items)]
    tokens = [0, *accumulate(item.tokens for item in items)]
    spoken = [0, *accumulate(item.is_spoken for item in items)]
    costs = [0.0]
    begins = [0]
    for end in range(1, len(items) + 1):
        best, best_begin = float("inf"), end - 1
        for begin in range(end - 1, -1, -1):
            length_s, n_tokens = seconds[end] - seconds[begin], tokens[end] - tokens[begin]
            if begin < end - 1 and (length_s > most_s or n_tokens > most_tokens):
                break
            fullness = max(length_s / most_s, n_tokens / most_tokens)
            cost = costs[begin] + 1 + fullness * fullness + max(0.0, _STUB - fullness) * _STUB_COST
            if spoken[end] == spoken[begin]:
                cost += _SILENT_COST
            if first_s is not None and begin == 0:
                cost += _FIRST_COST * (length_s / first_s - 1) ** 2
            if cost < best:
                best, best_begin = cost, begin
        costs.append(best + (items[end - 1].cut.value if end < len(items) else 0))
        begins.append(best_begin)
    groups: list[list[Item]] = []
    end = len(items)
    while end:
        groups.append(list(items[begins[end] : end]))
        end = begins[end]
    return groups[::-1]


