"""One loudness for a whole recording, in LUFS (ITU-R BS.1770), as broadcasters and podcast hosts ask for it. Off unless asked for."""

from __future__ import annotations

import math

import numpy as np

from bark_core.errors import InvalidInput

MIN_LUFS, MAX_LUFS = -60.0, 0.0
MIN_S = 0.4
"""The meter weighs blocks of this length, so that nothing shorter has a loudness."""

PEAK = 10 ** (-1 / 20)
"""No sample is raised beyond this (1 dB below full scale), so that lossy encoders, which overshoot, do not clip either."""


def check_loudness(target_lufs: object) -> float:
    """Return a loudness in LUFS as a float. Raises: InvalidInput out of -60 to 0, or where the package that measures it is missing."""
    if (
        isinstance(target_lufs, bool)
        or not isinstance(target_lufs, (int, float, np.integer, np.floating))
        or not MIN_LUFS <= target_lufs <= MAX_LUFS
    ):
        raise InvalidInput(
            f"A loudness of {target_lufs!r} LUFS was given; it must be a number from {MIN_LUFS:g} to {MAX_LUFS:g}. Podcasts have -16, broadcasts -23."
        )
    _import_pyloudnorm()
    return float(target_lufs)


def normalize_loudness(audio: np.ndarray, sample_rate_hz: int, target_lufs: float) -> tuple[np.ndarray, str | None]:
    """Return (N,) with one gain that brings it to the target, and a note where that could not be (else None).

    Never clips: where the target needs samples beyond 1 dB below full scale, the gain stops there and the note says what was reached.
    """
    target = check_loudness(target_lufs)
    if len(audio) < MIN_S * sample_rate_hz:
        return (
            audio,
            f"The loudness is as it was made: {len(audio) / sample_rate_hz:.2f} s is too short to be measured, which needs {MIN_S} s.",
        )
    meter = _import_pyloudnorm().Meter(sample_rate_hz)
    measured = float(meter.integrated_loudness(audio))
    if not math.isfinite(measured):
        return audio, "The loudness is as it was made: the audio is too quiet to be measured."
    gain = 10 ** ((target - measured) / 20)
    most = PEAK / float(np.max(np.abs(audio)))
    if gain <= max(most, 1.0) and gain <= most:
        return audio * np.float32(gain), None
    gain = most
    reached = measured + 20 * math.log10(gain)
    return audio * np.float32(gain), f"The loudness is {reached:.1f} LUFS, not {target:g}: more would clip the loudest samples."


def _import_pyloudnorm():  # noqa: ANN202
    try:
        import pyloudnorm
    except ImportError as error:
        raise InvalidInput("A loudness needs the package pyloudnorm, which is not installed: pip install 'bark-core[sound]'.") from error
    return pyloudnorm
