"""Engines are lent to one run at a time, so that generations running side by side never share a cache, and kept for the next.

Knows engines, not what they run.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch

from bark_core.engine.graphs import GraphEngine
from bark_core.engine.loop import Engine
from bark_core.engine.modes import computing


class _Loan:
    """Stands for a run. What it has borrowed is free when it is gone, however it went."""


class Engines:
    """One stage's. `recorded`, if there is one, has all of its steps captured, and is lent first."""

    def __init__(self, make: Callable[[int], Engine]) -> None:
        """`make` returns an engine of so many rows."""
        self._make = make
        self.recorded: GraphEngine | None = None
        self._loan: Callable[[], _Loan | None] = _nobody
        self._lock = threading.Lock()
        self._idle: list[Engine] = []
        self._left: weakref.WeakKeyDictionary[Engine, Any] = weakref.WeakKeyDictionary()

    @contextmanager
    def lend(self, n_rows: int) -> Iterator[Engine]:
        """Lend an engine that runs at most `n_rows` rows at a time."""
        loan = _Loan()
        engine = self._take(n_rows, loan)
        if event := self._left.pop(engine, None):
            # An engine belongs to no stream: what its last run launched may be under way on another.
            torch.cuda.current_stream(engine.device).wait_event(event)
        try:
            yield engine
        except BaseException:
            if isinstance(engine, GraphEngine):  # it may be that its cache holds what is no number
                with computing():
                    engine.empty()
            raise
        finally:
            if engine.device.type == "cuda":
                event = torch.cuda.Event()
                event.record(torch.cuda.current_stream(engine.device))
                self._left[engine] = event
            if engine is self.recorded:
                self._loan = _nobody
            else:
                self._idle[:] = [engine]

    def clear(self) -> None:
        """Drop what waits for the next run."""
        self._idle.clear()

    def _take(self, n_rows: int, loan: _Loan) -> Engine:
        recorded, engine = self.recorded, None
        if recorded is not None and n_rows <= recorded.capacity:
            with self._lock:
                if self._loan() is None:
                    self._loan = weakref.ref(loan)
                    recorded.n_rows = n_rows
                    return recorded
        with suppress(IndexError):
            engine = self._idle.pop()
        return engine if engine is not None and engine.n_rows == n_rows else self._make(n_rows)


def _nobody() -> None:
    """Stand for the borrower where there is none."""
