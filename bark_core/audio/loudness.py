"""One gain for a whole recording: for a loudness in LUFS (ITU-R BS.1770), as broadcasters and podcast hosts ask for it, or so that nothing clips.

Either is known only when all has been heard, so that streams have none.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bark_core.audio.samples import check_audio, measure_peak
from bark_core.errors import InvalidInput

MIN_LUFS, MAX_LUFS = -60.0, 0.0
MIN_S = 0.4
"""The meter weighs blocks of this length, so that nothing shorter has a loudness."""

PEAK = 10 ** (-1 / 20)
"""No sample is raised beyond this, 1 dB below full scale, so that lossy encoders, which overshoot, do not clip either."""

_SPAN_S, _WARM_UP_S = 60, 1
_BLOCKS_A_SECOND = 10
_ABSOLUTE_GATE_LUFS, _RELATIVE_GATE_LU = -70.0, -10.0


def check_loudness(target_lufs: object) -> float:
    """Return a loudness in LUFS as a float. Raises: InvalidInput out of -60 to 0, or where the package that measures it is missing."""
    is_number = isinstance(target_lufs, (int, float, np.integer, np.floating)) and not isinstance(target_lufs, bool)
    if not is_number or not MIN_LUFS <= target_lufs <= MAX_LUFS:  # type: ignore[operator]
        raise InvalidInput(
            f"A loudness of {target_lufs!r} LUFS was given; it must be a number from {MIN_LUFS:g} to {MAX_LUFS:g}. "
            "Podcasts have about -16, broadcasts -23."
        )
    _import_pyloudnorm()
    return float(target_lufs)  # type: ignore[arg-type]


def measure_loudness(audio: np.ndarray, sample_rate_hz: int) -> float:
    """Return the integrated loudness of samples (N,) in LUFS, minus infinity where all is below the meter's gate or shorter than 0.4 s."""
    if len(audio) < MIN_S * sample_rate_hz:
        return -math.inf
    blocks = _measure_blocks(audio, sample_rate_hz)
    blocks = blocks[blocks >= _ABSOLUTE_GATE_LUFS]
    if len(blocks):
        blocks = blocks[blocks > _average(blocks) + _RELATIVE_GATE_LU]
    return _average(blocks) if len(blocks) else -math.inf


def find_gain(audio: np.ndarray, sample_rate_hz: int, target_lufs: float) -> tuple[float, str | None]:
    """Return the one gain that brings samples (N,) to the target, and a note where none does (else None).

    Where the target would need samples beyond 1 dB below full scale, the gain is what reaches that, and the note says how loud it is;
    it is never so high that something clips. What is too short or too quiet to be measured keeps its gain of 1.
    Raises: InvalidInput as `check_loudness`, and for what is no audio.
    """
    target, audio = check_loudness(target_lufs), check_audio(audio)
    seconds = len(audio) / sample_rate_hz
    if seconds < MIN_S:
        return 1.0, f"The loudness was not changed: {seconds:.2f} s are too short to be measured, which takes {MIN_S} s."
    measured = measure_loudness(audio, sample_rate_hz)
    if not math.isfinite(measured):
        return 1.0, "The loudness was not changed: the audio is too quiet to be measured."
    wanted = 10 ** ((target - measured) / 20)
    most = PEAK / measure_peak(audio)
    if wanted <= most:
        return wanted, None
    reached = measured + 20 * math.log10(most)
    return most, f"The loudness is {reached:.1f} LUFS, not {target:g}: more would clip the loudest samples."


def find_fitting_gain(audio: np.ndarray) -> float:
    """Return the one gain by which no sample of (N,) is beyond full scale: 1 where none is."""
    return 1 / max(measure_peak(audio), 1.0)


def _measure_blocks(audio: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Return the loudness of each block of 0.4 s, ten of them a second. Minute by minute: the meter holds what it measures several times.

    Each minute begins a second early, for the meter's filters to come to rest, and ends with the end of its last block.
    """
    span, warm_up = _SPAN_S * sample_rate_hz, _WARM_UP_S * sample_rate_hz
    overhang = round((MIN_S - 1 / _BLOCKS_A_SECOND) * sample_rate_hz)
    levels: list[float] = []
    for start in range(0, len(audio), span):
        begin = max(0, start - warm_up)
        part = audio[begin : start + span + overhang]
        if len(part) < MIN_S * sample_rate_hz:
            break
        meter = _import_pyloudnorm().Meter(sample_rate_hz)
        meter.integrated_loudness(part)
        n_warm_up = (start - begin) // sample_rate_hz * _BLOCKS_A_SECOND
        levels += meter.blockwise_loudness[n_warm_up : n_warm_up + _SPAN_S * _BLOCKS_A_SECOND]
    return np.array(levels)


def _average(levels: np.ndarray) -> float:
    """Return the level of the mean power."""
    return float(10 * np.log10(np.mean(10 ** (levels / 10))))


def _import_pyloudnorm() -> Any:
    try:
        import pyloudnorm
    except ImportError as error:
        raise InvalidInput("A loudness needs the package pyloudnorm, which is not installed: pip install 'bark-core[sound]'.") from error
    return pyloudnorm
