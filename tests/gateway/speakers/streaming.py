"""A predictor that gives its noise in three pieces, half a second apart; `fail` raises after the first."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path as LocalPath

sys.path.insert(0, str(LocalPath(__file__).resolve().parent))

import cog
from cog import BasePredictor, Path
from sound import make_samples, make_wav  # pyright: ignore[reportMissingImports]


class Predictor(BasePredictor):
    """Noise of a seed, in pieces."""

    def setup(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Say which voices there are, as the real one does."""
        self.folder = LocalPath(tempfile.mkdtemp())
        print("Loaded noise; its voices: none.")

    @cog.streaming
    def predict(self, prompt: str, history_prompt: str | None = None, seed: int = 0, text_temp: float = 0.7) -> Iterator[Path]:
        """Give a third of the noise at a time."""
        del history_prompt, text_temp
        samples = make_samples(seed)
        for number in range(3):
            if number and prompt == "fail":
                raise ValueError("The rest cannot be spoken.")
            path = self.folder / f"{seed}-{time.monotonic_ns()}.wav"
            path.write_bytes(make_wav(samples[2_000 * number : 2_000 * (number + 1)]))
            yield Path(path)
            time.sleep(0.5)
