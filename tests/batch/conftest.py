"""What the tests of batches share: a checkpoint that speaks in a moment, and runs over files of lines."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bark_core.batch.entries import Defaults
from bark_core.batch.report import Progress
from bark_core.batch.run import speak_file
from bark_core.batch.speaking import LocalSpeaker
from tests.batch.lines import SHORT
from tests.checkpoints import random_states, tiny_config, write_own


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with random weights and two voices, and windows so small that a line takes a twentieth of a second."""
    config = dataclasses.replace(tiny_config("tiny", n_layer=1), fine_window=64, fine_history=32)
    return write_own(tmp_path_factory.mktemp("checkpoints") / "tiny", config, random_states(config))


@pytest.fixture(scope="session")
def speaker(tiny: Path) -> LocalSpeaker:
    """One that is loaded once for all tests."""
    return LocalSpeaker(str(tiny), precision="fp32", n_rows=4)


@pytest.fixture
def said() -> list[str]:
    """What a run said."""
    return []


@pytest.fixture
def speak(speaker: LocalSpeaker, tmp_path: Path, said: list[str]) -> Callable[..., Progress]:
    """Runs a file of lines into the folder `out`, with options of its own as `asked`."""

    def run(source: Path, speakers: Any = None, seed: int | None = 7, voice: str | None = None, folder: str = "out", **given: Any) -> Progress:
        defaults = Defaults(voice, seed, {**SHORT, **given.pop("asked", {})})
        return speak_file(source, tmp_path / folder, speakers or speaker, defaults, 4, "fp32", said.append, **given)

    return run
