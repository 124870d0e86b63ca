"""The command line: one command a file; here they are put together, and errors become one line and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from bark_core import __version__
from bark_core.cli import fetch, gateway, info, script, speak, voices
from bark_core.cli.console import say
from bark_core.errors import BarkError

OK, FAILED, INTERRUPTED, PIPE_CLOSED = 0, 1, 130, 141
"""Exit codes, as shells know them; argparse adds 2 for wrong arguments."""


def run() -> None:
    """Run the command line and exit with its code."""
    sys.exit(main())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. Errors are one line on standard error: `bark: …`."""
    options = build_parser().parse_args(arguments)
    warnings.showwarning = _show_warning
    try:
        options.command(options)
        sys.stdout.flush()
    except BarkError as error:
        return _fail(str(error))
    except BrokenPipeError:
        # Whoever read our output has gone, which is theirs to decide. Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except OSError as error:
        return _fail(f"{error.filename or 'a file'}: {error.strerror or error}")
    except KeyboardInterrupt:
        return INTERRUPTED
    return OK


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(prog="bark", description="Text to speech, music and sound effects.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (speak, script, voices, fetch, info, gateway):
        command.add_parser(commands)
    return parser


def _fail(message: str) -> int:
    say(message)
    return FAILED


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    say(f"warning: {message}")
