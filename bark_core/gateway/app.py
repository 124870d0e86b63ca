"""The routes: which request is answered by what. Skeleton: the page, and the backend's own interface under this origin."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from bark_core.gateway.settings import Settings

FORWARDED = {"content-type", "accept", "prefer"}


def build_app(settings: Settings) -> Starlette:
    """Return the ASGI application."""

    async def page(_: Request) -> Response:
        if not settings.page.is_file():
            return JSONResponse({"error": f"There is no page at {settings.page}."}, 404)
        return FileResponse(settings.page, media_type="text/html; charset=utf-8", headers={"Cache-Control": "no-cache"})

    async def forward(request: Request) -> Response:
        client: httpx.AsyncClient = request.app.state.client
        headers = {name: value for name, value in request.headers.items() if name in FORWARDED}
        answer = await client.request(request.method, settings.backends[0] + request.url.path, headers=headers, content=await request.body())
        return Response(answer.content, answer.status_code, media_type=answer.headers.get("content-type"))

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with httpx.AsyncClient(timeout=settings.speech_timeout_s, trust_env=False) as app.state.client:
            yield

    return Starlette(
        lifespan=lifespan,
        routes=[
            Route("/", page),
            Route("/openapi.json", forward),
            Route("/health-check", forward),
            Route("/predictions", forward, methods=["POST"]),
            Route("/predictions/{id}", forward, methods=["PUT"]),
            Route("/predictions/{id}/cancel", forward, methods=["POST"]),
        ],
    )
