"""`info`: how a WAV was made, or what a voice or a model holds, as JSON."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bark_core.cli.console import Commands, show_json


def add_parser(commands: Commands) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("info", help="show how a WAV was made, or what a voice or a model holds")
    parser.add_argument("subject", metavar="FILE|MODEL", help="a WAV of ours, an .npz voice, a model's name or its folder")
    parser.set_defaults(command=show_info)


def show_info(options: argparse.Namespace) -> None:
    """Print, as JSON, how a WAV was made, or what a voice or a model holds."""
    if Path(options.subject).is_file() or options.subject.lower().endswith((".wav", ".npz")):
        from bark_core.voices.files import read_info

        info: dict[str, Any] = read_info(options.subject)
    else:
        from bark_core.checkpoint.open import open_checkpoint

        checkpoint = open_checkpoint(options.subject)
        info = {"model": checkpoint.name, "digest": checkpoint.digest, "voices": list(checkpoint.voices), "config": checkpoint.config.to_dict()}
    show_json(info, indent=2)
