"""What was said when, as subtitles: SRT and WebVTT. Knows nothing of audio."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MAX_LINE = 42
"""Characters of a line: what fits a screen."""


@dataclass(frozen=True)
class Cue:
    """One subtitle: seconds from the start of the audio, text, and who speaks."""

    start_s: float
    end_s: float
    text: str
    speaker: str | None = None


def format_srt(cues: Iterable[Cue]) -> str:
    """Return an .srt file of these cues."""
    return "".join(
        f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{_wrap(f'{cue.speaker}: {cue.text}' if cue.speaker else cue.text)}\n\n"
        for number, (start, end, cue) in enumerate(_in_order(cues), 1)
    )


def format_webvtt(cues: Iterable[Cue]) -> str:
    """Return a .vtt file of these cues, with speakers as voices."""
    blocks = ["WEBVTT\n"]
    for start, end, cue in _in_order(cues):
        text = html.escape(_wrap(cue.text), quote=False)
        voice = f"<v {html.escape(cue.speaker, quote=False)}>" if cue.speaker else ""
        blocks.append(f"{_clock(start, '.')} --> {_clock(end, '.')}\n{voice}{text}\n")
    return "\n".join(blocks)


def _in_order(cues: Iterable[Cue]) -> Iterator[tuple[int, int, Cue]]:
    """Yield cues with their start and end in ms, none before the end of the one before, each at least 1 ms long; no empty ones."""
    previous = 0
    for cue in cues:
        if not cue.text.strip():
            continue
        start = max(previous, round(cue.start_s * 1000))
        end = max(start + 1, round(cue.end_s * 1000))
        previous = end
        yield start, end, cue


def _clock(ms: int, point: str) -> str:
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}{point}{ms % 1000:03}"


def _wrap(text: str) -> str:
    return "\n".join(textwrap.wrap(" ".join(text.split()), MAX_LINE, break_on_hyphens=False))
