"""Estimates of how long a text takes: within the rates of careful speech for each script, additive, with bounds around them."""

from __future__ import annotations

import random
import re

import pytest

from bark_core.text.duration import bound_seconds, estimate_seconds
from tests.text.samples import TEXTS

RATES = {"ja": (4, 6.5), "zh": (4, 5.5), "ko": (7, 9), "hi": (11, 15)}
"""Characters a second, spaces and points included, where they are not the 13 to 17 of alphabets."""


@pytest.mark.parametrize("language", TEXTS)
def test_rates_are_those_of_careful_speech(language: str) -> None:
    text = re.sub(r"\[.*?\]|♪.*?♪|[\d,.]*\d", "", TEXTS[language])
    least, most = RATES.get(language, (13, 17))
    assert least < len(text) / estimate_seconds(text) < most


@pytest.mark.parametrize("language", TEXTS)
def test_estimates_add_up(language: str) -> None:
    rng = random.Random(language)
    words = re.sub(r"♪", "", TEXTS[language]).split()
    for _ in range(20):
        cut = rng.randrange(len(words))
        left, right = " ".join(words[:cut]) + " ", " ".join(words[cut:])
        if left.count("[") == left.count("]"):
            assert estimate_seconds(left) + estimate_seconds(right) == pytest.approx(estimate_seconds(left + right))


def test_what_is_not_letters_counts_too() -> None:
    assert estimate_seconds("") == 0
    assert estimate_seconds("[laughs]") == estimate_seconds("[a very long sigh]") == 1.2
    assert estimate_seconds("♪ la la la ♪") > 1.5 * estimate_seconds("la la la")
    assert estimate_seconds("1984") > estimate_seconds("word")
    assert estimate_seconds("a" + "-" * 500) == estimate_seconds("a---")
    assert estimate_seconds("ガ") == pytest.approx(estimate_seconds("か"))
    assert estimate_seconds("e\u0301") == estimate_seconds("é"), "marks on letters take no time"


@pytest.mark.parametrize("text", ["Hi.", "[laughs]", "♪ La la la. ♪", "你好。", *(text[:120] for text in TEXTS.values())])
def test_bounds_are_around_the_estimate(text: str) -> None:
    least_s, most_s = bound_seconds(text)
    estimate_s = estimate_seconds(text)
    assert 0.1 <= least_s < 0.5 * estimate_s + 0.1
    assert most_s > 2 * estimate_s + 2


def test_bounds_leave_room_for_sounds_and_songs() -> None:
    assert bound_seconds("Hello there. [music]")[1] > bound_seconds("Hello there.")[1] + 5
    assert bound_seconds("Hello there. [music]")[0] == pytest.approx(bound_seconds("Hello there. ")[0]), "Bark may leave a sound out"
    assert bound_seconds("♪ Hello there ♪")[1] > bound_seconds("Hello there")[1] + 1
