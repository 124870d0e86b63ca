"""A predictor for tests of what is in front of it, served by the real Cog server: quick, and as slow or broken as its text says.

`wait S` takes S seconds; `fail` raises; `crash` ends the process.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from pathlib import Path as LocalPath

sys.path.insert(0, str(LocalPath(__file__).resolve().parent))

from cog import BasePredictor, Path
from sound import make_samples, make_wav  # pyright: ignore[reportMissingImports]


class Predictor(BasePredictor):
    """Noise of a seed."""

    def setup(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Say which voices there are, as the real one does."""
        self.folder = LocalPath(tempfile.mkdtemp())
        print("Loaded noise; its voices: grey, v2/en_speaker_4.")
        time.sleep(0.3)  # the server's record of the setup may miss what is printed just before its end

    def predict(self, prompt: str, history_prompt: str | None = None, seed: int = 0, text_temp: float = 0.7) -> Path:
        """Take as long as the text says, then give the seed's noise."""
        print(f"{history_prompt} {text_temp}")
        if prompt == "fail":
            raise ValueError("The text cannot be spoken; give another.")
        if prompt == "break":
            raise RuntimeError("something burned out")
        if prompt == "crash":
            os._exit(3)
        wait_s = float(found[1]) if (found := re.search(r"wait ([\d.]+)", prompt)) else 0.0
        end = time.monotonic() + wait_s
        while time.monotonic() < end:
            time.sleep(0.01)
        path = self.folder / f"{seed}-{time.monotonic_ns()}.wav"
        path.write_bytes(make_wav(make_samples(seed)))
        self.record_metric("semantic_tokens", 12)
        return Path(path)
