"""The server's life: a socket, the line that says where it listens, and an orderly end. Knows no routes."""

from __future__ import annotations

import asyncio
import socket

import uvicorn

from bark_core.errors import BarkError
from bark_core.gateway.app import build_app
from bark_core.gateway.settings import Settings


def serve(settings: Settings) -> None:
    """Serve until interrupted. Prints where it listens, on standard output, once it can take a request."""
    try:
        listener = socket.create_server((settings.host, settings.port), family=socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    except OSError as error:
        raise BarkError(f"The gateway cannot listen on {settings.host}:{settings.port}: {error.strerror or error}. Give another --host or --port.") from error
    config = uvicorn.Config(build_app(settings), http="h11", ws="none", log_config=None, access_log=False, server_header=False)
    asyncio.run(_serve(uvicorn.Server(config), listener))


async def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.02)
    if server.started:
        host, port = listener.getsockname()[:2]
        print(f"Listening on http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
    await serving
