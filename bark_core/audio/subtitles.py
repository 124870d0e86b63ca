"""What was said when, as subtitles: SRT and WebVTT. Knows nothing of audio.

One cue an utterance, at the times that were measured: a long one has several lines rather than times that are guessed.
"""

from __future__ import annotations

import html
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bark_core.errors import InvalidInput

MAX_COLUMNS = 42
"""Columns of a line, what fits a screen. A letter of Chinese, Japanese or Korean takes two."""

_NEVER_FIRST = "、。，．・：；？！」』）］】〉》”’…ー々ゃゅょっァィゥェォャュョッ,.:;?!)]}"
_NEVER_LAST = "「『（［【〈《“‘([{"


@dataclass(frozen=True)
class Cue:
    """One subtitle: seconds from the start of the audio, text, and who speaks."""

    start_s: float
    end_s: float
    text: str
    speaker: str | None = None


def format_srt(cues: Iterable[Cue]) -> str:
    """Return an .srt file. Speakers stand before their text, with a colon. Raises: InvalidInput for times that are none.

    SRT has no escapes: what players would take for a mark (`<i>`, `{\\an8}`) is parted by an invisible character, `-->` becomes an arrow.
    """
    blocks = []
    for number, (start_ms, end_ms, text, speaker) in enumerate(_arrange(cues), 1):
        spoken = f"{speaker}: {text}" if speaker else text
        shown = re.sub(r"<(?=[/a-zA-Z])|\{(?=\\)", "\\g<0>\u2060", spoken.replace("-->", "→"))
        blocks.append(f"{number}\n{_format_time(start_ms, ',')} --> {_format_time(end_ms, ',')}\n{_wrap(shown)}\n\n")
    return "".join(blocks)


def format_webvtt(cues: Iterable[Cue]) -> str:
    """Return a .vtt file. Speakers are its voices. Raises: InvalidInput for times that are none."""
    blocks = ["WEBVTT\n"]
    for start_ms, end_ms, text, speaker in _arrange(cues):
        voice = f"<v {html.escape(speaker, quote=False)}>" if speaker else ""
        shown = html.escape(_wrap(text), quote=False)
        blocks.append(f"{_format_time(start_ms, '.')} --> {_format_time(end_ms, '.')}\n{voice}{shown}\n")
    return "\n".join(blocks)


def _arrange(cues: Iterable[Cue]) -> Iterator[tuple[int, int, str, str | None]]:
    """Yield start and end in ms, text and speaker by time, without empty texts. None begins before the last has ended; each has 1 ms or more."""
    previous_ms = 0
    for cue in sorted(cues, key=_check_start):
        if not (text := _clean(cue.text)):
            continue
        start_ms = max(previous_ms, round(cue.start_s * 1000))
        end_ms = previous_ms = max(start_ms + 1, round(cue.end_s * 1000))
        yield start_ms, end_ms, text, _clean(cue.speaker) if cue.speaker else None


def _check_start(cue: Cue) -> float:
    if not 0 <= cue.start_s <= cue.end_s < math.inf:
        raise InvalidInput(
            f"The subtitle {cue.text!r} is from {cue.start_s!r} to {cue.end_s!r} s; give seconds from 0 up, the end not before the start."
        )
    return cue.start_s


def _clean(text: str) -> str:
    """Return a text in one line that UTF-8 can hold, without control characters: an empty line would end the subtitle."""
    text = text.encode("utf-8", "replace").decode()
    return " ".join("".join(" " if unicodedata.category(each) in ("Cc", "Zl", "Zp") else each for each in text).split())


def _format_time(ms: int, point: str) -> str:
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}{point}{ms % 1000:03}"


def _wrap(text: str) -> str:
    """Return a text in lines of at most MAX_COLUMNS, but for longer words: broken at spaces and between letters that need none."""
    lines = [""]
    for unit in _split(text):
        if lines[-1] and _count_columns(lines[-1] + unit.rstrip()) > MAX_COLUMNS:
            lines.append("")
        lines[-1] += unit
    return "\n".join(line.rstrip() for line in lines)


def _split(text: str) -> list[str]:
    """Return what a line may be broken between: words with the space after them, and single wide letters with their punctuation."""
    units: list[str] = []
    for each in text:
        before = units[-1][-1] if units else ""
        can_break = before == " " or _stands_alone(each) or _stands_alone(before)
        if not before or (can_break and each != " " and each not in _NEVER_FIRST and before not in _NEVER_LAST and _count_columns(each)):
            units.append(each)
        else:
            units[-1] += each
    return units


def _stands_alone(character: str) -> bool:
    """Tell whether lines may be broken beside a letter: beside Chinese and Japanese ones, not within Korean words."""
    return _is_wide(character) and not unicodedata.name(character, "").startswith("HANGUL")


def _is_wide(character: str) -> bool:
    return bool(character) and unicodedata.east_asian_width(character) in ("W", "F")


def _count_columns(text: str) -> int:
    return sum(0 if unicodedata.category(each) in ("Mn", "Me", "Cf") else 2 if _is_wide(each) else 1 for each in text)
