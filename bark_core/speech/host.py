"""One thread that steps a scheduler for callers in other threads. All that is spoken is the thread's; callers hand in sessions and look on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

from bark_core.engine.runtime import Runtime
from bark_core.speech.lines import Event
from bark_core.speech.policy import Aim
from bark_core.speech.scheduler import Scheduler
from bark_core.speech.session import Piece, Session


@dataclass(eq=False)
class Ticket:
    """A session that is spoken, and what its caller may look at from another thread: written here, read there.

    `progress`: the last event of each stage. `pieces`: those not yet taken. `error`: what ended it, once it `is_done`. `on_news` is
    called with this, in the host's thread, when a piece came, and at the end; not for progress, of which there is much.
    """

    session: Session
    on_news: Callable[[Ticket], object]
    progress: dict[str, Event] = field(default_factory=dict)
    pieces: list[Piece] = field(default_factory=list)
    error: Exception | None = None
    is_done: bool = False


class Host:
    """A scheduler with a thread of its own, which rests while there is nothing to speak."""

    def __init__(self, runtime: Runtime, n_slots: int = 8, aim: Aim = Aim.MOST_AUDIO) -> None:
        self._runtime, self._n_slots, self._aim = runtime, n_slots, aim
        self._calls: queue.SimpleQueue[Callable[[Scheduler], None] | None] = queue.SimpleQueue()
        self._tickets: list[Ticket] = []
        self._thread = threading.Thread(target=self._work, name="bark-scheduler", daemon=True)
        self._thread.start()

    def submit(self, session: Session, on_news: Callable[[Ticket], object]) -> Ticket:
        """Speak a session beside the others."""
        ticket = Ticket(session, on_news)
        self._calls.put(partial(self._join, ticket))
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Stop speaking a session; at once, as far as it is the caller's."""
        self._calls.put(partial(self._leave, ticket))

    def close(self) -> None:
        """Stop all work, and the thread."""
        self._calls.put(None)
        self._thread.join()

    def _work(self) -> None:
        with closing(Scheduler(self._runtime, self._n_slots, self._aim, is_shared=True)) as scheduler:
            while True:
                # Whoever comes or goes does so between two steps; where there is nothing to step, this waits for them.
                while not self._tickets or not self._calls.empty():
                    call = self._calls.get()
                    if call is None:
                        return
                    call(scheduler)
                try:
                    scheduler.step()
                except Exception as error:  # of this package's own making: whoever is here is told, and whoever comes is served
                    scheduler.close()
                    for ticket in list(self._tickets):
                        self._end(ticket, error)
                for ticket in list(self._tickets):
                    self._look(ticket)

    def _join(self, ticket: Ticket, scheduler: Scheduler) -> None:
        with self._ending(ticket):
            ticket.session.join(scheduler, is_shared=True)
            self._tickets.append(ticket)

    def _leave(self, ticket: Ticket, scheduler: Scheduler) -> None:
        if ticket in self._tickets:
            self._tickets.remove(ticket)
            ticket.session.leave(scheduler)
            ticket.is_done = True

    def _look(self, ticket: Ticket) -> None:
        """Take what came of a session."""
        with self._ending(ticket):
            n_pieces = len(ticket.pieces)
            for event in ticket.session.take_events():
                if isinstance(event[0], str):
                    ticket.progress[event[0]] = event  # pyright: ignore[reportArgumentType] -- which is what tells the two apart
                else:
                    ticket.pieces.append(event)  # pyright: ignore[reportArgumentType]
            if ticket.session.is_done:
                self._end(ticket)
            elif len(ticket.pieces) > n_pieces:
                _tell(ticket)

    @contextmanager
    def _ending(self, ticket: Ticket) -> Generator[None]:
        """End a ticket with what is raised meanwhile: it is that caller's, and nobody else's."""
        try:
            yield
        except Exception as error:
            self._end(ticket, error)

    def _end(self, ticket: Ticket, error: Exception | None = None) -> None:
        ticket.error, ticket.is_done = error, True
        if ticket in self._tickets:
            self._tickets.remove(ticket)
        _tell(ticket)


def _tell(ticket: Ticket) -> None:
    with suppress(RuntimeError):  # of an event loop that was closed in the meantime: nobody listens
        ticket.on_news(ticket)
