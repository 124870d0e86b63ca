"""What tests share: where things are. A test that needs files from outside the repository skips, saying so, where they are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

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
