"""Speed: the length to the sample, the pitch as it was, the ends not lost."""

from __future__ import annotations

import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest

from bark_core.audio.speed import PART_S, change_speed, check_speed
from bark_core.errors import InvalidInput

RATE_HZ = 24_000
SPEEDS = [0.5, 0.75, 1.25, 2]


def find_pitch_hz(audio: np.ndarray) -> float:
    """Return the strongest frequency, to a fraction of a bin."""
    spectrum = np.log(np.abs(np.fft.rfft(audio * np.hanning(len(audio)))) + 1e-12)
    k = int(spectrum.argmax())
    a, b, c = spectrum[k - 1 : k + 2]
    return (k + (a - c) / (2 * (a - 2 * b + c))) * RATE_HZ / len(audio)


@pytest.mark.parametrize("speed", SPEEDS)
def test_length_changes_and_pitch_does_not(speed: float) -> None:
    tone = (0.3 * np.sin(2 * np.pi * 220 * np.arange(3 * RATE_HZ) / RATE_HZ)).astype(np.float32)
    changed = change_speed(tone, RATE_HZ, speed)
    assert len(changed) == round(len(tone) / speed) and changed.dtype == np.float32
    assert find_pitch_hz(changed[2_000:-2_000]) == pytest.approx(220, abs=0.5)


@pytest.mark.parametrize("speed", SPEEDS)
def test_sounds_stay_where_they_were_up_to_the_very_ends(speed: float) -> None:
    for position in (300, 40_000, 71_500):
        audio = np.zeros(3 * RATE_HZ, np.float32)
        audio[position : position + 200] = 0.5 * np.hanning(200)
        energy = np.cumsum(np.square(change_speed(audio, RATE_HZ, speed)))
        assert energy[-1] * speed > 0.5 * np.sum(np.square(audio))
        centre = np.searchsorted(energy, energy[-1] / 2) * speed
        assert centre == pytest.approx(position + 100, abs=0.01 * RATE_HZ)


def test_the_same_audio_gives_the_same_again(speech: np.ndarray) -> None:
    np.testing.assert_array_equal(change_speed(speech, RATE_HZ, 1.3), change_speed(speech, RATE_HZ, 1.3))
    assert change_speed(speech, RATE_HZ, 1) is speech


@pytest.mark.parametrize("speed", [0.5, 1.37, 2])
def test_what_is_long_is_changed_in_parts_and_nothing_moves(speed: float) -> None:
    n_seconds = 2 * PART_S + 35
    audio = np.zeros(n_seconds * RATE_HZ, np.float32)
    sounds = np.arange(RATE_HZ // 2, len(audio), RATE_HZ)
    for position in sounds:
        audio[position : position + 200] = 0.5 * np.hanning(200)
    tracemalloc.start()
    changed = change_speed(audio, RATE_HZ, speed)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(changed) == round(len(audio) / speed)
    for position in sounds:
        around = changed[int((position - RATE_HZ / 4) / speed) : int((position + RATE_HZ / 4) / speed)]
        energy = np.cumsum(np.square(around))
        assert energy[-1] > 0
        centre = np.searchsorted(energy, energy[-1] / 2) * speed - RATE_HZ / 4
        assert centre == pytest.approx(100, abs=0.02 * RATE_HZ), position
    # The result, and a few copies of one part: an hour would be held once, not several times.
    assert peak < 1.2 * changed.nbytes + 6 * PART_S * RATE_HZ * 4 / min(speed, 1)


@pytest.mark.parametrize("n_samples", [1, 2, 100, 5_000])
def test_the_shortest_audio_has_its_length_too(n_samples: int) -> None:
    audio = np.full(n_samples, 0.1, np.float32)
    assert [len(change_speed(audio, RATE_HZ, speed)) for speed in (0.5, 2)] == [2 * n_samples, max(1, round(n_samples / 2))]


@pytest.mark.parametrize("speed", [0.49, 2.01, 0, -1, float("nan"), True, "fast", None])
def test_speeds_out_of_range_are_sentences(speed: Any) -> None:
    with pytest.raises(InvalidInput, match=r"it must be a number from 0\.5 to 2, where 1 leaves it"):
        check_speed(speed)


def test_bad_audio_is_a_sentence() -> None:
    with pytest.raises(InvalidInput, match="1 of the 2 samples"):
        change_speed(np.array([0.1, np.nan]), RATE_HZ, 1.5)


def test_a_missing_package_names_the_extra_only_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "python_stretch", None)
    assert check_speed(1) == 1
    with pytest.raises(InvalidInput, match=r"pip install 'bark-core\[sound\]'"):
        check_speed(1.5)
