"""The routes: which request is answered by what."""

from __future__ import annotations

import asyncio
import contextlib
import mimetypes
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from bark_core.gateway.answer import RelayAnswer, SpeechAnswer
from bark_core.gateway.dispatch import Dispatch
from bark_core.gateway.entry import check_key, check_origin, read_body
from bark_core.gateway.faults import Fault
from bark_core.gateway.hangup import CancelWhenGone
from bark_core.gateway.settings import Settings
from bark_core.gateway.speech import parse_object, read_request, to_inputs

MODEL_ID = "bark"
WORKERS = 4
"""Threads for what would hold up the others: audio in another format, large JSON."""

ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FORWARDED = {"accept", "prefer", "traceparent", "tracestate"}
_SERVED = {".html", ".css", ".js", ".svg", ".png", ".ico", ".json", ".woff2"}
_HEALTHS = {"READY": 200, "BUSY": 200}

Handler = Callable[[Request], Awaitable[Any]]


def build_app(settings: Settings, dispatch: Dispatch) -> ASGIApp:
    """Return the ASGI application."""
    gateway = _Gateway(settings, dispatch)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(WORKERS, "gateway"))
        yield
        await dispatch.close()

    open_routes = [Route("/health", _tell_health), Route("/ready", gateway.tell_ready), *_list_page(settings.page)]
    guarded = [
        ("/v1/audio/speech", gateway.speak, "POST"),
        ("/v1/audio/voices", gateway.list_voices, "GET"),
        ("/v1/audio/models", gateway.list_audio_models, "GET"),
        ("/v1/models", gateway.list_models, "GET"),
        ("/v1/models/{id}", gateway.show_model, "GET"),
        ("/openapi.json", gateway.show_schema, "GET"),
        ("/health-check", gateway.show_health, "GET"),
        ("/predictions", gateway.relay, "POST"),
        ("/predictions/{id}", gateway.relay, "PUT"),
        ("/predictions/{id}/cancel", gateway.cancel, "POST"),
    ]
    cors = Middleware(
        CORSMiddleware, allow_origins=settings.allowed_origins, allow_methods=["*"], allow_headers=["*"], expose_headers=["X-Bark-Seed", "Retry-After"]
    )
    app = Starlette(
        lifespan=lifespan,
        routes=[*open_routes, *(Route(path, gateway.guard(handler), methods=[method]) for path, handler, method in guarded)],
        middleware=[cors] if settings.allowed_origins else [],
        exception_handlers={Fault: _show_fault, HTTPException: _show_http_fault, Exception: _show_failure},
    )
    app.router.redirect_slashes = False
    return CancelWhenGone(app)


class _Gateway:
    """The handlers. Each returns a response; faults are raised."""

    def __init__(self, settings: Settings, dispatch: Dispatch) -> None:
        self._settings, self._dispatch = settings, dispatch

    def guard(self, handler: Handler) -> Handler:
        """Return a handler that looks at who asks first."""

        async def guarded(request: Request) -> Any:
            check_key(request, self._settings)
            check_origin(request, self._settings)
            return await handler(request)

        return guarded

    async def speak(self, request: Request) -> SpeechAnswer:
        """POST /v1/audio/speech."""
        body = await read_body(request, self._settings.max_speech_bytes, self._settings.body_timeout_s)
        asked = read_request(body)
        model = await self._dispatch.find_model()
        inputs = to_inputs(asked, model, self._settings.names)
        as_stream = model.is_streaming and not asked.is_whole
        return SpeechAnswer(self._dispatch, asked, inputs, as_stream, self._settings.speech_timeout_s)

    async def list_voices(self, _: Request) -> Response:
        """GET /v1/audio/voices: not of OpenAI's API, but what its clients ask for."""
        model = await self._dispatch.find_model()
        return JSONResponse({"voices": self._settings.names.describe(model.voices)})

    async def list_audio_models(self, _: Request) -> Response:
        """GET /v1/audio/models."""
        return JSONResponse({"models": [{"id": MODEL_ID, "name": "Bark"}]})

    async def list_models(self, _: Request) -> Response:
        """GET /v1/models."""
        return JSONResponse({"object": "list", "data": [_describe_model(MODEL_ID)]})

    async def show_model(self, request: Request) -> Response:
        """GET /v1/models/ID."""
        if request.path_params["id"] != MODEL_ID:
            raise Fault(404, f"There is no model {request.path_params['id'][:80]!r}; there is {MODEL_ID}, which speaks whatever name is asked for.", "model")
        return JSONResponse(_describe_model(MODEL_ID))

    async def tell_ready(self, _: Request) -> Response:
        """GET /ready: whether a prediction could be made, or wait for one that is being made."""
        state = str((await self._dispatch.find_health()).get("status"))
        if state not in _HEALTHS:
            raise Fault(503, f"No backend can take a prediction; the best one says {state[:40]}.", code="backend_unavailable", retry_after_s=5)
        return JSONResponse({"status": "ready"})

    async def show_schema(self, _: Request) -> Response:
        """GET /openapi.json, the backend's."""
        return JSONResponse(await self._dispatch.find_schema())

    async def show_health(self, _: Request) -> Response:
        """GET /health-check, the backend's."""
        return JSONResponse(await self._dispatch.find_health())

    async def relay(self, request: Request) -> Response | RelayAnswer:
        """POST /predictions and PUT /predictions/ID, the backend's."""
        body = await read_body(request, self._settings.max_prediction_bytes, self._settings.body_timeout_s)
        fields = await asyncio.to_thread(parse_object, body)
        id = request.path_params.get("id") or fields.get("id") or f"gateway-{secrets.token_hex(16)}"
        if not isinstance(id, str) or not ID.fullmatch(id):
            raise Fault(400, "The prediction's id must be 1 to 64 letters, digits, - or _.", "id")
        if not isinstance(fields.get("input", {}), dict) and not self._dispatch.knows(id):
            detail = [{"loc": ["body", "input"], "msg": "must be an object", "type": "value_error"}]
            return JSONResponse({"detail": detail}, 422)
        headers = {name: value for name, value in request.headers.items() if name in _FORWARDED}
        return RelayAnswer(self._dispatch, id, body, headers, self._settings.speech_timeout_s)

    async def cancel(self, request: Request) -> Response:
        """POST /predictions/ID/cancel."""
        if not ID.fullmatch(request.path_params["id"]):
            raise Fault(400, "The prediction's id must be 1 to 64 letters, digits, - or _.", "id")
        if not await self._dispatch.cancel(request.path_params["id"]):
            raise Fault(404, f"There is no prediction {request.path_params['id']} that waits or runs; it may be done already.", "id", "not_found")
        return JSONResponse({})


async def _tell_health(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _list_page(folder: Path) -> list[Route]:
    """Return a route for each file of the page. Nothing else of the disk has one, whatever path is asked for."""

    def serve(path: Path) -> Handler:
        media_type = mimetypes.guess_type(path.name)[0]

        async def send(_: Request) -> Response:
            # Not a FileResponse: that reads in threads of anyio's, as many as there are readers, beside the WORKERS.
            content = await asyncio.to_thread(path.read_bytes)
            return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"})

        return send

    files = sorted(path for path in folder.iterdir() if path.suffix in _SERVED) if folder.is_dir() else []
    return [Route("/" if path.name == "index.html" else f"/{path.name}", serve(path)) for path in files]


def _describe_model(id: str) -> dict[str, Any]:
    return {"id": id, "object": "model", "created": 0, "owned_by": "bark"}


async def _show_fault(_: Request, error: Exception) -> Response:
    assert isinstance(error, Fault)
    return JSONResponse(error.to_body(), error.status, error.to_headers())


async def _show_http_fault(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentences = {
        404: f"There is nothing at {request.url.path[:100]}. Speech is at /v1/audio/speech.",
        405: f"{request.method[:20]} is not what {request.url.path[:100]} takes.",
    }
    fault = Fault(error.status_code, sentences.get(error.status_code, str(error.detail)), code={404: "not_found", 405: "method_not_allowed"}.get(error.status_code))
    return JSONResponse(fault.to_body(), fault.status, {**(error.headers or {})})


async def _show_failure(_: Request, error: Exception) -> Response:
    fault = Fault(500, f"The gateway failed ({type(error).__name__}); its log says why.", code="internal_error")
    return JSONResponse(fault.to_body(), fault.status)
