"""`fetch`: a model downloaded, verified and converted."""

from __future__ import annotations

import argparse
from pathlib import Path

from bark_core.cli.console import Commands, say, show


def add_parser(commands: Commands) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("fetch", help="download a model, verify it and convert it")
    parser.add_argument("name", metavar="NAME", help="large or small")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="where it goes (default: weights/NAME)")
    parser.add_argument("--half", action="store_true", help="keep it in 16 bits: half the disk, and no longer the original's exact tokens")
    parser.set_defaults(command=fetch_model)


def fetch_model(options: argparse.Namespace) -> None:
    """Download, verify and convert a model; print the folder it is in."""
    from bark_core.checkpoint.open import fetch_checkpoint

    show(str(fetch_checkpoint(options.name, to=options.to, half=options.half, on_message=say)))
