"""Loudness against pyloudnorm's own measure of the whole; what cannot be reached, measured or asked for."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pyloudnorm
import pytest

from bark_core.audio.loudness import MIN_S, PEAK, check_loudness, find_fitting_gain, find_gain, measure_loudness
from bark_core.errors import InvalidInput

RATE_HZ = 24_000


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 24_000])
@pytest.mark.parametrize("seconds", [0.41, 1.0, 59.9, 60.05, 60.31, 121.4])
def test_minute_by_minute_is_as_in_one_piece(rate_hz: int, seconds: float) -> None:
    rng = np.random.default_rng(round(100 * seconds))
    n_samples = round(seconds * rate_hz)
    loudness_of_each = np.repeat(rng.uniform(0, 0.5, n_samples // 1_000 + 1) ** 2, 1_000)[:n_samples]
    # The offset makes the meter's filters ring wherever they begin anew.
    audio = (0.5 + 0.1 * rng.standard_normal(n_samples) * loudness_of_each).astype(np.float32)
    assert measure_loudness(audio, rate_hz) == pytest.approx(pyloudnorm.Meter(rate_hz).integrated_loudness(audio), abs=0.01)


@pytest.mark.parametrize("target", [-60, -30, np.float32(-23)])
def test_a_target_is_reached_by_one_gain(speech: np.ndarray, target: Any) -> None:
    gain, note = find_gain(speech, RATE_HZ, target)
    assert note is None
    assert pyloudnorm.Meter(RATE_HZ).integrated_loudness(speech * gain) == pytest.approx(float(target), abs=0.05)


@pytest.mark.parametrize("louder", [1, 3])
def test_nothing_ever_clips_and_the_note_says_what_was_reached(speech: np.ndarray, louder: int) -> None:
    gain, note = find_gain(speech * np.float32(louder), RATE_HZ, -1)
    made = speech * louder * gain
    assert np.abs(made).max() == pytest.approx(PEAK, rel=1e-5)
    reached = pyloudnorm.Meter(RATE_HZ).integrated_loudness(made)
    assert note == f"The loudness is {reached:.1f} LUFS, not -1: more would clip the loudest samples."


def test_a_gain_that_makes_all_fit_is_one_where_it_does() -> None:
    assert find_fitting_gain(np.array([0.5, -1.0], np.float32)) == find_fitting_gain(np.zeros(0, np.float32)) == 1
    assert find_fitting_gain(np.array([0.6, -1.25, 0.3], np.float32)) == pytest.approx(0.8)


@pytest.mark.parametrize("n_samples", [1, round(MIN_S * RATE_HZ) - 1])
def test_what_is_too_short_keeps_its_gain(speech: np.ndarray, n_samples: int) -> None:
    gain, note = find_gain(speech[20_000 : 20_000 + n_samples], RATE_HZ, -16)
    assert gain == 1 and note is not None and "too short to be measured, which takes 0.4 s" in note


def test_the_shortest_that_is_measured_and_what_is_silent(speech: np.ndarray) -> None:
    assert find_gain(speech[5_000 : 5_000 + round(MIN_S * RATE_HZ)], RATE_HZ, -40)[1] is None
    for silent in (np.zeros(RATE_HZ, np.float32), np.full(RATE_HZ, 1e-6, np.float32)):
        assert find_gain(silent, RATE_HZ, -16) == (1.0, "The loudness was not changed: the audio is too quiet to be measured.")


@pytest.mark.parametrize("target", [5, 0.1, -60.1, float("nan"), float("-inf"), True, "loud", None])
def test_targets_out_of_range_are_sentences(target: Any) -> None:
    with pytest.raises(InvalidInput, match="it must be a number from -60 to 0"):
        check_loudness(target)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyloudnorm", None)
    with pytest.raises(InvalidInput, match=r"pip install 'bark-core\[sound\]'"):
        check_loudness(-16)
