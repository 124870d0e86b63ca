"""How far lines are in each stage → the progress of the whole. Knows no models."""

from __future__ import annotations

from collections.abc import Iterable

from bark_core.config import PARTS
from bark_core.speech.lines import Event, Line


class Meter:
    """Turns how far lines are into the progress of the whole: each stage's only rises, and ends at its total.

    That of a single line is told as its stages tell it.
    """

    def __init__(self, n_lines: int) -> None:
        self.n_lines, self.n_done = n_lines, 0
        self._shown: dict[str, Event] = {}

    def read(self, stage: str, begun: Iterable[Line]) -> Event:
        """Return the progress of a stage, given the lines that are begun and not yet given out."""
        at = PARTS.index(stage)
        parts = [_measure(line, at) for line in begun]
        _, before, whole = self._shown.get(stage, ("", 0, parts[0][1] if self.n_lines == 1 else 1000))
        now = (self.n_done * whole + sum(done * whole // total for done, total in parts)) // self.n_lines
        self._shown[stage] = (stage, max(before, now), whole)
        return self._shown[stage]

    def finish(self) -> list[Event]:
        """Return what is still to be told where all is done: of stages that some lines were left out of."""
        return [(stage, whole, whole) for stage, done, whole in self._shown.values() if done < whole]


def _measure(line: Line, at: int) -> tuple[int, int]:
    """Return how far a line is in the stage with index `at`: steps done, and all."""
    if line.is_done:
        return 1, 1
    there = [(PARTS.index(each.stage), each) for each in line.pending]
    moving = [each for n, each in there if n == at]
    if moving:
        return sum(each.done for each in moving), sum(each.total for each in moving)
    return (1, 1) if there and min(n for n, _ in there) > at else (0, 1)
