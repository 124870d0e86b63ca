"""What all commands share: the standard streams, whatever they can hold and whether or not they are open, and the model's option.

Messages and progress go to standard error, speech and lists to files or to standard output.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bark_core.errors import BarkError, InvalidInput

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Commands = object
"""Where commands add themselves."""


MODEL = "demo"
"""The model where none is named."""


def add_model(parser: argparse.ArgumentParser, default: str | None = MODEL) -> None:
    """Let a command say which model it means; `default` None tells that it said none."""
    parser.add_argument("--model", default=default, metavar="NAME", help=f"large, small, demo or a checkpoint's folder (default: {MODEL})")


MAX_TEXT_BYTES = 16 * 2**20
"""No text is longer; what goes on for ever must not fill the memory."""


def open_streams() -> None:
    """Make the standard streams safe to use: closed ones lead nowhere, and what an encoding cannot hold is written as an escape.

    The number of a closed stream would go to the next file that is opened, and what others print would be written into it.
    Python has None for a closed stream, and prints what is meant for standard error on standard output then.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 -- for as long as the process
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def show(line: str) -> None:
    """Print a line on standard output. Raises: BarkError where that is closed or full."""
    _write(lambda: print(line))


def show_json(value: Any, indent: int | None = None) -> None:
    """Print a value as JSON, in ASCII where standard output's encoding cannot hold all of it. Raises: as `show`."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=indent)
    show(text)


def write_bytes(data: bytes) -> None:
    """Write bytes to standard output. Raises: as `show`."""
    _write(lambda: sys.stdout.buffer.write(data))
    flush()


def flush() -> None:
    """Write out what standard output holds back. Raises: as `show`, but for a closed one, which holds nothing."""
    if sys.stdout is not None:
        _write(sys.stdout.flush)


def _write(action: Callable[[], object]) -> None:
    if sys.stdout is None:
        raise BarkError("Standard output is closed, so that there is nowhere to write to; leave it open, or redirect it to a file.")
    try:
        action()
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_output()
        raise BarkError(f"Standard output cannot be written: {error.strerror or error}.") from error


def drop_output() -> None:
    """Let what standard output still holds back go nowhere: Python would try to write it, and complain, at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def read_text(name: str) -> str:
    """Return the text of a UTF-8 file, or of standard input for a dash. Raises: InvalidInput where it cannot be read."""
    from bark_core.types import check_path

    what = "Standard input" if name == "-" else name
    if name == "-" and sys.stdin is None:
        raise InvalidInput("Standard input is closed, so that there is no text to read; give the text itself, or a file of it.")
    try:
        with sys.stdin.buffer if name == "-" else open(check_path(name), "rb") as file:
            data = file.read(MAX_TEXT_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"{what} cannot be read: {error.strerror or error}. Give a text file.") from error
    if len(data) > MAX_TEXT_BYTES:
        raise InvalidInput(f"{what} has more than {MAX_TEXT_BYTES} bytes; no text is that long. Split it.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{what} is not UTF-8 text; save it in UTF-8.") from error


def read_pair(pair: str) -> tuple[str, str]:
    """Return the name and the voice of a --speaker NAME=VOICE. Raises: InvalidInput where there are not both."""
    name, sign, voice = pair.partition("=")
    if not (name.strip() and sign and voice.strip()):
        raise InvalidInput(f"--speaker was {pair!r}; give a name and its voice, as ANNA=v2/en_speaker_9.")
    return name.strip(), voice.strip()


def read_seed(text: str) -> int:
    """Return the whole number that an argument says. Raises: argparse.ArgumentTypeError with a seed's range for what is none."""
    from bark_core.types import check_seed

    shown = text[:40]  # of digits without end, Python would speak in words of its own
    with contextlib.suppress(ValueError):
        if text == shown:
            return int(text)
    try:
        return check_seed(shown)
    except InvalidInput as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def show_progress() -> contextlib.AbstractContextManager[Callable[[str, int, int], None] | None]:
    """Return a progress bar where standard error is a terminal, else nothing."""
    if not sys.stderr.isatty():
        return contextlib.nullcontext()
    from bark_core.speech.progress import ProgressBar

    return ProgressBar()


def say(message: str) -> None:
    """Print one line on standard error."""
    print(f"bark: {message}", file=sys.stderr, flush=True)
