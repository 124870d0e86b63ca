"""`gateway`: the OpenAI speech API and the page, in front of Cog servers."""

from __future__ import annotations

import argparse
import contextlib

from bark_core.cli.console import Commands, add_model, say
from bark_core.errors import BarkError


def add_parser(commands: Commands) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("gateway", help="serve the OpenAI speech API and a page, in front of Cog servers")
    parser.set_defaults(command=run_gateway)
    add_model(parser)
    parser.add_argument("--backend", action="append", default=[], metavar="URL", help="a Cog server; may be given several times (default: one is started here)")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="the port; 0 takes a free one (default: %(default)s)")


def run_gateway(options: argparse.Namespace) -> None:
    """Serve until interrupted."""
    try:
        from bark_core.gateway.serve import serve
    except ModuleNotFoundError as error:
        raise BarkError(f"The gateway needs the package {error.name}; install bark-core[gateway].") from error
    from bark_core.gateway.local import start_cog
    from bark_core.gateway.settings import Settings

    with contextlib.ExitStack() as stack:
        backends = tuple(url.rstrip("/") for url in options.backend)
        if not backends:
            say(f"starting a Cog server with the model {options.model} …")
            backends = (stack.enter_context(start_cog(options.model)),)
        serve(Settings(backends, options.host, options.port))
