"""`info`: how a WAV was made, or what a voice or a model holds, as JSON."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from bark_core.cli.console import Commands, say, show_json
from bark_core.errors import CheckpointError, InvalidInput


def add_parser(commands: Commands) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("info", help="show how a WAV was made, or what a voice or a model holds")
    parser.add_argument("subject", metavar="FILE|MODEL", help="a WAV of ours, an .npz voice, a model's name or its folder")
    parser.add_argument("--check", action="store_true", help="read every weight of a model, its voices and its tokenizer; exit 1 where something is wrong")
    parser.set_defaults(command=show_info)


def show_info(options: argparse.Namespace) -> None:
    """Print, as JSON, how a WAV was made, or what a voice or a model holds."""
    is_voice = options.subject.lower().endswith((".wav", ".npz"))
    if options.check:
        if is_voice:
            raise InvalidInput(f"--check reads models, and {options.subject} is the name of a voice or a WAV, which info reads whole without it.")
        check_model(options.subject)
        return
    if is_voice or Path(options.subject).is_file():
        from bark_core.voices.files import read_info

        info: dict[str, Any] = read_info(options.subject)
    else:
        from bark_core.checkpoint.open import open_checkpoint

        checkpoint = open_checkpoint(options.subject)
        info = {"model": checkpoint.name, "digest": checkpoint.digest, "voices": list(checkpoint.voices), "config": checkpoint.config.to_dict()}
    show_json(info, indent=2)


def check_model(name: str) -> None:
    """Read a model whole and print, as JSON, what was read and what is wrong. Raises: CheckpointError where something is."""
    from bark_core.checkpoint.check import check_checkpoint
    from bark_core.checkpoint.open import open_checkpoint

    checkpoint = open_checkpoint(name, say)
    found = check_checkpoint(checkpoint, say)
    show_json({"model": checkpoint.name, **dataclasses.asdict(found)}, indent=2)
    if found.problems:
        more = f" and {len(found.problems) - 1} more" if len(found.problems) > 1 else ""
        raise CheckpointError(f"{checkpoint.name} cannot be relied on: {found.problems[0].rstrip('.')}{more}.")
