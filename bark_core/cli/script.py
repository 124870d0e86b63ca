"""`script`: the utterances that a text would be spoken as, without speaking. Imports what it needs when it runs."""

from __future__ import annotations

import argparse
import dataclasses

from bark_core.cli.console import Commands, add_model, read_pair, read_text, say, show, show_json


def add_parser(commands: Commands) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("script", help="show the utterances that a text would be spoken as")
    parser.set_defaults(command=show_script)
    parser.add_argument("file", metavar="FILE", help="a text file in UTF-8; - reads standard input")
    add_model(parser)
    parser.add_argument("--speaker", action="append", default=[], metavar="NAME=VOICE", help="the voice of lines that begin with NAME: (again for each)")
    parser.add_argument("--language", metavar="LANGUAGE", help="the text's language, as de (default: guessed)")
    parser.add_argument("--first-s", type=float, metavar="S", help="about how long the first utterance should be, as for streaming")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")


def show_script(options: argparse.Namespace) -> None:
    """Print the utterances of a text: number, speaker, seconds (estimated), tokens, the pause after it, and what is spoken."""
    text = read_text(options.file)
    voices = dict(read_pair(pair) for pair in options.speaker)
    from bark_core.checkpoint.open import open_checkpoint
    from bark_core.text.duration import estimate_seconds
    from bark_core.text.script import Limits, parse_script
    from bark_core.text.wordpiece import TextEncoder

    checkpoint = open_checkpoint(options.model)
    encoder = TextEncoder.load(checkpoint.load_tokenizer_file(), checkpoint.config.max_text_tokens)

    def count_tokens(part: str) -> int:
        return len(encoder.tokenize(part))

    utterances = parse_script(
        text,
        voices,
        count_tokens=count_tokens,
        language=options.language,
        presets=checkpoint.voices,
        limits=Limits(whole_tokens=encoder.max_tokens),
        first_s=options.first_s,
    )
    total_s = 0.0
    for number, each in enumerate(utterances, 1):
        seconds, tokens = estimate_seconds(each.text), count_tokens(each.text)
        total_s += each.pause_before_s + seconds + each.pause_after_s
        if options.json:
            fields = {key: value for key, value in dataclasses.asdict(each).items() if key not in ("start_s", "end_s", "seed", "n_takes")}
            show_json({"number": number, **fields, "seconds": round(seconds, 2), "tokens": tokens})
        else:
            shown = " ".join(each.text.split())
            show(f"{number:4} {each.speaker or '-':10} {seconds:5.1f} s {tokens:4} tokens, then {each.pause_after_s:.2f} s  {shown}")
    say(f"{len(utterances)} utterances, about {total_s:.0f} s")
