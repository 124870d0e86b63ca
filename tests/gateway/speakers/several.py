"""The plain predictor, several predictions at a time."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path as LocalPath

sys.path.insert(0, str(LocalPath(__file__).resolve().parent))

from cog import BasePredictor, Path
from sound import make_samples, make_wav  # pyright: ignore[reportMissingImports]


class Predictor(BasePredictor):
    """Noise of a seed, a second after it is asked for."""

    def setup(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Say which voices there are, as the real one does."""
        self.folder = LocalPath(tempfile.mkdtemp())
        print("Loaded noise; its voices: none.")

    async def predict(self, prompt: str, history_prompt: str | None = None, seed: int = 0, text_temp: float = 0.7) -> Path:
        """Wait, while others may be spoken, then give the seed's noise."""
        del prompt, history_prompt, text_temp
        await asyncio.sleep(1)
        path = self.folder / f"{seed}-{time.monotonic_ns()}.wav"
        path.write_bytes(make_wav(make_samples(seed)))
        return Path(path)
