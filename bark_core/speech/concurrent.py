"""Predictions that are made beside each other: one event loop waits for them all, one thread speaks them. Knows no Cog."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bark_core.speech.bark import Bark
from bark_core.speech.host import Host
from bark_core.speech.output import OutputOptions
from bark_core.speech.progress import ProgressBar
from bark_core.speech.service import Record, Service, print_unforeseen, report
from bark_core.speech.session import Session

N_SLOTS = 8
"""How many rows are spoken together at most; who comes when all are taken waits for one."""

KEEP_S = 60.0
"""How long a file that was given out is kept: the server reads it at once, while others begin and end."""

LOOK_S = 0.5
"""How often progress is looked at: each look wakes a thread that the models could use."""


class ConcurrentService(Service):
    """A loaded model that makes predictions beside each other. What each prints and records is done in its caller's own context."""

    def __init__(self, bark: Bark, n_slots: int = N_SLOTS) -> None:
        super().__init__(bark)
        self._host = Host(bark.runtime, n_slots)
        self._given: list[tuple[float, Path]] = []

    async def speak_beside(self, record: Record, **inputs: Any) -> Path:
        """Make one prediction beside others; return its file. Cancelling this stops it alone. Raises: as `speak`."""
        self._drop_old()
        # What may take long, a download for one, is done in threads of the loop's, which have this prediction's context.
        session, output = await asyncio.to_thread(self._open, inputs)
        with print_unforeseen():
            with ProgressBar() as progress:
                await self._speak(session, progress)
            generation = self.bark.present(session.assemblies[0], session)
            report(generation, record)
            path = self._name_file(output)
            try:
                return await asyncio.to_thread(generation.save, path, output)
            finally:
                self._outputs.remove(path)
                self._given.append((time.monotonic(), path))  # from now on it is Cog that needs it

    async def _speak(self, session: Session, progress: ProgressBar) -> None:
        news, loop = asyncio.Event(), asyncio.get_running_loop()
        ticket = self._host.submit(session, lambda _: loop.call_soon_threadsafe(news.set))
        try:
            while not ticket.is_done:
                with suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), LOOK_S)
                news.clear()
                ticket.pieces.clear()  # the session has the whole: long speech is not held twice
                for event in list(ticket.progress.values()):
                    progress(*event)
        finally:
            if not ticket.is_done:
                self._host.cancel(ticket)
        if ticket.error is not None:
            raise ticket.error

    def _open(self, inputs: Mapping[str, Any]) -> tuple[Session, OutputOptions]:
        with self._prepare(inputs) as (text, options, output):
            return self.bark.open_session(text, **options), output

    def _drop_outputs(self) -> None:
        """Keep what others are still to send."""

    def _drop_old(self) -> None:
        now = time.monotonic()
        for given in [each for each in self._given if now - each[0] > KEEP_S]:
            given[1].unlink(missing_ok=True)
            self._given.remove(given)
