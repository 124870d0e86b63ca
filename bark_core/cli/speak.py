"""`speak`: a text into a WAV file. Imports what it needs when it runs, so that wrong arguments are answered at once."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bark_core.cli.console import Commands, add_model, read_text, say, show_progress, write_bytes
from bark_core.errors import BarkError, InvalidInput

if TYPE_CHECKING:
    from bark_core.speech.generation import Generation


_OPTION = re.compile(r"-[ho]?|--[a-z-]+(=.*)?|-[\d.]+", re.DOTALL)
"""What begins with a dash and is an option of some kind, a number or standard input; the rest may have been meant as a text."""


def add_parser(commands: Commands) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("speak", help="speak a text into a WAV file")
    parser.set_defaults(command=speak)
    text = parser.add_mutually_exclusive_group(required=True)
    text.add_argument("text", nargs="?", metavar="TEXT", help="what to say; - reads it from standard input; -- before one that begins with -")
    text.add_argument("--file", metavar="FILE", help="say what is in a text file, in UTF-8")
    parser.add_argument("-o", "--output", default="out.wav", metavar="FILE", help="the WAV to write; - writes it to standard output (default: %(default)s)")
    add_model(parser)
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
    text = find_text(options.text, options.file)
    to_pipe = options.output == "-"
    if to_pipe and (sys.stdout is None or sys.stdout.isatty()):
        state = "closed" if sys.stdout is None else "a terminal"
        raise InvalidInput(f"-o - writes a WAV to standard output, which is {state} here; redirect it or give a file's name.")
    if not to_pipe:
        check_file(options.output, ".wav")
    if options.save_voice:
        check_file(options.save_voice, ".npz")
    from bark_core.speech.bark import Bark

    bark = Bark.load(options.model, device=options.device, precision=options.precision, on_message=say)
    sampling = {
        name: getattr(options, name)
        for name in ("seed", "text_temp", "waveform_temp", "fine_temp", "min_eos_p", "top_k", "top_p", "max_seconds")
    }
    with show_progress() as progress:
        generation = bark.generate(text, voice=options.voice, on_progress=progress, **sampling)
    keep(generation, None if to_pipe else options.output, options.save_voice)


def keep(generation: Generation, output: str | None, voice: str | None) -> None:
    """Write speech to a file, or to standard output for None, and then its voice: neither is lost because the other cannot be written."""
    failed: BarkError | OSError | None = None
    timings = generation.timings
    try:
        if output is None:
            write_bytes(generation.to_wav())
        else:
            generation.save(output)
        target = "standard output" if output is None else output
        say(f"{target}: {timings.audio_s:.2f} s of audio in {timings.wall_s:.2f} s ({timings.rtf:.2f} × its length), seed {generation.seed}")
    except (BarkError, OSError) as error:
        failed = error
    try:
        if voice:
            generation.voice.save(voice)
    except BarkError as error:
        if failed:
            say(str(failed))
        raise InvalidInput(f"The voice was not saved: {error}") from error
    if failed:
        raise failed


def check_file(path: str, suffix: str) -> None:
    """Raise InvalidInput for a file that cannot be written, before anything slow is done for it."""
    from bark_core.audio.files import check_target

    if Path(path).suffix.lower() != suffix:
        raise InvalidInput(f"{path} does not end in {suffix}; give a name that does.")
    check_target(path)


def find_text(given: str | None, file: str | None) -> str:
    """Return what is to be said: a text as it was given, or what a file holds. Where a text is a file's name, too, say what was taken."""
    if given is None or given == "-":
        return read_text(file or "-")
    if os.path.isfile(given):
        say(f"{given} is a file; its name is spoken. To speak what is in it: --file {shlex.quote(given)}")
    return given


def find_dashed(arguments: Sequence[str]) -> str | None:
    """Return what of a command line that was not understood may be a text that begins with a dash."""
    if arguments[:1] != ["speak"] or "--" in arguments:
        return None
    return next((argument for argument in arguments[1:] if argument[:1] == "-" and not _OPTION.fullmatch(argument)), None)
