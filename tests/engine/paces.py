"""Paces for the tests of drafts, which must not depend on how fast a machine is."""

from __future__ import annotations

from bark_core.engine.pace import Pace


class FixedPace(Pace):
    """As many tokens a round as are asked for, whatever they take."""

    def __init__(self, n_tokens: int) -> None:
        super().__init__()
        self._n_tokens = n_tokens

    def choose(self, n: int) -> int:
        del n
        return self._n_tokens
