"""Where speech begins and ends: recordings whose phones are known, soft consonants, noise, clicks, silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.signal import butter, sosfilt

from bark_core.audio.silence import MARGIN_S, find_speech, trim_silence
from bark_core.errors import InvalidInput

RATE_HZ = 24_000


def make_noise(n_samples: int, level_db: float, seed: int = 0) -> np.ndarray:
    """Return white noise of a level in dB below full scale."""
    return (np.random.default_rng(seed).standard_normal(n_samples) * 10 ** (level_db / 20)).astype(np.float32)


def make_vowel(seconds: float, amplitude: float = 0.4) -> np.ndarray:
    """Return a buzz of 120 Hz with harmonics up to 3 kHz, which begins and ends at once."""
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    buzz = sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 25))
    return (amplitude * buzz / np.abs(buzz).max()).astype(np.float32)


def make_fricative(seconds: float, level_db: float) -> np.ndarray:
    """Return noise from 4 to 8 kHz, as an s or f has it."""
    band = butter(4, (4_000, 8_000), "bandpass", fs=RATE_HZ, output="sos")
    noise = np.asarray(sosfilt(band, make_noise(round(seconds * RATE_HZ), 0, seed=5)))
    return (noise / noise.std() * 10 ** (level_db / 20)).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE_HZ), np.float32)


@pytest.mark.parametrize("noise_db", [None, -70, -60, -55])
def test_recordings_keep_all_their_phones(root: Path, recordings: dict[str, np.ndarray], noise_db: float | None) -> None:
    lines = {name: (root / "tests/data/training" / f"{name}.txt").read_text().splitlines() for name in ("rms", "slt")}
    for name, audio in recordings.items():
        speaker, number = name.split("-")
        phones = [(phone, float(end)) for phone, end in (each.rsplit(":", 1) for each in lines[speaker][int(number)].split())]
        assert phones[0][0] == phones[-1][0] == "pau"
        noisy = audio if noise_db is None else audio + make_noise(len(audio), noise_db)
        start, end = (position / RATE_HZ for position in find_speech(noisy))
        assert start - MARGIN_S <= phones[0][1] + 0.01, name
        assert end + MARGIN_S >= phones[-2][1] - 0.01, name
        if noise_db is None:
            assert start >= phones[0][1] - 0.1, name  # the silence is gone


@pytest.mark.parametrize("noise_db", [-75, -65, -60])
def test_soft_consonants_are_kept_where_there_is_noise(noise_db: float) -> None:
    """They are softer than the hum alone, which would hide them in one level for all frequencies."""
    word = np.concatenate((silence(0.3), make_fricative(0.12, -46), make_vowel(0.4), make_fricative(0.12, -46), silence(0.3)))
    hum = 0.02 * np.sin(2 * np.pi * 50 * np.arange(len(word)) / RATE_HZ)
    start, end = find_speech((word + hum + make_noise(len(word), noise_db)).astype(np.float32))
    assert start / RATE_HZ == pytest.approx(0.3, abs=0.03)
    assert end / RATE_HZ == pytest.approx(0.3 + 0.64, abs=0.03)


def test_clicks_that_stand_apart_do_not_count_and_a_late_final_t_does() -> None:
    click, burst = make_noise(240, -20), make_noise(480, -26)
    word = np.concatenate((silence(0.02), click, silence(0.3), make_vowel(0.4), silence(0.12), burst, silence(0.5), click, silence(0.1)))
    start, end = (position / RATE_HZ for position in find_speech(word))
    assert start == pytest.approx(0.33, abs=0.03)
    assert end == pytest.approx(0.33 + 0.4 + 0.12 + 0.02, abs=0.03)


def test_noise_without_a_word_above_it_is_kept_whole() -> None:
    """Wind, applause, music: what cannot be told from its own floor is no silence."""
    audio = make_noise(RATE_HZ, -20)
    start, end = find_speech(audio)
    assert start < 0.05 * RATE_HZ and end > 0.95 * RATE_HZ


@pytest.mark.parametrize("level_db", [None, -65])
def test_silence_is_silent(level_db: float | None) -> None:
    audio = silence(1) if level_db is None else make_noise(RATE_HZ, level_db)
    assert find_speech(audio) == (0, 0)
    assert len(trim_silence(audio)) == 0
    assert find_speech(audio[:0]) == (0, 0)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 24_000, 48_000])
def test_margin_is_kept_at_every_rate(rate_hz: int) -> None:
    time = np.arange(rate_hz) / rate_hz
    tone = (0.3 * np.sin(2 * np.pi * 300 * time)).astype(np.float32)
    audio = np.concatenate((np.zeros(rate_hz, np.float32), tone, np.zeros(rate_hz, np.float32)))
    trimmed = trim_silence(audio, rate_hz, margin_s=0.1)
    assert np.shares_memory(trimmed, audio)
    assert len(trimmed) / rate_hz == pytest.approx(1.2, abs=0.045)
    assert len(trim_silence(audio, rate_hz, margin_s=5)) == len(audio)


@pytest.mark.parametrize("n_samples", [1, 2, 239, 241])
def test_the_shortest_audio_is_found(n_samples: int) -> None:
    audio = np.full(n_samples, 0.5, np.float32)
    assert find_speech(audio) == (0, n_samples)
    assert len(trim_silence(audio)) == n_samples


def test_long_audio_is_measured_by_blocks_as_short_audio_is() -> None:
    audio = np.concatenate((silence(12.345), make_vowel(1), silence(7)))
    start, end = find_speech(audio)
    assert start / RATE_HZ == pytest.approx(12.345, abs=0.03) and end / RATE_HZ == pytest.approx(13.345, abs=0.03)


def test_samples_that_are_no_numbers_are_a_sentence() -> None:
    with pytest.raises(InvalidInput, match="1 of the 3 samples"):
        find_speech(np.array([0.5, np.nan, 0.5], np.float32))
