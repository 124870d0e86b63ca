"""Faster and slower speech at the same pitch, by the Signalsmith stretcher. For whole recordings: see `change_speed`."""

from __future__ import annotations

from typing import Any

import numpy as np

from bark_core.errors import InvalidInput

MIN_SPEED, MAX_SPEED = 0.5, 2.0


def check_speed(speed: object) -> float:
    """Return a speed as a float. Raises: InvalidInput out of 0.5 to 2, or where the package that changes it is missing."""
    if isinstance(speed, bool) or not isinstance(speed, (int, float, np.integer, np.floating)) or not MIN_SPEED <= speed <= MAX_SPEED:
        raise InvalidInput(
            f"A speed of {speed!r} was given; it must be a number from {MIN_SPEED} to {MAX_SPEED:g}, where 1 is as it was spoken."
        )
    if speed != 1:
        _import_stretch()
    return float(speed)


def change_speed(audio: np.ndarray, sample_rate_hz: int, speed: float) -> np.ndarray:
    """Return (N,) spoken `speed` times as fast at the same pitch, (round(N / speed),) float32; at 1 it is returned as it is.

    An utterance at a time gives the same in a stream as in a whole: change its speed before it is joined.
    """
    speed = check_speed(speed)
    if speed == 1 or not len(audio):
        return audio
    stretch = _import_stretch().Signalsmith.Stretch(1)
    stretch.preset(1, sample_rate_hz)
    stretch.setTimeFactor(speed)
    changed = stretch.process(np.ascontiguousarray(audio, np.float32)[np.newaxis])[0]  # (1, N) → (N / speed,)
    n_samples = round(len(audio) / speed)
    return np.pad(changed, (0, max(0, n_samples - len(changed))))[:n_samples]


def _import_stretch() -> Any:
    try:
        import python_stretch
    except ImportError as error:
        raise InvalidInput(
            "A speed other than 1 needs the package python-stretch, which is not installed: pip install 'bark-core[sound]'."
        ) from error
    return python_stretch
