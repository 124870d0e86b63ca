"""A client that goes away ends what was done for it: the task of its request is cancelled. Knows ASGI and nothing else."""

from __future__ import annotations

import asyncio
import json

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bark_core.gateway.faults import Fault


class CancelWhenGone:
    """An ASGI application around another."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application; once it has read the body, watch for the client's end."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_body, is_begun, is_answered = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def receive_body() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                has_body.set()
            return message

        async def send_on(message: Message) -> None:
            is_begun.set()
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                is_answered.set()  # from here on, a client that goes away is none of the task's business
            await send(message)

        task = asyncio.ensure_future(self._app(scope, receive_body, send_on))
        watching = asyncio.create_task(_watch(has_body, receive))
        try:
            await asyncio.wait({task, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done() and not is_answered.is_set():
                task.cancel()
            await asyncio.wait({task})
        except asyncio.CancelledError:  # not the client goes: this server ends
            task.cancel()
            await asyncio.wait({task})
            if not is_begun.is_set():
                await _send_fault(Fault(503, "The gateway is being stopped. Try again in some seconds.", code="stopped", retry_after_s=5), send)
        finally:
            watching.cancel()
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


async def _watch(has_body: asyncio.Event, receive: Receive) -> None:
    await has_body.wait()
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_fault(fault: Fault, send: Send) -> None:
    headers = {"Content-Type": "application/json", **fault.to_headers()}
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": fault.status, "headers": pairs})
    await send({"type": "http.response.body", "body": json.dumps(fault.to_body()).encode(), "more_body": False})
