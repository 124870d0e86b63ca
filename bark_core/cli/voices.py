"""`voices`: the names of a model's voices."""

from __future__ import annotations

import argparse

from bark_core.cli.console import Commands, add_model, show


def add_parser(commands: Commands) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("voices", help="list the voices of a model")
    add_model(parser)
    parser.set_defaults(command=list_voices)


def list_voices(options: argparse.Namespace) -> None:
    """Print the names of a model's voices, one a line."""
    from bark_core.checkpoint.open import open_checkpoint

    for name in open_checkpoint(options.model).voices:
        show(name)
