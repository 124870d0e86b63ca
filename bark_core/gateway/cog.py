"""A Cog server as a backend: predictions under names of ours, which can be cancelled, and its own interface handed on. Knows no speech."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from bark_core.gateway.backend import (
    CONNECT_TIMEOUT_S,
    MAX_ANSWER_BYTES,
    Done,
    Relay,
    decode_data_url,
    explain_refusal,
    is_stream,
    read_bounded,
    read_json,
    read_outcome,
)
from bark_core.gateway.faults import Busy, Fault, Unreachable
from bark_core.gateway.schema import Model, read_model

QUESTION_TIMEOUT_S = 10.0


class Cog:
    """A Cog server at a URL."""

    def __init__(self, url: str) -> None:
        """Prepare to talk to the server at `url`; nothing is sent yet."""
        self._url = url.rstrip("/")
        self.name = str(httpx.URL(self._url).copy_with(username=None, password=None))
        # A connection each: a prediction takes far longer, and a kept one may have been closed by the other side in the meantime.
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S), limits=httpx.Limits(max_keepalive_connections=0), trust_env=False
        )
        self._cancelling: set[asyncio.Task[bool]] = set()

    async def close(self) -> None:
        """Let cancellations get through, then close."""
        if self._cancelling:
            await asyncio.wait(self._cancelling, timeout=QUESTION_TIMEOUT_S)
        await self._client.aclose()

    async def read_schema(self) -> Any:
        """Return /openapi.json."""
        return await self._ask("/openapi.json")

    async def read_health(self) -> Mapping[str, Any]:
        """Return /health-check."""
        return await self._ask("/health-check")

    async def read_model(self) -> Model:
        """Return what the model takes, and the voices that its setup named."""
        health = await self.read_health()
        if health.get("status") not in ("READY", "BUSY"):
            raise Unreachable(f"The backend {self.name} is not ready: it says {str(health.get('status'))[:40]}.")
        setup = health.get("setup")
        logs = setup.get("logs") if isinstance(setup, dict) else None
        return read_model(await self.read_schema(), logs if isinstance(logs, str) else "")

    async def predict(self, id: str, inputs: Mapping[str, Any], as_stream: bool) -> AsyncGenerator[bytes | Done, None]:
        """Make one prediction; see Backend.predict."""
        headers = {"Accept": "text/event-stream"} if as_stream else {}
        async with self._send(id, {"json": {"id": id, "input": inputs}, "headers": headers}) as response:
            if response.status_code == 422:
                raise explain_refusal(await self._read_json(response), {"prompt": "input", "history_prompt": "voice"})
            if response.status_code != 200:
                raise Fault(502, f"The backend answered with status {response.status_code}. Is it a Cog server?", code="backend_error")
            if not is_stream(response.headers.get("content-type", "")):
                for event in await asyncio.to_thread(_read_files, await self._read_json(response)):
                    yield event
                return
            is_done = False
            try:
                async for event in self._read_stream(response):
                    is_done = isinstance(event, Done)
                    yield event
            finally:
                if not is_done:
                    self._cancel_soon(id)

    async def cancel(self, id: str) -> bool:
        """Cancel a prediction, if it is still there. Tell whether it may have been: false where the server says that it has none of that name."""
        try:
            return (await self._client.post(f"{self._url}/predictions/{id}/cancel", timeout=QUESTION_TIMEOUT_S)).status_code != 404
        except httpx.HTTPError:
            return True

    @asynccontextmanager
    async def relay(self, id: str, body: bytes, headers: Mapping[str, str]) -> AsyncIterator[Relay]:
        """Hand on a PUT of /predictions/ID, and its answer as it comes; left before its end, the prediction is cancelled."""
        is_whole = False

        async def read(response: httpx.Response) -> AsyncIterator[bytes]:
            nonlocal is_whole
            try:
                async for part in response.aiter_bytes():
                    yield part
                is_whole = True
            except httpx.HTTPError as error:
                raise self._explain(error) from error

        async with self._send(id, {"content": body, "headers": {**headers, "Content-Type": "application/json"}}) as response:
            try:
                yield Relay(response.status_code, response.headers.get("content-type", "application/json"), read(response))
            finally:
                if not is_whole:
                    self._cancel_soon(id)

    @asynccontextmanager
    async def _send(self, id: str, what: dict[str, Any]) -> AsyncIterator[httpx.Response]:
        """Send a prediction; give the answer once it begins. Given up before, it is cancelled. Raises: Busy, Unreachable."""
        is_asked = True
        try:
            response = await self._client.send(self._client.build_request("PUT", f"{self._url}/predictions/{id}", **what), stream=True)
            is_asked = False
        except httpx.HTTPError as error:
            is_asked = not isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout))
            raise self._explain(error) from error
        finally:
            if is_asked:
                self._cancel_soon(id)
        try:
            if response.status_code == 409:
                await self._check_alive()
                raise Busy
            self._check_there(response)
            yield response
        finally:
            await response.aclose()

    async def _check_alive(self) -> None:
        """Raise Unreachable where the server's worker has ended: its places stay taken for ever, and it says that it is at capacity."""
        state = str((await self.read_health()).get("status"))
        if state not in ("READY", "BUSY"):
            raise Unreachable(f"The backend {self.name} cannot make predictions any more: it says {state[:40]}. Start it again.")

    async def _read_json(self, response: httpx.Response) -> dict[str, Any]:
        try:
            body = await read_bounded(response)
        except httpx.HTTPError as error:
            raise self._explain(error) from error
        return await asyncio.to_thread(read_json, body)

    async def _read_stream(self, response: httpx.Response) -> AsyncIterator[bytes | Done]:
        """Yield the files of an event stream as they come, then Done."""
        n_files = 0
        try:
            async for kind, data in _read_events(response):
                if kind == "output":
                    n_files += 1
                    chunk = read_json(data).get("chunk")
                    yield await asyncio.to_thread(decode_data_url, chunk if isinstance(chunk, str) else "")
                elif kind == "completed":
                    urls, done = read_outcome(await asyncio.to_thread(read_json, data))
                    for url in urls[n_files:]:  # what a lagging stream has dropped
                        yield decode_data_url(url)
                    yield done
                    return
        except httpx.HTTPError as error:
            raise self._explain(error) from error
        raise Unreachable(f"The backend {self.name} ended its answer before the prediction did.")

    async def _ask(self, path: str) -> dict[str, Any]:
        try:
            async with self._client.stream("GET", self._url + path, timeout=QUESTION_TIMEOUT_S) as response:
                self._check_there(response)
                body = await read_bounded(response)
        except httpx.HTTPError as error:
            raise self._explain(error) from error
        return read_json(body)

    def _check_there(self, response: httpx.Response) -> None:
        """Raise Unreachable for an answer that says that no model is there yet, or, from a proxy before it, that none is any more."""
        if response.status_code == 503:
            raise Unreachable(f"The backend {self.name} is starting, or its setup failed. Try again in some seconds.")
        if response.status_code in (502, 504):
            raise Unreachable(f"The backend {self.name} is not there, says what stands before it (status {response.status_code}). Is it running?")

    def _explain(self, error: httpx.HTTPError) -> Unreachable:
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
            return Unreachable(f"The backend {self.name} does not answer. Is it running?")
        return Unreachable(f"The backend {self.name} broke off while it answered ({type(error).__name__}).")

    def _cancel_soon(self, id: str) -> None:
        task = asyncio.create_task(self.cancel(id))
        self._cancelling.add(task)
        task.add_done_callback(self._cancelling.discard)


def _read_files(answer: Mapping[str, Any]) -> list[bytes | Done]:
    urls, done = read_outcome(answer)
    return [*(decode_data_url(url) for url in urls), done]


async def _read_events(response: httpx.Response) -> AsyncIterator[tuple[str, bytes]]:
    """Yield the name and the data of each server-sent event."""
    buffer, searched = bytearray(), 0
    async for part in response.aiter_bytes():
        buffer += part
        if len(buffer) > MAX_ANSWER_BYTES:
            raise Fault(502, f"The backend sent an event of more than {MAX_ANSWER_BYTES} bytes.", code="backend_error")
        while (end := buffer.find(b"\n\n", max(searched - 1, 0))) >= 0:
            fields = dict(line.split(b":", 1) for line in bytes(buffer[:end]).split(b"\n") if b":" in line)
            del buffer[: end + 2]
            searched = 0
            if b"data" in fields:
                yield fields.get(b"event", b"").strip().decode("utf-8", "replace"), fields[b"data"].strip()
        searched = len(buffer)
