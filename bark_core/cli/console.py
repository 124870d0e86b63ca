"""What all commands share: messages on standard error, progress, and the model's option. Speech and lists go to files or a pipe."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Commands = object
"""Where commands add themselves."""


def add_model(parser: argparse.ArgumentParser) -> None:
    """Let a command say which model it means."""
    parser.add_argument("--model", default="demo", metavar="NAME", help="large, small, demo or a checkpoint's folder (default: %(default)s)")


def show_progress() -> contextlib.AbstractContextManager[Callable[[str, int, int], None] | None]:
    """Return a progress bar where standard error is a terminal, else nothing."""
    if not sys.stderr.isatty():
        return contextlib.nullcontext()
    from bark_core.speech.progress import ProgressBar

    return ProgressBar()


def say(message: str) -> None:
    """Print one line on standard error."""
    print(f"bark: {message}", file=sys.stderr, flush=True)
