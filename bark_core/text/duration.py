"""How long a text takes to speak, by its scripts. An estimate from the characters alone: knows no voices, no tokens, no models.

The rates are those of careful speech: 14 to 16 characters a second in alphabets, spaces and points among them, 4 to 5 in Chinese,
between 5 and 6 in Japanese with its kana, 6 to 7 in Korean. The demo's English takes 0.8 to 1.2 times what this says.
"""

from __future__ import annotations

import re

from bark_core.text.spans import LYRIC, TAG

# Seconds that one character takes.
LATIN_S, CYRILLIC_S, DEVANAGARI_S, HANGUL_S, KANA_S, HAN_S = 0.068, 0.07, 0.08, 0.15, 0.165, 0.22
DIGIT_S = 0.35
SPACE_S = 0.05
POINT_S = 0.12
TAG_S = 1.2
"""What [laughs], [sighs] and their like take."""

SUNG = 1.6
"""How many times as long a text takes where it is sung."""

MAX_SOUND_S = 5.0
"""How much longer than TAG_S a sound in brackets may be without anything being wrong: [music] plays on."""

_RUN = re.compile(r"([^\w\s])\1{3,}")
_CLASSES = (
    (re.compile(r"[\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\U00020000-\U0003ffff]"), HAN_S),
    (re.compile(r"[\u3041-\u30fa\u30fc-\u30ff\uff66-\uff9f]"), KANA_S),
    (re.compile(r"[\uac00-\ud7af]"), HANGUL_S),
    (re.compile(r"[\u0900-\u0963\u0966-\u097f]"), DEVANAGARI_S),
    (re.compile(r"[\u0400-\u04ff]"), CYRILLIC_S),
    (re.compile(r"\d"), DIGIT_S),
    (re.compile(r"\s"), SPACE_S),
    (re.compile(r"[^\W_]"), LATIN_S),
    (re.compile(r"[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0980-\u0dff\u0e31-\u0e4e\u200b-\u200f\ufe0f]"), 0.0),  # on other letters
)


def estimate_seconds(text: str) -> float:
    """Return about how many seconds a text takes to speak. The estimates of two texts add up to that of both together."""
    bare, n_tags = TAG.subn("", text)
    return n_tags * TAG_S + _count_seconds(bare) + (SUNG - 1) * sum(_count_seconds(lyric) for lyric in LYRIC.findall(bare))


def bound_seconds(text: str) -> tuple[float, float]:
    """Return the least and the most seconds that a good take of a text has, silence around it included. Outside them something is wrong.

    Generous: slow and fast voices differ by a factor of two, and Bark may leave a sound in brackets out, or make much of it.
    The least is 0.45 times the estimate of the words less 0.25 s, and at least 0.1 s; the most is twice the estimate and
    2.5 s, and 5 s for each sound in brackets; for what is sung, as much again.
    """
    bare, n_tags = TAG.subn("", text)
    sung = sum(estimate_seconds(lyric) for lyric in LYRIC.findall(bare))
    return max(0.1, 0.45 * _count_seconds(bare) - 0.25), 2 * estimate_seconds(text) + 2.5 + n_tags * MAX_SOUND_S + sung


def _count_seconds(text: str) -> float:
    """Add up what the characters take. A row of one mark, as of dashes, counts as three."""
    text = _RUN.sub(r"\1\1\1", text)
    seconds = 0.0
    for pattern, each_s in _CLASSES:
        text, n = pattern.subn("", text)
        seconds += n * each_s
    return seconds + len(text) * POINT_S
