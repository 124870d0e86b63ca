"""The server's life: a socket, the line that says where it listens, and an orderly end. Knows no routes."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence

import uvicorn

from bark_core.errors import BarkError
from bark_core.gateway.app import build_app
from bark_core.gateway.backend import Backend
from bark_core.gateway.cog import Cog
from bark_core.gateway.connection import Connection
from bark_core.gateway.dispatch import Dispatch
from bark_core.gateway.line import Line
from bark_core.gateway.replicate import API, Replicate
from bark_core.gateway.settings import Settings

STOP_TIMEOUT_S = 10
"""How long speech that is under way may take when the gateway is to end."""

MAX_CONNECTIONS = 512
REPLICATE_AT_ONCE = 8


def open_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises: BarkError where it cannot be had."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else str(error)
        raise BarkError(f"The gateway cannot listen on {host}:{port}: {reason}. Give another --host or --port.") from error


def serve(server: uvicorn.Server, listener: socket.socket) -> None:
    """Serve until interrupted or terminated. Prints where it listens, on standard output, once it can take a request."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="bark: %(message)s")
    for name in ("uvicorn", "uvicorn.error", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # An answer that breaks off on purpose, so that nobody takes it for the whole: it was told of where it broke off.
    logging.getLogger("uvicorn.error").addFilter(lambda record: "without completing response" not in record.getMessage())
    # What uvicorn does with a signal once it has ended in order: raise it again, which is to end this process in order, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # asyncio ends its tasks in order for a Ctrl-C, and then raises it; only where nobody else handles it.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    asyncio.run(_serve(server, listener))


def build_server(settings: Settings, urls: Sequence[str], replicate: tuple[str, str | None] | None = None, api: str = API) -> uvicorn.Server:
    """Return the server, which has not begun yet. `urls`: Cog servers. `replicate`: a model on Replicate, and the token for it.

    Raises: InvalidInput for what cannot be one.
    """
    backends: list[Backend] = [Cog(url) for url in urls]
    if replicate is not None:
        backends.append(Replicate(*replicate, api))
    line = Line(backends, settings.max_waiting, settings.turn_timeout_s, 1 if replicate is None else REPLICATE_AT_ONCE)
    config = uvicorn.Config(
        build_app(settings, Dispatch(backends, line)),
        http=Connection,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=STOP_TIMEOUT_S,
    )
    return uvicorn.Server(config)


async def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.02)
    if server.started:
        host, port = listener.getsockname()[:2]
        print(f"Listening on http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
    await serving
