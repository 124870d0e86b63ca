"""Readers of sound files that share nothing with what wrote them: PyAV's decoders, and ffprobe where it is installed."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from scipy.signal import correlate

from bark_core.audio.samples import resample


def decode(data: bytes, rate_hz: int) -> np.ndarray:
    """Return the samples (N,) of a file by PyAV, at a rate."""
    with av.open(io.BytesIO(data), "r") as container:
        assert len(container.streams) == 1
        resampler = av.AudioResampler(format="flt", layout="mono")
        frames = [each for frame in container.decode(audio=0) for each in resampler.resample(frame)]
        frames += resampler.resample(None)
        audio = np.concatenate([frame.to_ndarray()[0] for frame in frames])
        return resample(audio, frames[0].sample_rate, rate_hz)


def read_tags(data: bytes) -> dict[str, str]:
    """Return the tags of a file by PyAV, names in lower case."""
    with av.open(io.BytesIO(data), "r") as container:
        found = {**container.metadata, **container.streams[0].metadata}
        return {name.lower(): value for name, value in found.items()}


def correlation(audio: np.ndarray, decoded: np.ndarray) -> tuple[float, int]:
    """Return how alike two recordings are (1: but for loudness the same) and by how many samples the second is late."""
    delay = int(np.argmax(correlate(decoded, audio))) - len(audio) + 1
    n = min(len(audio), len(decoded) - delay)
    a, b = audio[max(0, -delay) : n], decoded[max(0, delay) : delay + n]
    return float(np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b))), delay


def probe(path: Path) -> dict[str, Any]:
    """Return what ffprobe says of a file. Skips where ffprobe is not installed."""
    if shutil.which("ffprobe") is None:
        pytest.skip("ffprobe is not installed here (Debian: ffmpeg)")
    command = ["ffprobe", "-v", "error", "-show_format", "-show_streams", "-show_chapters", "-of", "json", path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not done.stderr
    return json.loads(done.stdout)
