"""What tests share: where things are. A test that needs files from outside the repository skips, saying so, where they are not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# One thread each for the tests and the servers they start: models of the tests' size gain nothing from more, sums come out
# alike on every machine, and threads that wait for one another on a busy machine take many times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def demo_folder() -> Path:
    """The checkpoint that comes with the repository."""
    return ROOT / "weights" / "demo"


@pytest.fixture(scope="session")
def real_voices() -> Path:
    """A few of Suno's presets, which are not part of the repository: a folder beside it."""
    folder = ROOT.parent / "shared" / "voices"
    if not folder.is_dir():
        pytest.skip(f"the presets in {folder} are not here")
    return folder
