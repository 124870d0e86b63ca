"""The command line: one command a file; here they are put together, and errors become one line and an exit code."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from types import FrameType
from typing import Any

from bark_core import __version__
from bark_core.cli import batch, doctor, fetch, gateway, info, script, speak, voices
from bark_core.cli.console import drop_output, flush, open_streams, say
from bark_core.errors import BarkError

OK, FAILED, INTERRUPTED, PIPE_CLOSED = 0, 1, 130, 141
"""Exit codes, as shells know them; argparse adds 2 for wrong arguments."""


def run() -> None:
    """Run the command line and exit with its code."""
    sys.exit(main())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. Errors are one line on standard error: `bark: …`."""
    open_streams()
    interrupts = watch_interrupts()
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        options = build_parser().parse_args(given)
    except SystemExit as ended:
        if ended.code and (dashed := speak.find_dashed(given)) is not None:
            say(f"a text that begins with - is taken for an option; put -- before it: bark speak -- {shlex.quote(dashed)}")
        raise
    warnings.showwarning = _show_warning
    try:
        options.command(options)
        flush()
    except BarkError as error:
        return _fail(str(error))
    except BrokenPipeError:
        drop_output()  # whoever read it has gone, which is theirs to decide
        return PIPE_CLOSED
    except OSError as error:
        return _fail(f"{error.filename or 'a file'}: {error.strerror or error}")
    except BaseException as error:
        if not interrupts and not isinstance(error, KeyboardInterrupt):
            raise
        return INTERRUPTED
    return OK


def watch_interrupts() -> Sequence[int]:
    """Return a list that grows with every Ctrl-C from here on.

    A package that is being imported when one comes may make another error of it, or a part of itself that is not there.
    """
    interrupts: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        interrupts.append(number)
        signal.default_int_handler(number, frame)

    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    return interrupts


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(prog="bark", description="Text to speech, music and sound effects.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (speak, batch, script, voices, fetch, info, gateway, doctor):
        command.add_parser(commands)
    return parser


def _fail(message: str) -> int:
    say(message)
    return FAILED


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    say(f"warning: {message}")
