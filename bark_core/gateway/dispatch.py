"""Predictions on whichever backend has room: in turn, on the next one where one is lost, and under names that can be cancelled. Knows no HTTP."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from bark_core.gateway.backend import Backend, Done, Relay, tell
from bark_core.gateway.faults import Busy, Fault, Unreachable
from bark_core.gateway.line import Line
from bark_core.gateway.schema import Model

MODEL_KEPT_S = 30.0
MAX_HOMES = 1000
ACCEPTED = 202
"""The status of a prediction that goes on after its answer; any other answer is its end."""

T = TypeVar("T")

_STATES = ("READY", "BUSY", "STARTING", "UNHEALTHY", "SETUP_FAILED", "DEFUNCT")


@dataclass(eq=False)
class _Place:
    """A request of Cog's own interface that waits for its turn."""

    task: asyncio.Task[Any]
    is_cancelled: bool = False
    is_begun: bool = False


class Dispatch:
    """The backends and the line before them. Belongs to one event loop."""

    def __init__(self, backends: Sequence[Backend], line: Line[Backend]) -> None:
        """Stand before `backends`, which are taken to serve one and the same model."""
        self._backends, self._line = backends, line
        self._model: Model | None = None
        self._model_until = 0.0
        self._places: dict[str, _Place] = {}
        self._homes: OrderedDict[str, Backend] = OrderedDict()  # where the predictions of Cog's own interface ran, the latest ones

    async def close(self) -> None:
        """Let go of the backends."""
        await asyncio.gather(*(backend.close() for backend in self._backends))

    async def find_model(self) -> Model:
        """Return what the backends take, as the first that answers says. Raises: Fault 503 where none does."""
        if self._model is None or time.monotonic() > self._model_until:
            self._model = await self._ask_first(lambda backend: backend.read_model())
            self._model_until = time.monotonic() + MODEL_KEPT_S
        return self._model

    async def find_schema(self) -> Any:
        """Return the schema of the first backend that answers. Raises: Fault 503 where none does."""
        return await self._ask_first(lambda backend: backend.read_schema())

    async def find_health(self) -> Mapping[str, Any]:
        """Return the health of the backend that is best off, as Cog says it."""

        async def ask(backend: Backend) -> Mapping[str, Any]:
            try:
                return await backend.read_health()
            except (Unreachable, Fault) as error:
                return {"status": "DEFUNCT", "setup": {"status": "failed", "logs": str(error)}}

        healths = await asyncio.gather(*(ask(backend) for backend in self._backends))
        ranks = {state: rank for rank, state in enumerate(_STATES)}
        return min(healths, key=lambda health: ranks.get(str(health.get("status")), len(_STATES)))

    async def predict(self, inputs: Mapping[str, Any], as_stream: bool) -> AsyncGenerator[bytes | Done, None]:
        """Make one prediction when its turn comes: yield the files that it gives, as they come, then Done. Left early, it is cancelled.

        Raises: Fault.
        """
        id, number = f"gateway-{secrets.token_hex(16)}", self._line.take_number()
        lost: frozenset[Backend] = frozenset()
        while True:
            n_events = 0
            async with self._line.turn(number, lost) as turn:
                try:
                    async with aclosing(turn.backend.predict(id, inputs, as_stream)) as events:
                        async for event in events:
                            n_events += 1
                            yield event
                        return
                except Busy:
                    turn.was_refused = True
                except Unreachable as error:
                    turn.was_lost = True
                    lost = self._lose(lost, turn.backend, error, is_begun=n_events > 0)

    def knows(self, id: str) -> bool:
        """Tell whether a prediction of Cog's own interface of this name waits, runs or ran a while ago."""
        return id in self._places or id in self._homes

    async def relay(self, id: str, body: bytes, headers: Mapping[str, str], answer: Callable[[Relay], Awaitable[None]]) -> None:
        """Hand on a PUT of /predictions/ID when its turn comes, and let `answer` send what comes back. Raises: Fault.

        One that waits or runs already is told of at once.
        """
        if id in self._places:
            return await answer(tell(202, {"id": id, "status": "starting", "logs": ""}))
        if id in self._homes:
            try:
                async with self._homes[id].relay(id, body, headers) as relay:
                    return await answer(relay)
            except Busy:  # it was done, and is to be made once more
                self._homes.pop(id, None)
            except Unreachable as error:
                raise Fault(503, str(error), code="backend_error", retry_after_s=1) from error
        number, lost = self._line.take_number(), frozenset[Backend]()
        current = asyncio.current_task()
        assert current is not None
        place = _Place(current)
        try:
            while True:
                self._places[id] = place
                async with self._line.turn(number, lost) as turn:
                    self._places.pop(id, None)
                    self._remember(id, turn.backend)
                    try:
                        async with turn.backend.relay(id, body, headers) as relay:
                            place.is_begun = True
                            await answer(relay)
                            if relay.status != ACCEPTED:
                                self._homes.pop(id, None)
                            return None
                    except Busy:
                        self._homes.pop(id, None)
                        turn.was_refused = True
                    except Unreachable as error:
                        self._homes.pop(id, None)
                        turn.was_lost = True
                        lost = self._lose(lost, turn.backend, error, place.is_begun)
        except asyncio.CancelledError:
            if not place.is_cancelled:
                raise
            current.uncancel()
            return await answer(tell(200, {"id": id, "status": "canceled", "logs": ""}))
        finally:
            self._places.pop(id, None)

    async def cancel(self, id: str) -> bool:
        """Cancel a prediction of Cog's own interface, waiting or running. Tell whether there was one of that name."""
        if id in self._places:
            self._places[id].is_cancelled = True
            self._places[id].task.cancel()
            return True
        homes = [self._homes[id]] if id in self._homes else self._backends
        return any(await asyncio.gather(*(backend.cancel(id) for backend in homes)))

    def _lose(self, lost: frozenset[Backend], backend: Backend, error: Unreachable, is_begun: bool) -> frozenset[Backend]:
        """Return the backends that a request need not be sent to again. Raises: Fault where that is all, or its answer has begun."""
        if is_begun:
            raise Fault(502, str(error), code="backend_error") from error
        lost |= {backend}
        if len(lost) == len(self._backends):
            raise Fault(503, str(error), code="backend_unavailable", retry_after_s=5) from error
        return lost

    def _remember(self, id: str, backend: Backend) -> None:
        self._homes[id] = backend
        while len(self._homes) > MAX_HOMES:
            self._homes.popitem(last=False)

    async def _ask_first(self, ask: Callable[[Backend], Awaitable[T]]) -> T:
        reason = "There is no backend."
        for backend in self._backends:
            try:
                return await ask(backend)
            except (Busy, Unreachable) as error:
                reason = str(error) or f"The backend {backend.name} is busy."
        raise Fault(503, reason, code="backend_unavailable", retry_after_s=5)
