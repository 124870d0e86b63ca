"""Which stage moves next, where several have something on its way. Numbers in, a stage's name out: knows no models and no time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from bark_core.config import PARTS, STAGES

CAUSAL = STAGES[:2]
"""The stages whose step costs nearly the same for one row as for many: they are worth waiting with until there are many."""


class Aim(Enum):
    """What is to be had: most audio a second, or the first audio of each request as soon as can be, at some cost of the rest."""

    MOST_AUDIO = "most audio"
    FIRST_AUDIO = "first audio"


@dataclass(frozen=True)
class Load:
    """What is on its way through a stage.

    `oldest`: when the first of it came to this stage, counted in arrivals at any. `urgent`: the number of the oldest request of which the
    first audio is among it; None: there is none.
    """

    oldest: int
    urgent: int | None = None


@dataclass(frozen=True)
class Turn:
    """A stage's turn: it lasts until all that came there before `until`, counted in arrivals, is through."""

    stage: str
    until: int


def choose_stage(
    loads: Mapping[str, Load], turn: Turn | None, n_arrived: int, aim: Aim = Aim.MOST_AUDIO, in_turns: tuple[str, ...] = CAUSAL
) -> tuple[str, Turn | None]:
    """Return the stage that moves next, and whose turn it is then. `loads`: at least one stage, those alone through which something is on its way.

    Most audio: stages of `in_turns` take turns, so that whatever comes meanwhile is gathered at the others and then moves together;
    the rest, which gain nothing by waiting, move whenever they can. First audio: before all that, the stage moves in which the oldest request
    waits for its first audio.
    """
    if aim is Aim.FIRST_AUDIO:
        urgent = {stage: load.urgent for stage, load in loads.items() if load.urgent is not None}
        if urgent:
            # Of one request that is in several stages, what is nearest to its end.
            return min(urgent, key=lambda stage: (urgent[stage], -PARTS.index(stage))), turn
    for stage in reversed(PARTS):
        if stage in loads and stage not in in_turns:
            return stage, turn
    if turn is None or turn.stage not in loads or loads[turn.stage].oldest >= turn.until:
        turn = Turn(_follow(turn, loads), n_arrived)
    return turn.stage, turn


def _follow(turn: Turn | None, loads: Mapping[str, Load]) -> str:
    """Return the next stage after a turn's that has something to do, beginning anew after the last."""
    begin = 0 if turn is None else PARTS.index(turn.stage) + 1
    return next(stage for stage in (*PARTS[begin:], *PARTS[:begin]) if stage in loads)
