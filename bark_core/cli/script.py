"""`script`: the utterances that `speak` would speak a text as, without speaking. Imports what it needs when it runs."""

from __future__ import annotations

import argparse

from bark_core.cli.console import Commands, add_model, read_text, say, show, show_json
from bark_core.cli.speak import add_script, read_script

FIELDS = ("text", "speaker", "voice", "pause_before_s", "pause_after_s", "line", "paragraph", "heading")
"""What is known of an utterance before it is spoken."""


def add_parser(commands: Commands) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("script", help="show the utterances that a text would be spoken as")
    parser.set_defaults(command=show_script)
    parser.add_argument("file", metavar="FILE", help="a text file in UTF-8; - reads standard input")
    add_model(parser)
    parser.add_argument("--voice", metavar="VOICE", help="the voice of what has none of its own; a preset tells the language, too")
    add_script(parser.add_argument_group("long texts and dialogue"))
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")


def show_script(options: argparse.Namespace) -> None:
    """Print the utterances of a text: number, speaker, seconds (estimated), tokens, the pause after it, and what is spoken."""
    text, asked = read_text(options.file), read_script(options)
    from bark_core.checkpoint.open import open_checkpoint
    from bark_core.speech.options import SpeechOptions
    from bark_core.speech.plan import plan_text
    from bark_core.text.duration import estimate_seconds
    from bark_core.text.wordpiece import TextEncoder

    speech = SpeechOptions(**asked)
    checkpoint = open_checkpoint(options.model)
    encoder = TextEncoder.load(checkpoint.load_tokenizer_file(), checkpoint.config.max_text_tokens)
    utterances = plan_text(text, options.voice, 0, speech, encoder, checkpoint.config, checkpoint.voices).utterances
    total_s = 0.0
    for number, each in enumerate(utterances, 1):
        seconds, n_tokens = estimate_seconds(each.text), len(encoder.tokenize(each.text))
        total_s += each.pause_before_s + seconds + each.pause_after_s
        if options.json:
            fields = {name: getattr(each, name) for name in FIELDS}
            show_json({"number": number, **fields, "seconds": round(seconds, 2), "tokens": n_tokens})
        else:
            before = f"after {each.pause_before_s:.2f} s  " if each.pause_before_s else ""
            shown = " ".join(each.text.split())
            show(f"{number:4} {each.speaker or '-':10} {seconds:5.1f} s {n_tokens:4} tokens, then {each.pause_after_s:.2f} s  {before}{shown}")
    say(f"{len(utterances)} utterance{'s' * (len(utterances) != 1)}, about {total_s:.0f} s with the pauses")
