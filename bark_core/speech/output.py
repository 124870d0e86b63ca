"""How a speech becomes a file: its format, sample rate, loudness and speed, checked before anything slow. Knows no models."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bark_core.audio.formats import check_output, format_of_path
from bark_core.audio.loudness import check_loudness, find_fitting_gain, find_gain
from bark_core.audio.samples import convert, resample
from bark_core.audio.speed import change_speed, check_speed
from bark_core.config import SAMPLE_RATE
from bark_core.types import check_path


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """What a file is to be.

    `format`: wav, flac, mp3, ogg (Opus), aac, m4a, m4b or pcm; None: what the path's suffix says. `sample_rate_hz`: 8,000 to
    48,000. `speed`: 0.5 to 2 times as fast, at the same pitch. `loudness_lufs`: one loudness for the whole, -60 to 0; None: as it is.
    """

    format: str | None = None
    sample_rate_hz: int = SAMPLE_RATE
    speed: float = 1.0
    loudness_lufs: float | None = None

    def __post_init__(self) -> None:
        check_output(self.format or "wav", self.sample_rate_hz)
        object.__setattr__(self, "speed", check_speed(self.speed))
        if self.loudness_lufs is not None:
            object.__setattr__(self, "loudness_lufs", check_loudness(self.loudness_lufs))

    def find_format(self, path: str | os.PathLike[str]) -> str:
        """Return the name of the format for a path. Raises: InvalidInput where it cannot be written, or not at this rate."""
        return check_output(self.format or format_of_path(check_path(path)), self.sample_rate_hz).name

    def describe(self) -> dict[str, Any]:
        """Return what changes the samples, where it does, as plain values for JSON."""
        asked = {"sample_rate_hz": self.sample_rate_hz, "speed": self.speed, "loudness_lufs": self.loudness_lufs}
        default = {"sample_rate_hz": SAMPLE_RATE, "speed": 1.0, "loudness_lufs": None}
        return {name: value for name, value in asked.items() if value != default[name]}

    def render(self, audio: np.ndarray, sample_rate_hz: int, is_joined: bool = False) -> tuple[Iterator[np.ndarray], str | None]:
        """Return audio (N,) as it is to be written, in pieces, and a note where that is not quite what was asked for.

        `is_joined`: utterances one after the other, which get one gain, so that none clips; one alone is written as it was made.
        """
        gain, note = 1.0, None
        audio = change_speed(audio, sample_rate_hz, self.speed)
        if self.loudness_lufs is not None:
            gain, note = find_gain(audio, sample_rate_hz, self.loudness_lufs)
        elif is_joined:
            gain = find_fitting_gain(audio)
        return convert(audio, gain, sample_rate_hz, self.sample_rate_hz), note

    def render_piece(self, audio: np.ndarray, sample_rate_hz: int) -> np.ndarray:
        """Return a piece (n,) of a stream that is to be a file of its own. No gain: it would be another for each piece."""
        return resample(change_speed(audio, sample_rate_hz, self.speed), sample_rate_hz, self.sample_rate_hz)
