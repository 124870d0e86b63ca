"""Faster and slower speech at the same pitch, by the Signalsmith stretcher. Knows one recording at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from bark_core.audio.samples import Whole, check_audio
from bark_core.errors import InvalidInput

MIN_SPEED, MAX_SPEED = 0.5, 2.0
PART_S = 60
"""What is changed at a time: the stretcher holds several copies of it."""

_SEED = 1


def check_speed(speed: object) -> float:
    """Return a speed as a float. Raises: InvalidInput out of 0.5 to 2, or where the package that changes it is missing."""
    is_number = isinstance(speed, (int, float, np.integer, np.floating)) and not isinstance(speed, bool)
    if not is_number or not MIN_SPEED <= speed <= MAX_SPEED:  # type: ignore[operator]
        raise InvalidInput(
            f"A speed of {speed!r} was given; it must be a number from {MIN_SPEED} to {MAX_SPEED:g}, where 1 leaves it as it was spoken."
        )
    if speed != 1:
        _import_stretch()
    return float(speed)  # type: ignore[arg-type]


def change_speed(audio: np.ndarray, sample_rate_hz: int, speed: float) -> np.ndarray:
    """Return samples (N,) spoken `speed` times as fast at the same pitch: (round(N / speed),) float32. At 1 they are returned as they are,
    and so is nothing.

    The stretcher needs the whole that it changes, and holds it several times over: what is longer than a minute is changed in parts,
    each cut where it is quietest. A stream changes each of its pieces alone. Pauses are changed with the rest, so that what was heard
    at t seconds is heard at t / speed.
    Raises: InvalidInput as `check_speed`, and for what is no audio.
    """
    speed = check_speed(speed)
    if speed == 1 or not len(audio):
        return audio
    samples = check_audio(audio)
    changed, begin = Whole(), 0
    while begin < len(samples):
        end = _find_cut(samples, begin, sample_rate_hz)
        # Where the part ends in the whole, not how long it is alone: nothing adds up.
        changed.add(_stretch(samples[begin:end], sample_rate_hz, speed, max(1, round(end / speed)) - len(changed)))
        begin = end
    return changed.take()


def _find_cut(samples: np.ndarray, begin: int, sample_rate_hz: int) -> int:
    """Return where the part that starts at `begin` ends: within its second half minute, in the middle of its quietest fiftieth of a second."""
    first, last, n_window = begin + PART_S // 2 * sample_rate_hz, begin + PART_S * sample_rate_hz, sample_rate_hz // 50
    if last >= len(samples):
        return len(samples)
    windows = samples[first : first + (last - first) // n_window * n_window].reshape(-1, n_window)
    return first + int(np.square(windows).sum(-1).argmin()) * n_window + n_window // 2


def _stretch(samples: np.ndarray, sample_rate_hz: int, speed: float, n_samples: int) -> np.ndarray:
    """Return a part (N,) at another speed, (n_samples,)."""
    # A seed, since it draws some of its phases at random: the same audio gives the same again.
    stretch = _import_stretch().Signalsmith.Stretch(_SEED)
    stretch.preset(1, sample_rate_hz)
    stretch.setTimeFactor(speed)
    # The stretcher lets go of what lies within a block of the end; there, that is silence.
    padded = np.pad(samples, (0, stretch.blockSamples()))
    return stretch.process(padded[np.newaxis])[0][:n_samples]  # (1, N + block) → (about (N + block) / speed,)


def _import_stretch() -> Any:
    try:
        import python_stretch
    except ImportError as error:
        raise InvalidInput(
            "A speed other than 1 needs the package python-stretch, which is not installed: pip install 'bark-core[sound]'."
        ) from error
    return python_stretch
