"""How long a text takes to speak, by its scripts. An estimate from the characters alone: knows no voices, no tokens, no models."""

from __future__ import annotations

import re

# Seconds that one character takes. Alphabets are spoken at 14 to 16 characters a second, spaces and points among them.
LATIN_S, CYRILLIC_S, DEVANAGARI_S, HANGUL_S, KANA_S, HAN_S = 0.068, 0.07, 0.08, 0.15, 0.165, 0.22
DIGIT_S = 0.35
SPACE_S = 0.05
POINT_S = 0.12
TAG_S = 1.2
"""What [laughs], [sighs] and their like take."""

SUNG = 1.6
"""How many times as long a text takes where it is sung."""

_TAG = re.compile(r"\[[^\[\]\n]{1,80}\]")
_LYRIC = re.compile(r"♪[^♪]+♪")
_CLASSES = (
    (re.compile(r"[\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\U00020000-\U0003ffff]"), HAN_S),
    (re.compile(r"[\u3041-\u30ff\uff66-\uff9f]"), KANA_S),
    (re.compile(r"[\uac00-\ud7af]"), HANGUL_S),
    (re.compile(r"[\u0900-\u097f]"), DEVANAGARI_S),
    (re.compile(r"[\u0400-\u04ff]"), CYRILLIC_S),
    (re.compile(r"\d"), DIGIT_S),
    (re.compile(r"\s"), SPACE_S),
    (re.compile(r"[^\W\d_]"), LATIN_S),
)


def estimate_seconds(text: str) -> float:
    """Return about how many seconds a text takes to speak. The estimates of two texts add up to that of both together."""
    bare, n_tags = _TAG.subn("", text)
    seconds = n_tags * TAG_S
    seconds += (SUNG - 1) * sum(_count(lyric) for lyric in _LYRIC.findall(bare))
    return seconds + _count(bare)


def bound_seconds(text: str) -> tuple[float, float]:
    """Return the least and the most seconds in which a good take of a text can end. Generous: outside them something is wrong."""
    estimate = estimate_seconds(text)
    return 0.4 * estimate - 0.3 if estimate > 1 else 0.1, 2.5 * estimate + 3


def _count(text: str) -> float:
    seconds = 0.0
    left = len(text)
    for pattern, each_s in _CLASSES:
        text, n = pattern.subn("", text)
        seconds += n * each_s
        left -= n
    return seconds + left * POINT_S
