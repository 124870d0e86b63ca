"""`gateway`: the OpenAI speech API and the page, in front of Cog servers or a model on Replicate."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from bark_core.cli.console import MODEL, Commands, add_model, say
from bark_core.errors import BarkError, InvalidInput

MAX_PORT = 65_535


def add_parser(commands: Commands) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("gateway", help="serve the OpenAI speech API and a page, in front of Cog servers")
    parser.set_defaults(command=run_gateway)
    add_model(parser, default=None)
    parser.add_argument(
        "--backend", action="append", default=[], metavar="URL", help="a Cog server; may be given several times (default: one is started here)"
    )
    parser.add_argument("--replicate", metavar="OWNER/NAME", help="a model on Replicate instead; the token is taken from REPLICATE_API_TOKEN")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="the port; 0 takes a free one (default: %(default)s)")
    parser.add_argument("--api-key", metavar="KEY", help="ask clients for this bearer token (default: BARK_API_KEY, else none is asked for)")
    parser.add_argument(
        "--allow-origin", action="append", default=[], metavar="ORIGIN", help="let pages from this origin use the gateway; null: those opened as files; *: all"
    )
    parser.add_argument("--voices", type=Path, metavar="FILE", help='a TOML file of lines  alloy = "v2/en_speaker_6": what names of voices stand for')
    parser.add_argument("--max-waiting", type=int, default=64, metavar="N", help="requests that may wait for their turn (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=3600.0, metavar="S", help="the longest that one request may take (default: %(default)s)")


def run_gateway(options: argparse.Namespace) -> None:
    """Serve until interrupted."""
    try:
        from bark_core.gateway.serve import build_server, open_socket, serve
    except ModuleNotFoundError as error:
        raise BarkError(f"The gateway needs the package {error.name}; pip install 'bark-core[gateway]'.") from error
    from bark_core.gateway.local import start_cog
    from bark_core.gateway.names import read_names
    from bark_core.gateway.settings import Settings

    _check(options)
    settings = Settings(
        host=options.host,
        port=options.port,
        api_key=_find_key(options.api_key),
        allowed_origins=tuple(options.allow_origin),
        names=read_names(options.voices),
        max_waiting=options.max_waiting,
        turn_timeout_s=options.timeout,
        speech_timeout_s=options.timeout,
    )
    replicate = (options.replicate, os.environ.pop("REPLICATE_API_TOKEN", None)) if options.replicate else None
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(open_socket(settings.host, settings.port))
        urls = tuple(options.backend)
        if not urls and replicate is None:
            model = options.model or MODEL
            say(f"starting a Cog server with the model {model} …")
            urls = (stack.enter_context(start_cog(model)),)
        serve(build_server(settings, urls, replicate), listener)


def _check(options: argparse.Namespace) -> None:
    """Raise InvalidInput for options that cannot be used, before anything is started."""
    if options.backend and options.replicate:
        raise InvalidInput("--backend and --replicate were both given; the gateway stands in front of one or the other.")
    for url in options.backend:
        if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", url) or not _has_port(url):
            raise InvalidInput(f"--backend was {url[:100]!r}; it must be the URL of a Cog server, such as http://127.0.0.1:5000.")
    if options.model is not None and (options.backend or options.replicate):
        raise InvalidInput("--model says what a server that is started here loads, and --backend or --replicate says that none is; leave one of them out.")
    for origin in options.allow_origin:
        if origin not in ("*", "null") and not (re.fullmatch(r"[a-z][a-z0-9+.-]*://[^\s/?#@]+", origin) and _has_port(origin)):
            how = "such as https://example.org, null for one opened as a file, or * for all"
            raise InvalidInput(f"--allow-origin was {origin[:100]!r}; it must be a page's scheme, host and port, {how}.")
    if not 0 <= options.port <= MAX_PORT:
        raise InvalidInput(f"--port was {options.port}; it must be from 0, which takes a free one, to {MAX_PORT}.")
    if options.max_waiting < 1:
        raise InvalidInput(f"--max-waiting was {options.max_waiting}; it must be at least 1.")
    if not options.timeout > 0:
        raise InvalidInput(f"--timeout was {options.timeout:g}; it must be a number of seconds above 0.")


def _has_port(url: str) -> bool:
    """Tell whether a URL's port, where it has one, can be one."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def _find_key(given: str | None) -> str | None:
    """Return the key that clients must send. It is taken out of the environment: no process that is started needs it."""
    key = os.environ.pop("BARK_API_KEY", None) if given is None else given
    if key is None:
        return None
    if not re.fullmatch(r"[!-~]+", key):
        raise InvalidInput("The gateway's key (--api-key or BARK_API_KEY) is empty, or has spaces or characters outside ASCII, which headers cannot carry.")
    return key
