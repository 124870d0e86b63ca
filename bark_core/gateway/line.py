"""The line before the backends: bounded, first come first served. Knows no HTTP, and of backends nothing but that they are there."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
from collections.abc import AsyncIterator, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from bark_core.gateway.faults import Fault

B = TypeVar("B", bound=Hashable)

REST_S = 0.05
"""How long a backend that said it has no room is left alone. One frees its place a moment after it has answered."""

PROBE_AFTER_S = 10.0
"""How long after a vain try for one more place a backend is tried again: some take several predictions at a time, and none says how many."""

ACCEPTED_AFTER_S = 1.0
MAX_REFUSALS = 5


@dataclass(eq=False)
class Post(Generic[B]):
    """A backend as the line sees it: how many of our predictions it has, and how many it seems to take."""

    backend: B
    limit: int = 1
    n_running: int = 0
    n_refusals: int = 0
    rest_until: float = 0.0
    probe_after: float = 0.0

    def has_room(self, now: float) -> bool:
        """Tell whether to send it one more prediction."""
        if now < self.rest_until:
            return False
        return self.n_running < self.limit or (self.n_running == self.limit and now >= self.probe_after)

    def enter(self, now: float) -> None:
        """Count one more prediction. One beyond the limit is a try."""
        self.n_running += 1
        if self.n_running > self.limit:
            self.probe_after = now + PROBE_AFTER_S

    def accept(self, n_running: int) -> None:
        """Note that it ran this many at a time."""
        self.n_refusals = 0
        if n_running > self.limit:
            self.limit, self.probe_after = n_running, 0.0

    def refuse(self, now: float) -> float:
        """Note that it had no room; return for how many seconds it is left alone."""
        if self.n_running <= self.limit:  # beyond it, it was but a try that was vain
            self.n_refusals += 1
        if self.n_refusals >= MAX_REFUSALS and self.limit > 1:
            self.limit, self.n_refusals, self.probe_after = max(1, self.n_running - 1), 0, now + PROBE_AFTER_S
        rest_s = REST_S * 2 ** min(self.n_refusals, 3)
        self.rest_until = now + rest_s
        return rest_s


@dataclass(eq=False)
class Turn(Generic[B]):
    """The right to one prediction on a backend. `was_refused`: it had no room after all; `was_lost`: it was not there."""

    backend: B
    was_refused: bool = False
    was_lost: bool = False


@dataclass(eq=False)
class _Waiting(Generic[B]):
    number: int
    avoided: frozenset[B]
    chosen: asyncio.Future[Post[B]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Line(Generic[B]):
    """Who is next, and on which backend. Belongs to one event loop."""

    def __init__(self, backends: Sequence[B], max_waiting: int, timeout_s: float, limit: int = 1) -> None:
        """`max_waiting` may wait; `limit` is how many predictions a backend is first taken to run at a time."""
        self.posts = [Post(backend, limit) for backend in backends]
        self._max_waiting, self._timeout_s = max_waiting, timeout_s
        self._numbers = itertools.count()
        self._waiting: list[_Waiting[B]] = []
        self._mean_s = 2.0

    @property
    def n_waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    def take_number(self) -> int:
        """Join the line; the number keeps one's place in it. Raises: Fault 429 where the line is full."""
        if self.n_waiting >= self._max_waiting:
            wait_s = math.ceil(self._mean_s * self.n_waiting / sum(post.limit for post in self.posts))
            message = f"{self.n_waiting} requests are waiting already, and no more may. Try again in some seconds."
            raise Fault(429, message, code="queue_full", retry_after_s=min(max(wait_s, 1), 60))
        return next(self._numbers)

    @contextlib.asynccontextmanager
    async def turn(self, number: int, avoided: frozenset[B] = frozenset()) -> AsyncIterator[Turn[B]]:
        """Wait for one's turn on a backend that is not `avoided`, and hold it. Raises: Fault 503 after the line's timeout."""
        loop = asyncio.get_running_loop()
        post = await self._wait(number, avoided)
        turn, begin, n_running = Turn(post.backend), loop.time(), post.n_running
        timer = loop.call_later(ACCEPTED_AFTER_S, self._accept, post, n_running)
        try:
            yield turn
        finally:
            timer.cancel()
            if turn.was_refused:
                loop.call_later(post.refuse(loop.time()), self._dispatch)
            elif not turn.was_lost:
                post.accept(n_running)
                self._mean_s += 0.2 * (loop.time() - begin - self._mean_s)
            post.n_running -= 1
            self._dispatch()

    def _accept(self, post: Post[B], n_running: int) -> None:
        post.accept(n_running)
        self._dispatch()

    async def _wait(self, number: int, avoided: frozenset[B]) -> Post[B]:
        waiting = _Waiting(number, avoided)
        self._waiting.append(waiting)
        self._waiting.sort(key=lambda each: each.number)
        self._dispatch()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.shield(waiting.chosen)
        except TimeoutError as error:
            self._give_up(waiting)
            message = f"No backend had room for this request within {self._timeout_s:.0f} seconds. Try again later."
            raise Fault(503, message, code="queue_timeout", retry_after_s=30) from error
        except asyncio.CancelledError:
            self._give_up(waiting)
            raise

    def _give_up(self, waiting: _Waiting[B]) -> None:
        """Leave the line; a turn that came in the same moment goes to the next."""
        if waiting in self._waiting:
            self._waiting.remove(waiting)
        elif waiting.chosen.done():
            waiting.chosen.result().n_running -= 1
            self._dispatch()

    def _dispatch(self) -> None:
        """Give every free place to who has waited longest."""
        now = asyncio.get_running_loop().time()
        for waiting in list(self._waiting):
            free = [post for post in self.posts if post.backend not in waiting.avoided and post.has_room(now)]
            if free:
                post = min(free, key=lambda each: each.n_running)
                post.enter(now)
                self._waiting.remove(waiting)
                waiting.chosen.set_result(post)
