"""Utterances joined: no clicks, times that are true, a stream that is the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bark_core.audio.joins import FADE_S, Joiner, fade_ends
from bark_core.audio.silence import MARGIN_S, find_speech, trim_silence
from bark_core.errors import InvalidInput

RATE_HZ = 24_000


def largest_step(audio: np.ndarray) -> float:
    return float(np.abs(np.diff(audio)).max())


def join(utterances: list[np.ndarray], pause_s: float = 0.25) -> tuple[np.ndarray, list[tuple[int, int]]]:
    joiner = Joiner()
    added = [joiner.add(each, pause_s) for each in utterances]
    return np.concatenate([each.audio for each in added]), [(each.start, each.end) for each in added]


@pytest.fixture
def cut_off(recordings: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Return speech that begins and ends in the middle of a sound, as at the ceiling, some of it with an offset."""
    middles = [audio[start + 1_500 : end - 1_500] for audio in recordings.values() for start, end in [find_speech(audio)]]
    assert max(abs(float(audio[0])) for audio in middles) > 0.05
    return [audio + np.float32(0.02 * (n % 2)) for n, audio in enumerate(middles)]


@pytest.mark.parametrize("pause_s", [0.0, 0.25])
def test_no_join_has_a_step_larger_than_the_largest_in_the_speech(
    recordings: dict[str, np.ndarray], cut_off: list[np.ndarray], pause_s: float
) -> None:
    for utterances in ([*recordings.values()], cut_off):
        joined, bounds = join(utterances, pause_s)
        steps = np.abs(np.diff(joined, prepend=np.float32(0), append=np.float32(0)))  # from and to the player's silence, too
        n = round(FADE_S * RATE_HZ)
        for (start, end), utterance in zip(bounds, utterances, strict=True):
            most = largest_step(trim_silence(utterance))
            assert steps[start : start + n].max() <= most and steps[end - n + 1 : end + 1].max() <= most
            assert steps[start] == steps[end] == 0
        assert steps.max() <= max(map(largest_step, utterances))


def test_between_the_fades_the_speech_is_as_it_was(recordings: dict[str, np.ndarray]) -> None:
    joiner = Joiner()
    for audio in recordings.values():
        added = joiner.add(audio, 0.1)
        start, end = find_speech(audio)
        inside = added.audio[round(MARGIN_S * RATE_HZ) :][: end - start]
        np.testing.assert_array_equal(inside, audio[start:end])  # fades lie within the margins


def test_times_are_true_and_pauses_exact(recordings: dict[str, np.ndarray]) -> None:
    utterances = [*recordings.values()]
    joined, bounds = join(utterances, 0.3)
    for (start, end), utterance in zip(bounds, utterances, strict=True):
        np.testing.assert_array_equal(joined[start:end], fade_ends(trim_silence(utterance)))
        np.testing.assert_array_equal(joined[end : end + 7_200], np.zeros(7_200))
    assert [start for start, _ in bounds] == [0, *(end + 7_200 for _, end in bounds[:-1])]
    assert len(joined) == bounds[-1][1] + 7_200


def test_a_pause_may_stand_first_and_a_silent_utterance_adds_only_its_pause() -> None:
    joiner = Joiner()
    assert len(joiner.add_pause(1.5)) == joiner.position == 36_000
    added = joiner.add(np.zeros(10_000, np.float32), 0.5)
    assert (added.start, added.end, len(added.audio)) == (36_000, 36_000, 12_000)
    assert joiner.position == 48_000


@pytest.mark.parametrize("pause_s", [-1, -0.001, float("nan"), float("inf")])
def test_pauses_that_are_none_are_sentences_and_change_nothing(pause_s: Any) -> None:
    joiner = Joiner()
    with pytest.raises(InvalidInput, match="A pause of .* s was given; it must be a number of seconds from 0 up"):
        joiner.add(np.full(5_000, 0.1, np.float32), pause_s)
    assert joiner.position == 0


@pytest.mark.parametrize("n_samples", [0, 1, 2, 3, 200, 241])
def test_short_audio_fades_without_ever_growing(n_samples: int) -> None:
    audio = np.full(n_samples, 0.5, np.float32)
    faded = fade_ends(audio)
    assert len(faded) == n_samples and np.all(np.abs(faded) <= 0.5)
    assert not n_samples or faded[0] == faded[-1] == 0
    np.testing.assert_array_equal(audio, np.full(n_samples, 0.5))  # what was given is left as it was
