"""The command line: speak, voices, fetch, info. Speech goes to files or a pipe, messages to standard error.

Imports what a command needs when it runs, so that --help and wrong arguments answer at once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bark_core import __version__
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
    _add_speak(commands.add_parser("speak", help="speak a text into a WAV file"))
    voices = commands.add_parser("voices", help="list the voices of a model")
    _add_model(voices)
    voices.set_defaults(command=list_voices)
    fetch = commands.add_parser("fetch", help="download a model, verify it and convert it")
    fetch.add_argument("name", metavar="NAME", help="large or small")
    fetch.add_argument("--to", type=Path, metavar="FOLDER", help="where it goes (default: weights/NAME)")
    fetch.add_argument("--half", action="store_true", help="keep it in 16 bits: half the disk, and no longer the original's exact tokens")
    fetch.set_defaults(command=fetch_model)
    info = commands.add_parser("info", help="show how a WAV was made, or what a voice or a model holds")
    info.add_argument("subject", metavar="FILE|MODEL", help="a WAV of ours, an .npz voice, a model's name or its folder")
    info.set_defaults(command=show_info)
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="demo", metavar="NAME", help="large, small, demo or a checkpoint's folder (default: %(default)s)")


def _add_speak(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=speak)
    parser.add_argument("text", metavar="TEXT", help="what to say; - reads it from standard input")
    parser.add_argument("-o", "--output", default="out.wav", metavar="FILE", help="the WAV to write; - writes it to standard output (default: %(default)s)")
    _add_model(parser)
    parser.add_argument("--voice", metavar="VOICE", help="a preset's name (see `voices`), an .npz voice or a WAV of ours")
    parser.add_argument("--seed", type=int, metavar="N", help="0 to 4294967295: the same seed gives the same speech (default: a random one)")
    parser.add_argument("--text-temp", type=float, default=0.7, metavar="T", help="how freely words are spoken; 0 is greedy (default: %(default)s)")
    parser.add_argument("--waveform-temp", type=float, default=0.7, metavar="T", help="how freely they sound (default: %(default)s)")
    parser.add_argument("--fine-temp", type=float, default=0.5, metavar="T", help="how freely details sound (default: %(default)s)")
    parser.add_argument("--min-eos-p", type=float, default=0.2, metavar="P", help="end where the end is at least this likely (default: %(default)s)")
    parser.add_argument("--top-k", type=int, metavar="K", help="draw from the K likeliest tokens only")
    parser.add_argument("--top-p", type=float, metavar="P", help="draw from the likeliest tokens of probability P together")
    parser.add_argument("--max-seconds", type=float, metavar="S", help="the longest speech to make")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    parser.add_argument("--precision", default="auto", help="auto, fp32 (exact on a CPU), bf16, int8 (CPUs only) or fp16 (GPUs only; default: %(default)s)")
    parser.add_argument("--save-voice", metavar="FILE", help="also keep the speech as an .npz voice for further speech")


def speak(options: argparse.Namespace) -> None:
    """Speak a text into a WAV file. Progress is shown on a terminal only."""
    from bark_core.errors import InvalidInput

    text = _read_stdin() if options.text == "-" else options.text
    to_pipe = options.output == "-"
    if to_pipe and sys.stdout.isatty():
        raise InvalidInput("-o - writes a WAV to standard output, which is a terminal here; redirect it or give a file's name.")
    if not to_pipe:
        _check_target(Path(options.output), ".wav")
    if options.save_voice:
        _check_target(Path(options.save_voice), ".npz")
    from bark_core.pipeline import Bark

    bark = Bark.load(options.model, device=options.device, precision=options.precision, on_message=_say)
    sampling = {
        name: getattr(options, name)
        for name in ("seed", "text_temp", "waveform_temp", "fine_temp", "min_eos_p", "top_k", "top_p", "max_seconds")
    }
    with _progress() as progress:
        generation = bark.generate(text, voice=options.voice, on_progress=progress, **sampling)
    if options.save_voice:
        generation.voice.save(options.save_voice)
    if to_pipe:
        sys.stdout.buffer.write(generation.to_wav())
    else:
        generation.save(options.output)
    timings = generation.timings
    target = "standard output" if to_pipe else options.output
    _say(f"{target}: {timings.audio_s:.2f} s of audio in {timings.wall_s:.2f} s ({timings.rtf:.2f} × its length), seed {generation.seed}")


def list_voices(options: argparse.Namespace) -> None:
    """Print the names of a model's voices, one a line."""
    from bark_core.checkpoint import open_checkpoint

    for name in open_checkpoint(options.model).voices:
        print(name)


def fetch_model(options: argparse.Namespace) -> None:
    """Download, verify and convert a model; print the folder it is in."""
    from bark_core.checkpoint import fetch_checkpoint

    print(fetch_checkpoint(options.name, to=options.to, half=options.half, on_message=_say))


def show_info(options: argparse.Namespace) -> None:
    """Print, as JSON, how a WAV was made, or what a voice or a model holds."""
    if Path(options.subject).is_file() or options.subject.lower().endswith((".wav", ".npz")):
        from bark_core.voices import read_info

        info: dict[str, Any] = read_info(options.subject)
    else:
        from bark_core.checkpoint import open_checkpoint

        checkpoint = open_checkpoint(options.subject)
        info = {"model": checkpoint.name, "digest": checkpoint.digest, "voices": list(checkpoint.voices), "config": checkpoint.config.to_dict()}
    print(json.dumps(info, ensure_ascii=False, indent=2))


def _check_target(path: Path, suffix: str) -> None:
    """Raise InvalidInput for a file that cannot be written, before anything slow is done for it."""
    from bark_core.errors import InvalidInput

    if path.suffix.lower() != suffix:
        raise InvalidInput(f"{path} does not end in {suffix}; give a name that does.")
    if not path.resolve().parent.is_dir():
        raise InvalidInput(f"{path} cannot be written: there is no folder {path.parent}. Make it first.")


def _read_stdin() -> str:
    from bark_core.errors import InvalidInput

    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput("Standard input is not UTF-8 text.") from error


def _progress() -> contextlib.AbstractContextManager[Callable[[str, int, int], None] | None]:
    """Return a progress bar where standard error is a terminal, else nothing."""
    if not sys.stderr.isatty():
        return contextlib.nullcontext()
    from bark_core.progress import ProgressBar

    return ProgressBar()


def _say(message: str) -> None:
    print(f"bark: {message}", file=sys.stderr, flush=True)


def _fail(message: str) -> int:
    _say(message)
    return FAILED


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    _say(f"warning: {message}")
