"""Answers that take their time: speech as one file, as a file that grows, or as events; and a backend's own answer handed on."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import numpy as np
from starlette.types import Receive, Scope, Send

from bark_core.audio.formats import find_format
from bark_core.gateway.backend import Done, Relay
from bark_core.gateway.dispatch import Dispatch
from bark_core.gateway.faults import Fault
from bark_core.gateway.sound import Sound, SoundStream, read_sound, write_whole
from bark_core.gateway.speech import SpeechRequest

EVENT_BYTES = 24_000
"""How much audio a server-sent event carries where it is all there at once: half a second of pcm."""

SEMANTIC_RATE_HZ = 49.9

log = logging.getLogger("bark_core.gateway")


@dataclass(eq=False)
class SpeechAnswer:
    """What answers a request for speech, as an ASGI application: whatever goes wrong before the first audio is an error with its status."""

    dispatch: Dispatch
    request: SpeechRequest
    inputs: Mapping[str, Any]
    as_stream: bool
    timeout_s: float

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Speak and send."""
        del scope, receive
        begin = time.monotonic()
        predicting = self.dispatch.predict(self.inputs, self.as_stream)
        async with aclosing(_within(predicting, self.timeout_s)) as events:
            seconds = await (self._send_pieces(events, send) if self.as_stream else self._send_whole(events, send))
        if seconds is not None:
            log.info("%.1f s of speech as %s in %.1f s, seed %d", seconds, self.request.format, time.monotonic() - begin, self.request.seed)

    async def _send_whole(self, events: AsyncGenerator[bytes | Done, None], send: Send) -> float:
        files: list[bytes] = []
        done = Done()
        async for event in events:
            if isinstance(event, Done):
                done = event
            else:
                files.append(event)
        sound, data = await asyncio.to_thread(_make_file, files, self.request)
        if not self.request.is_sse:
            await self._begin(send, len(data))
            await send({"type": "http.response.body", "body": data, "more_body": False})
            return sound.seconds
        await self._begin(send)
        for start in range(0, len(data), EVENT_BYTES):
            await self._send_audio(send, data[start : start + EVENT_BYTES])
        await self._end(send, sound.seconds, done)
        return sound.seconds

    async def _send_pieces(self, events: AsyncGenerator[bytes | Done, None], send: Send) -> float | None:
        """Send each piece as it comes; return the seconds of all, or None where they broke off."""
        stream, done, is_begun = SoundStream(self.request), Done(), False
        try:
            async for event in events:
                if isinstance(event, Done):
                    done = event
                    continue
                data = await asyncio.to_thread(lambda piece=event: stream.feed(read_sound(piece)))
                if not is_begun:
                    is_begun = True
                    await self._begin(send)
                await self._send_audio(send, data)
            await self._send_audio(send, await asyncio.to_thread(stream.finish))
        except Fault as fault:
            if not is_begun:
                raise
            # It is too late for a status. An event says why; audio breaks off, so that nobody takes it for the whole.
            log.warning("Broke off after %.1f s: %s", stream.seconds, fault)
            if self.request.is_sse:
                await _send_event(send, {"type": "error", **fault.to_body()})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            return None
        await self._end(send, stream.seconds, done)
        return stream.seconds

    async def _begin(self, send: Send, length: int | None = None) -> None:
        media_type = "text/event-stream; charset=utf-8" if self.request.is_sse else find_format(self.request.format).media_type
        headers = {"content-type": media_type, "cache-control": "no-store"}
        if "seed" in self.inputs:
            headers["x-bark-seed"] = str(self.request.seed)
        if length is not None:
            headers["content-length"] = str(length)
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": pairs})

    async def _send_audio(self, send: Send, data: bytes) -> None:
        if data and self.request.is_sse:
            await _send_event(send, {"type": "speech.audio.delta", "audio": base64.b64encode(data).decode()})
        elif data:
            await send({"type": "http.response.body", "body": data, "more_body": True})

    async def _end(self, send: Send, seconds: float, done: Done) -> None:
        if self.request.is_sse:
            await _send_event(send, {"type": "speech.audio.done", "usage": _count_usage(self.request, seconds, done)})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@dataclass(eq=False)
class RelayAnswer:
    """What answers a request of Cog's own interface, as an ASGI application."""

    dispatch: Dispatch
    id: str
    body: bytes
    headers: Mapping[str, str]
    timeout_s: float

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on and send."""
        del scope, receive

        async def answer(relay: Relay) -> None:
            headers = [(b"content-type", relay.media_type.encode("latin-1"))]
            await send({"type": "http.response.start", "status": relay.status, "headers": headers})
            async for part in relay.body:
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        try:
            async with asyncio.timeout(self.timeout_s):
                await self.dispatch.relay(self.id, self.body, self.headers, answer)
        except TimeoutError as error:
            raise _too_slow(self.timeout_s) from error


async def _send_event(send: Send, event: Mapping[str, Any]) -> None:
    await send({"type": "http.response.body", "body": f"data: {json.dumps(event)}\n\n".encode(), "more_body": True})


async def _within(events: AsyncGenerator[bytes | Done, None], timeout_s: float) -> AsyncGenerator[bytes | Done, None]:
    """Yield what comes before the time is up. Raises: Fault 504."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    async with aclosing(events):
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    event = await anext(events)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                raise _too_slow(timeout_s) from error
            yield event


def _too_slow(timeout_s: float) -> Fault:
    return Fault(504, f"The speech was not there within {timeout_s:.0f} seconds. Send a shorter text, or ask for a longer --timeout.", code="timeout")


def _make_file(files: list[bytes], request: SpeechRequest) -> tuple[Sound, bytes]:
    """Return what was spoken, and the file that was asked for."""
    sounds = [read_sound(file) for file in files]
    sound = sounds[0]
    if len(sounds) > 1:
        if len({each.rate_hz for each in sounds}) > 1:
            raise Fault(502, "The backend sent pieces at different sample rates.", code="backend_error")
        sound = Sound(np.concatenate([each.audio for each in sounds]), sound.rate_hz)
    return sound, write_whole(sound, request)


def _count_usage(request: SpeechRequest, seconds: float, done: Done) -> dict[str, int]:
    """Return what was used: the text's characters, and the semantic tokens that were spoken, as told or by their rate."""
    told = done.metrics.get("semantic_tokens")
    n_out = told if isinstance(told, int) else round(seconds * SEMANTIC_RATE_HZ)
    return {"input_tokens": len(request.text), "output_tokens": n_out, "total_tokens": len(request.text) + n_out}
