"""`batch`: a file of lines into a folder of speech, a file a line, with resume. Imports what it needs when it runs."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from bark_core.cli.console import Commands, add_model, read_seed, say, show
from bark_core.cli.speak import add_output, add_placement, add_sampling, add_script, read_asked, read_output
from bark_core.errors import BarkError, InvalidInput

if TYPE_CHECKING:
    from bark_core.batch.report import Progress
    from bark_core.batch.speaking import Speakers

SHOWN_EVERY_S = 10.0
"""How often progress is told where standard error is no terminal."""


def add_parser(commands: Commands) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("batch", help="speak a file of lines into a folder, a file a line; started again, it does what is left")
    parser.set_defaults(command=speak_lines)
    parser.add_argument("file", metavar="FILE", help="lines.txt (a text a line), script.jsonl (an object a line) or table.csv (a row a line)")
    parser.add_argument("--out", required=True, metavar="DIR", help="the folder to speak into; what is there already and unchanged stays")
    parser.add_argument("--dry-run", action="store_true", help="say how much speech it is and how long it takes, and write nothing")
    add_model(parser)
    parser.add_argument("--voice", metavar="VOICE", help="the voice of lines that name none: a preset's name, an .npz voice or a WAV of ours")
    parser.add_argument("--seed", type=read_seed, metavar="N", help="gives each line a seed of its own, made of N and its id (default: random ones)")
    add_placement(parser)
    parser.add_argument("--batch-size", type=int, default=8, metavar="N", help="lines that are drawn together (default: %(default)s)")
    parser.add_argument("--room-timeout", type=float, default=600.0, metavar="S", help="how long to wait where the folder is full (default: %(default)s)")
    ray = parser.add_argument_group("on many machines")
    ray.add_argument("--ray", metavar="auto|ADDRESS", help="speak on a Ray cluster: auto for the one that runs here, or for this machine alone")
    ray.add_argument("--worker-cpus", type=int, metavar="N", help="CPUs of each worker (default: 1 beside a GPU; without GPUs 4, or as many as a node has)")
    ray.add_argument("--ray-timeout", type=float, default=300.0, metavar="S", help="how long to wait for a node that has room (default: %(default)s)")
    add_sampling(parser.add_argument_group("how lines are drawn that do not say otherwise"))
    add_script(parser.add_argument_group("long texts and dialogue"))
    add_output(parser.add_argument_group("what is written"), "wav")


def speak_lines(options: argparse.Namespace) -> None:
    """Speak what is left of a file, or say how much that is. Raises: BarkError, too, where a line failed: exit code 1 says that."""
    if options.batch_size < 1:
        raise InvalidInput(f"--batch-size was {options.batch_size}; it must be a whole number from 1 up.")
    from bark_core.batch.entries import Defaults
    from bark_core.batch.forecast import forecast
    from bark_core.batch.run import count_lines, speak_file

    for name in ("room_timeout", "ray_timeout"):
        if not getattr(options, name) >= 0:
            raise InvalidInput(f"--{name.replace('_', '-')} was {getattr(options, name):g}; it must be a number of seconds from 0 on.")
    output = read_output(options)
    output.find_format(f"speech.{options.format or 'wav'}")
    asked = read_asked(options)
    defaults = Defaults(asked.pop("voice"), asked.pop("seed"), asked, output)
    count_lines(options.file)  # before a model is looked for
    with ExitStack() as stack:
        speakers = open_speakers(options, stack)
        if options.dry_run:
            show(str(forecast(options.file, options.out, speakers, defaults, options.precision, say)))
            return
        teller = Teller()
        progress = speak_file(
            *(options.file, options.out, speakers, defaults, options.batch_size, options.precision, teller.say, teller),
            room_timeout_s=options.room_timeout,
        )
    say(f"{progress}; report in {options.out}/report.json")
    if progress.n_failed:
        raise BarkError(f"{progress.n_failed} of {progress.n_lines} lines failed; mend them and start again: only they are spoken then.")


def open_speakers(options: argparse.Namespace, stack: ExitStack) -> Speakers:
    """Return who speaks: a model here, or workers on a Ray cluster, which are gone when the stack is closed."""
    if options.ray is not None:
        from bark_core.batch.cluster import RaySpeakers

        return stack.enter_context(
            RaySpeakers(
                *(options.ray, options.model, options.device, options.precision, options.batch_size, say),
                worker_cpus=options.worker_cpus,
                timeout_s=options.ray_timeout,
            )
        )
    from bark_core.batch.speaking import LocalSpeaker

    return LocalSpeaker(options.model, options.device, options.precision, options.batch_size, say)


class Teller:
    """Tells progress on standard error: on one line of a terminal, elsewhere a line every now and then."""

    def __init__(self) -> None:
        self._on_terminal = sys.stderr.isatty()
        self._next = time.monotonic() + (0.0 if self._on_terminal else SHOWN_EVERY_S)

    def say(self, message: str) -> None:
        """Print a line of its own."""
        if self._on_terminal:
            sys.stderr.write("\r\x1b[K")
        say(message)

    def __call__(self, progress: Progress) -> None:
        """Show how far a run is."""
        is_end = progress.n_done >= progress.n_lines
        if self._on_terminal:
            sys.stderr.write(f"\r\x1b[K{progress}" + ("\r\x1b[K" if is_end else ""))
            sys.stderr.flush()
        elif not is_end and time.monotonic() >= self._next:
            self._next = time.monotonic() + SHOWN_EVERY_S
            say(str(progress))
