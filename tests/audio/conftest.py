"""Sound that tests of the audio room share, and a full disk."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bark_core.audio.samples import resample

RATE_HZ = 24_000


@pytest.fixture(scope="session")
def recordings(root: Path) -> dict[str, np.ndarray]:
    """Return spoken sentences (N,) at 24 kHz by name, with some silence around each."""
    found: dict[str, np.ndarray] = {}
    for path in sorted((root / "tests" / "data" / "training").glob("*.wav")):
        audio, rate_hz = soundfile.read(path, dtype="float32")
        found[path.stem] = resample(audio, rate_hz, RATE_HZ)
    assert len(found) == 8
    return found


@pytest.fixture(scope="session")
def speech(recordings: dict[str, np.ndarray]) -> np.ndarray:
    """Return some 9 s of speech (N,) at 24 kHz."""
    return np.concatenate(list(recordings.values()))


@contextmanager
def _limit_files(n_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def full_disk() -> Callable[[int], AbstractContextManager[None]]:
    """Return what lets no file grow beyond a number of bytes: the system refuses to write more, as on a full disk."""
    return _limit_files
