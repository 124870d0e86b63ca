"""A model on Replicate as a backend, by its HTTP API. The token goes to the API alone, and into no message."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx

from bark_core.errors import InvalidInput
from bark_core.gateway.backend import (
    CONNECT_TIMEOUT_S,
    Done,
    Relay,
    decode_data_url,
    end_sentence,
    read_bounded,
    read_json,
    read_outcome,
    tell,
    to_data_url,
)
from bark_core.gateway.faults import Busy, Fault, Unreachable
from bark_core.gateway.schema import Model, read_model

API = "https://api.replicate.com"
QUESTION_TIMEOUT_S = 30.0
POLL_S = (0.25, 2.0)
"""Seconds between looks at a prediction: at first, and at most."""

MAX_LOST_LOOKS = 5

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_TOKEN = re.compile(r"[!-~]+")
_ID = re.compile(r"[A-Za-z0-9]{1,64}")
_RUNNING = {"starting", "processing", "queued"}


class Replicate:
    """A model on Replicate, `owner/name`."""

    def __init__(self, model: str, token: str | None, api: str = API) -> None:
        """Prepare to talk to the API; nothing is sent yet. Raises: InvalidInput for a name or a token that cannot be one."""
        if not _NAME.fullmatch(model):
            raise InvalidInput(f"--replicate was {model[:80]!r}; it must be owner/name.")
        if not token or not _TOKEN.fullmatch(token.strip()):
            raise InvalidInput("--replicate needs a token in the environment variable REPLICATE_API_TOKEN, in one piece and without spaces.")
        self.name = f"replicate.com/{model}"
        self._model = model
        self._client = httpx.AsyncClient(
            base_url=api.rstrip("/"),
            timeout=httpx.Timeout(QUESTION_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            headers={"Authorization": f"Bearer {token.strip()}"},
        )
        # Files lie elsewhere, and whoever has them need not know the token.
        self._files = httpx.AsyncClient(timeout=httpx.Timeout(QUESTION_TIMEOUT_S, connect=CONNECT_TIMEOUT_S), follow_redirects=True)
        self._running: dict[str, tuple[str, str]] = {}  # our name of a prediction → Replicate's, and its logs so far
        self._creating: dict[str, bool] = {}  # predictions that Replicate does not know yet → whether they are cancelled already
        self._tasks: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        """Let cancellations get through, then close."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=QUESTION_TIMEOUT_S)
        await self._client.aclose()
        await self._files.aclose()

    async def read_schema(self) -> Any:
        """Return the schema of the model's latest version."""
        version = await self._read_version()
        return version.get("openapi_schema")

    async def read_health(self) -> Mapping[str, Any]:
        """Return READY, as Cog would, where the model is to be had."""
        await self._read_version()
        return {"status": "READY"}

    async def read_model(self) -> Model:
        """Return what the model takes."""
        return read_model(await self.read_schema())

    async def predict(self, id: str, inputs: Mapping[str, Any], as_stream: bool) -> AsyncGenerator[bytes | Done, None]:
        """Make one prediction; see Backend.predict. It comes whole, once it is there."""
        del as_stream
        theirs = await self._create(id, inputs)
        is_running = True
        try:
            pause_s, most_s = POLL_S
            n_lost = 0
            while True:
                try:
                    answer = await self._ask("GET", f"/v1/predictions/{theirs}")
                    n_lost = 0
                except (Busy, Unreachable) as error:
                    n_lost += 1
                    if n_lost == MAX_LOST_LOOKS:
                        raise Unreachable(f"Replicate does not answer for a prediction any more: {error}") from error
                    answer = {"status": "processing"}
                logs = answer.get("logs")
                self._running[id] = (theirs, logs if isinstance(logs, str) else "")
                if answer.get("status") not in _RUNNING:
                    break
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 1.5, most_s)
            is_running = False
            urls, done = read_outcome(answer)
            for url in urls:
                yield await self._fetch(url)
            yield done
        finally:
            self._running.pop(id, None)
            if is_running:
                self._keep(asyncio.create_task(self._cancel(theirs)))

    async def cancel(self, id: str) -> bool:
        """Cancel a prediction, if it is still there; one that is only being created, as soon as it is. Tell whether it was there."""
        if id in self._running:
            await self._cancel(self._running[id][0])
        elif id in self._creating:
            self._creating[id] = True
        else:
            return False
        return True

    @asynccontextmanager
    async def relay(self, id: str, body: bytes, headers: Mapping[str, str]) -> AsyncIterator[Relay]:
        """Answer a PUT of /predictions/ID as a Cog server would; one that runs already is told of."""
        del headers
        if id in self._running:
            yield tell(202, {"id": id, "status": "processing", "logs": self._running[id][1]})
            return
        inputs = read_json(body).get("input")
        files: list[bytes] = []
        done = Done()
        try:
            async for event in self.predict(id, inputs if isinstance(inputs, dict) else {}, False):
                if isinstance(event, Done):
                    done = event
                else:
                    files.append(event)
        except Fault as fault:
            status = "canceled" if fault.code == "canceled" else "failed"
            yield tell(200, {"id": id, "status": status, "error": fault.message, "logs": ""})
            return
        urls = [to_data_url(file) for file in files]
        output = urls[0] if len(urls) == 1 else urls
        yield tell(200, {"id": id, "status": "succeeded", "output": output, "metrics": done.metrics, "logs": done.logs})

    async def _create(self, id: str, inputs: Mapping[str, Any]) -> str:
        """Begin a prediction; return Replicate's name of it. Given up in the meantime, it is cancelled when it is there."""
        creating = self._keep(asyncio.create_task(self._begin(inputs)))
        self._creating[id] = False
        try:
            theirs = await asyncio.shield(creating)
        except asyncio.CancelledError:
            creating.add_done_callback(self._cancel_created)
            raise
        finally:
            is_cancelled = self._creating.pop(id, False)
        self._running[id] = (theirs, "")
        if is_cancelled:
            await self._cancel(theirs)
        return theirs

    async def _begin(self, inputs: Mapping[str, Any]) -> str:
        answer = await self._ask("POST", f"/v1/models/{self._model}/predictions", {"input": inputs}, may_lack=True)
        if not answer:  # no official model: its versions are run
            version = (await self._read_version()).get("id")
            answer = await self._ask("POST", "/v1/predictions", {"version": version, "input": inputs})
        theirs = answer.get("id")
        if not isinstance(theirs, str) or not _ID.fullmatch(theirs):
            raise Fault(502, "Replicate answered with something that is no prediction.", code="backend_error")
        return theirs

    def _cancel_created(self, creating: asyncio.Task[str]) -> None:
        if not creating.cancelled() and creating.exception() is None:
            self._keep(asyncio.create_task(self._cancel(creating.result())))

    async def _cancel(self, theirs: str) -> None:
        with suppress(httpx.HTTPError):
            await self._client.post(f"/v1/predictions/{theirs}/cancel")

    async def _read_version(self) -> dict[str, Any]:
        version = (await self._ask("GET", f"/v1/models/{self._model}")).get("latest_version")
        if not isinstance(version, dict):
            raise Fault(502, f"{self.name} has no version that could be run.", code="backend_error")
        return version

    async def _ask(self, method: str, path: str, body: Any = None, may_lack: bool = False) -> dict[str, Any]:
        """Return a JSON object; an empty one for 404 where it `may_lack`. Raises: Busy, Unreachable, Fault."""
        try:
            async with self._client.stream(method, path, json=body) as response:
                status, data = response.status_code, await read_bounded(response)
        except httpx.HTTPError as error:
            raise Unreachable(f"Replicate does not answer ({type(error).__name__}). Try again in some seconds.") from error
        if status == 404 and may_lack:
            return {}
        if status == 429:
            raise Busy
        if status >= 500:
            raise Unreachable(f"Replicate answered with status {status}. Try again in some seconds.")
        answer = await asyncio.to_thread(read_json, data)
        if status < 400:
            return answer
        detail = end_sentence(str(answer.get("detail") or answer.get("title") or "it gave no reason")[:500])
        if status == 422:
            raise Fault(400, f"The model refuses the input: {detail}", code="invalid_input")
        reason = "the token in REPLICATE_API_TOKEN" if status == 401 else f"the request for {self.name}"
        raise Fault(502, f"Replicate refuses {reason} (status {status}): {detail}", code="backend_error")

    async def _fetch(self, url: str) -> bytes:
        """Return an output's file."""
        if url.startswith("data:"):
            return decode_data_url(url)
        try:
            async with self._files.stream("GET", url) as response:
                if response.status_code == 200:
                    return await read_bounded(response)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unreachable(f"The output at Replicate cannot be fetched ({type(error).__name__}). Try again.") from error
        raise Fault(502, f"The output at Replicate cannot be fetched: status {response.status_code}.", code="backend_error")

    def _keep(self, task: asyncio.Task[Any]) -> asyncio.Task[Any]:
        """Hold a task until it is done: the loop alone would not."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
