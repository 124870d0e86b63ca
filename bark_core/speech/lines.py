"""Lines: utterances on their way to speech, with their takes; and what is told while they are spoken."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from bark_core.errors import InvalidInput
from bark_core.stages.jobs import Job, Result, SemanticTake
from bark_core.stages.lanes import Passage
from bark_core.types import History, Utterance

Event = tuple[str, int, int]
Listener = Callable[[str, Result], str | None]
"""Hears a take of a text; returns what is wrong with it, as the end of a sentence, or None."""


@dataclass(eq=False)
class Take:
    """One drawing of a line, the n-th: its seed, its way through the stages, how good it is and what is wrong with it; later its result."""

    n: int
    seed: int
    passage: Passage
    score: float = -math.inf
    fault: str | None = None
    result: Result | None = None

    @property
    def job(self) -> Job:
        return self.passage.job

    @property
    def semantic(self) -> SemanticTake:
        assert self.passage.take is not None
        return self.passage.take


@dataclass(eq=False)
class Line:
    """One utterance on its way.

    `script`: which of several texts it is from. `voice`: the one it was given. `follows`: it was given none, and takes the
    tokens of its script's first such utterance for one. `seed`: of its first take. `takes`: those drawn, the best first.
    """

    script: int
    utterance: Utterance
    voice: History | None
    follows: bool
    seed: int
    notes: list[str] = field(default_factory=list)
    takes: list[Take] = field(default_factory=list)
    n_drawn: int = 0
    n_retries: int = 0
    n_splits: int = 0
    is_done: bool = False
    pending: dict[Passage, Take] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Spoken:
    """A line that is done, and whether it is the last of its script."""

    line: Line
    is_last: bool


def explain_left_out(error: InvalidInput) -> str:
    """Return what to say of a part of a text that cannot be spoken, where others can."""
    return f"A part of the text is left out: {error}"
