"""Where the recipe keeps its work, and how every step is called: one command line, one folder, one seed.

The folder is `$BARK_TRAINING_DIR`, or `training/work` beside this file; git ignores it. Nothing here knows what a step does.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

SEED = 20_240_601
VOICES = ("rms", "slt")
"""The teachers' names in flite; voice i becomes the preset demo_speaker_i."""

ROOT = Path(__file__).resolve().parent
REPOSITORY = ROOT.parent
DEMO = REPOSITORY / "weights" / "demo"
SMOKE_DATA = REPOSITORY / "tests" / "data" / "training"


@dataclass(frozen=True)
class Workspace:
    """The folder of one run of the recipe; `smoke` says that it is a rehearsal on a few recordings."""

    folder: Path
    smoke: bool = False

    def path(self, *parts: str) -> Path:
        """Return a path in the folder, its parent made."""
        path = self.folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def need(self, *parts: str, step: str) -> Path:
        """Return a path that an earlier step has made. Raises: SystemExit, naming that step, if it has not."""
        path = self.folder.joinpath(*parts)
        if not path.exists():
            raise SystemExit(f"{path} is missing; run `python -m training.{step}{' --smoke' if self.smoke else ''}` first.")
        return path


def argument_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with what every step takes: `--smoke` and `--work`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--smoke", action="store_true", help="rehearse on the few recordings of tests/data, in seconds")
    parser.add_argument("--work", type=Path, default=None, help="the work folder (default: $BARK_TRAINING_DIR or training/work)")
    return parser


def open_workspace(arguments: argparse.Namespace) -> Workspace:
    """Return the workspace that the command line asks for; a smoke run keeps apart from a real one."""
    folder = arguments.work or Path(os.environ.get("BARK_TRAINING_DIR", ROOT / "work"))
    return Workspace(folder / "smoke" if arguments.smoke else folder, arguments.smoke)
