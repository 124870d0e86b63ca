"""What counts as audio, other sample rates against scipy, and a whole that is held once."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from scipy.signal import resample_poly

from bark_core.audio.samples import Resampler, Whole, check_audio, check_rate, convert, measure_peak, resample
from bark_core.errors import InvalidInput


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros(0, np.float32), "The audio is empty"),
        ([], "The audio is empty"),
        (np.array([0.0, math.nan, math.inf]), "2 of the 3 samples"),
        (np.array([1e300]), "1 of the 1 samples"),
        (np.zeros(5, np.int16), "type int16; give floats"),
        (np.zeros(5, bool), "type bool"),
        (["a"], "give floats"),
        (np.zeros((5, 2), np.float32), r"shape \(5, 2\); one channel"),
        (np.float32(0.5), r"shape \(\)"),
    ],
    ids=str,
)
def test_what_is_no_audio_is_a_sentence(audio: Any, message: str) -> None:
    with np.errstate(over="ignore"), pytest.raises(InvalidInput, match=message):
        check_audio(audio)


def test_floats_of_any_size_become_float32_and_float32_stays_where_it_is() -> None:
    audio = np.linspace(-1, 1, 7, dtype=np.float32)
    assert check_audio(audio) is audio
    for kind in (np.float16, np.float64):
        assert check_audio(audio.astype(kind)).dtype == np.float32
    assert check_audio(audio[::2]).flags.c_contiguous
    assert measure_peak(np.array([0.5, -0.75])) == 0.75 and measure_peak(np.zeros(0)) == 0


@pytest.mark.parametrize("rate", [0, 7_999, 48_001, -24_000, True, 24_000.0, "24000", None])
def test_rates_out_of_range_are_sentences(rate: Any) -> None:
    with pytest.raises(InvalidInput, match="from 8000 to 48000"):
        check_rate(rate)
    with pytest.raises(InvalidInput, match="from 8000 to 48000"):
        resample(np.zeros(3, np.float32), 24_000, rate)


@pytest.mark.parametrize("to_hz", [8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 47_999, 48_000])
@pytest.mark.parametrize("n_samples", [1, 79, 30_001])
def test_other_rates_are_scipys_and_pieces_give_the_same(to_hz: int, n_samples: int) -> None:
    rng = np.random.default_rng(to_hz + n_samples)
    audio = rng.uniform(-1, 1, n_samples).astype(np.float32)
    whole = resample(audio, 24_000, to_hz)
    assert len(whole) == -(-n_samples * to_hz // 24_000) and whole.dtype == np.float32
    common = math.gcd(24_000, to_hz)
    np.testing.assert_allclose(whole, resample_poly(audio, to_hz // common, 24_000 // common), atol=1e-5)
    resampler = Resampler(24_000, to_hz)
    pieces = np.split(audio, np.sort(rng.integers(0, n_samples + 1, 5)))
    np.testing.assert_array_equal(np.concatenate([*map(resampler.add, pieces), resampler.finish()]), whole)


def test_tones_keep_their_pitch_and_what_a_rate_cannot_hold_is_taken_out() -> None:
    seconds = np.arange(24_000) / 24_000
    low, high = np.sin(2 * np.pi * 440 * seconds), np.sin(2 * np.pi * 7_000 * seconds)
    there = resample((low + high).astype(np.float32), 24_000, 8_000)
    expected = np.sin(2 * np.pi * 440 * np.arange(8_000) / 8_000)
    assert np.abs(there - expected)[200:-200].max() < 0.02


def test_conversion_by_pieces_is_the_whole() -> None:
    audio = np.random.default_rng(0).uniform(-1, 1, 600_001).astype(np.float32)
    pieces = list(convert(audio, 0.5, 24_000, 16_000))
    assert len(pieces) > 2
    np.testing.assert_array_equal(np.concatenate(pieces), resample(audio * np.float32(0.5), 24_000, 16_000))
    np.testing.assert_array_equal(np.concatenate(list(convert(audio, 1, 24_000, 24_000))), audio)


def test_a_whole_is_its_pieces_and_is_held_once() -> None:
    rng = np.random.default_rng(0)
    pieces = [rng.uniform(-1, 1, 50_000).astype(np.float32) for _ in range(40)]
    n_bytes = sum(piece.nbytes for piece in pieces)
    tracemalloc.start()
    whole = Whole()
    for piece in pieces:
        whole.add(piece)
    assert len(whole) == 2_000_000
    audio = whole.take()
    held, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1.2 * n_bytes and held < 1.2 * n_bytes
    np.testing.assert_array_equal(audio, np.concatenate(pieces))
    audio[0] = 0.5  # it is the caller's to change
    assert len(whole) == 0 and len(Whole().take()) == 0
