"""`speak`: a text into a file, or into a pipe as it comes. Imports what it needs when it runs, so that wrong arguments are answered at once."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bark_core.cli.console import Commands, add_model, read_pair, read_seed, read_text, say, show_progress, write_bytes
from bark_core.errors import BarkError, InvalidInput

if TYPE_CHECKING:
    from bark_core.speech.generation import Generation
    from bark_core.speech.output import OutputOptions
    from bark_core.speech.stream import SpeechStream

OUTPUT = "out.wav"
"""The file that is written where none is named."""

SPLITS = {"auto": "auto", "always": True, "never": False}
"""What --split takes, and what the library does."""

_OPTION = re.compile(r"-[ho]?|--[a-z-]+(=.*)?|-[\d.]+", re.DOTALL)
"""What begins with a dash and is an option of some kind, a number or standard input; the rest may have been meant as a text."""


def add_parser(commands: Commands) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("speak", help="speak a text into a WAV file")
    parser.set_defaults(command=speak)
    text = parser.add_mutually_exclusive_group(required=True)
    text.add_argument("text", nargs="?", metavar="TEXT", help="what to say; - reads it from standard input; -- before one that begins with -")
    text.add_argument("--file", metavar="FILE", help="say what is in a text file, in UTF-8")
    parser.add_argument(
        "-o", "--output", metavar="FILE",
        help=f"the file to write: .wav, .flac, .mp3, .ogg, .m4b …; - writes to standard output (default: {OUTPUT})",
    )  # fmt: skip
    add_model(parser)
    parser.add_argument("--voice", metavar="VOICE", help="a preset's name (see `voices`), an .npz voice or a WAV of ours")
    parser.add_argument("--seed", type=read_seed, metavar="N", help="0 to 4294967295: the same seed gives the same speech (default: a random one)")
    add_placement(parser)
    parser.add_argument(
        "--no-speculate", action="store_true",
        help="do not draft fp32's tokens in 8 bits, which makes the same ones faster and takes a quarter more memory for weights",
    )  # fmt: skip
    parser.add_argument("--save-voice", metavar="FILE", help="also keep the speech as an .npz voice for further speech")
    add_sampling(parser.add_argument_group("how it is drawn"))
    add_script(parser.add_argument_group("long texts and dialogue"))
    written = parser.add_argument_group("what is written")
    add_output(written, "what the file's name ends in")
    written.add_argument("--subtitles", metavar="FILE", help="also write what is said when, as .srt or .vtt")
    written.add_argument("--stream", action="store_true", help="write to standard output while it is being spoken, utterance by utterance")


def add_placement(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the model runs, and in which precision."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    parser.add_argument(
        "--precision", default="auto",
        help="auto, fast (the fastest here), fp32 (exact on a CPU), bf16, int8 (CPUs only) or fp16 (GPUs only; default: %(default)s)",
    )  # fmt: skip


def add_sampling(group: argparse._ArgumentGroup) -> None:
    """Add the options that say how tokens are drawn, and how often."""
    group.add_argument("--text-temp", type=float, default=0.7, metavar="T", help="how freely words are spoken; 0 is greedy (default: %(default)s)")
    group.add_argument("--waveform-temp", type=float, default=0.7, metavar="T", help="how freely they sound (default: %(default)s)")
    group.add_argument("--fine-temp", type=float, default=0.5, metavar="T", help="how freely details sound (default: %(default)s)")
    group.add_argument("--min-eos-p", type=float, default=0.2, metavar="P", help="end where the end is at least this likely (default: %(default)s)")
    group.add_argument("--top-k", type=int, metavar="K", help="draw from the K likeliest tokens only")
    group.add_argument("--top-p", type=float, metavar="P", help="draw from the likeliest tokens of probability P together")
    group.add_argument("--max-seconds", type=float, metavar="S", help="the longest speech to make, of each utterance")
    group.add_argument("--takes", type=int, default=1, metavar="N", help="draw each utterance so often, and keep the best (default: %(default)s)")
    group.add_argument("--max-retries", type=int, default=2, metavar="N", help="draw a bad take again, at most so often (default: %(default)s)")
    group.add_argument("--no-retry", action="store_true", help="keep whatever is drawn")
    group.add_argument("--verify", choices=["asr"], help="listen to each take, and draw again what is not understood")


def add_script(group: argparse._ArgumentGroup) -> None:
    """Add the options that say how a text becomes utterances."""
    group.add_argument("--split", choices=list(SPLITS), default="auto", help="whether a text is spoken in several utterances (default: %(default)s)")
    group.add_argument("--speaker", action="append", default=[], metavar="NAME=VOICE", help="the voice of lines that begin with NAME: (again for each)")
    group.add_argument("--language", metavar="LANGUAGE", help="the text's language, as de (default: the voice's, or guessed)")
    group.add_argument("--normalize", choices=["numbers"], help="write numbers out in words before they are spoken")
    for name, what in (("sentence", "sentences"), ("speaker", "speakers"), ("paragraph", "paragraphs")):
        group.add_argument(f"--{name}-pause", type=float, metavar="S", help=f"silence between {what}, in seconds")


def add_output(group: argparse._ArgumentGroup, default: str) -> None:
    """Add the options of the file that is written. `default`: what its format is where none is given."""
    group.add_argument("--format", metavar="FORMAT", help=f"wav, flac, mp3, ogg, aac, m4a, m4b or pcm (default: {default})")
    group.add_argument("--sample-rate", type=int, default=24_000, metavar="HZ", help="8000 to 48000 (default: %(default)s)")
    group.add_argument("--speed", type=float, default=1.0, metavar="X", help="0.5 to 2 times as fast, at the same pitch (default: %(default)s)")
    group.add_argument("--loudness", type=float, metavar="LUFS", help="one loudness for the whole, as -16 (default: as it was spoken)")


def speak(options: argparse.Namespace) -> None:
    """Speak a text into a file, or into a pipe. Progress is shown on a terminal only."""
    text = find_text(options.text, options.file)
    if options.stream and options.output not in (None, "-"):
        raise InvalidInput(f"--stream writes to standard output, and -o names the file {options.output}; leave one of them out.")
    path = None if options.stream or options.output == "-" else options.output or OUTPUT
    if path is None and (sys.stdout is None or sys.stdout.isatty()):
        state = "closed" if sys.stdout is None else "a terminal"
        raise InvalidInput(f"Speech would go to standard output, which is {state} here; redirect it or give a file's name.")
    if options.stream and options.loudness is not None:
        raise InvalidInput("--loudness measures the whole speech, which a stream has not yet; leave one of --loudness and --stream out.")
    from bark_core.audio.files import check_target

    output = read_output(options)
    if path is not None:
        output.find_format(path)
        check_target(path)
    if options.save_voice:
        check_file(options.save_voice, (".npz",))
    if options.subtitles:
        check_file(options.subtitles, (".srt", ".vtt"))
    from bark_core.speech.bark import Bark
    from bark_core.speech.stream import SpeechStream

    asked = read_asked(options)
    bark = Bark.load(options.model, device=options.device, precision=options.precision, on_message=say, speculate=not options.no_speculate)
    with show_progress() as progress:
        begin = bark.stream if options.stream else bark.generate
        begun = begin(text, on_progress=progress, **asked)
        generation = send(begun, output) if isinstance(begun, SpeechStream) else begun
    keep(generation, options, output, path)


def read_asked(options: argparse.Namespace) -> dict[str, Any]:
    """Return what `Bark.generate` takes by name."""
    same = ("voice", "seed", "text_temp", "waveform_temp", "fine_temp", "min_eos_p", "top_k", "top_p", "max_seconds", "max_retries", "verify")
    return {**{name: getattr(options, name) for name in same}, **read_script(options), "n_takes": options.takes, "retry": not options.no_retry}


def read_output(options: argparse.Namespace) -> OutputOptions:
    """Return what the options of `add_output` say."""
    from bark_core.speech.output import OutputOptions

    return OutputOptions(format=options.format, sample_rate_hz=options.sample_rate, speed=options.speed, loudness_lufs=options.loudness)


def read_script(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the options of `add_script` are by the names of SpeechOptions."""
    from bark_core.types import Pauses

    pauses = {f"{name}_s": value for name in ("sentence", "speaker", "paragraph") if (value := getattr(options, f"{name}_pause")) is not None}
    return {
        "split": SPLITS[options.split],
        "voices": dict(read_pair(pair) for pair in options.speaker) or None,
        "pauses": Pauses(**pauses),
        "language": options.language,
        "normalize": options.normalize,
    }


def send(stream: SpeechStream, output: OutputOptions) -> Generation:
    """Write chunks to standard output as they come; a reader that goes away stops the work."""
    from bark_core.audio.formats import StreamEncoder
    from bark_core.audio.samples import Resampler
    from bark_core.audio.speed import change_speed

    with stream:
        encoder = StreamEncoder(output.sample_rate_hz, output.format or "wav")
        resampler = Resampler(stream.sample_rate_hz, output.sample_rate_hz)
        for chunk in stream:
            write_bytes(encoder.add(resampler.add(change_speed(chunk.audio, stream.sample_rate_hz, output.speed))))
        write_bytes(encoder.add(resampler.finish()) + encoder.finish())
    assert stream.generation is not None
    return stream.generation


def keep(generation: Generation, options: argparse.Namespace, output: OutputOptions, path: str | None) -> None:
    """Write the speech to a file, or to standard output for None (a stream is there already), and then what goes with it.

    None of them is lost because another cannot be written: what failed is said, and raised at the end.
    """
    timings = generation.timings
    target = "standard output" if path is None else path

    def write_speech() -> None:
        if path is not None:
            generation.save(path, output)
        elif not options.stream:
            write_bytes(generation.encode(output))
        say(f"{target}: {timings.audio_s:.2f} s of audio in {timings.wall_s:.2f} s ({timings.rtf:.2f} × its length), seed {generation.seed}")

    def write_subtitles() -> None:
        from bark_core.audio.files import write_atomically

        kind = Path(options.subtitles).suffix.lower()[1:]
        write_atomically(options.subtitles, generation.subtitles(kind, output.speed).encode())

    failures: list[BarkError | OSError] = []
    for what, is_asked, write in (
        ("", True, write_speech),
        ("The voice was not saved: ", options.save_voice, lambda: generation.voice.save(options.save_voice)),
        ("The subtitles were not saved: ", options.subtitles, write_subtitles),
    ):
        try:
            if is_asked:
                write()
        except (BarkError, OSError) as error:
            failures.append(InvalidInput(f"{what}{error}") if what else error)
    for failure in failures[:-1]:
        say(str(failure))
    if failures:
        raise failures[-1]


def check_file(path: str, suffixes: tuple[str, ...]) -> None:
    """Raise InvalidInput for a file that cannot be written, before anything slow is done for it."""
    from bark_core.audio.files import check_target

    if Path(path).suffix.lower() not in suffixes:
        raise InvalidInput(f"{path} does not end in {' or '.join(suffixes)}; give a name that does.")
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
