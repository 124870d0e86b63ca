"""The marks of a script: `NAME: text`, `[pause 1.5s]`, `[voice NAME]`, `# Heading` and blank lines. Text → passages, each in one voice.

Every other bracket stays in the text, as it is. Knows nothing of sentences or of what fits an utterance.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from bark_core.errors import InvalidInput
from bark_core.text.characters import is_layout
from bark_core.text.spans import LABEL
from bark_core.types import MAX_PAUSE_S, is_encodable

MAX_TOTAL_PAUSE_S = 3600.0
MAX_NAMES = 50
MAX_NAME_LENGTH = 64

_LINE_END = re.compile(r"\r\n|[\n\r\u2028\u2029]")
_MARK = re.compile(r"\[[ \t]*(pause|voice)(?![^\W\d_])([^\[\]\n\r\u2028\u2029]*)(\]?)", re.IGNORECASE)
_PAUSE = re.compile(r"\s*(-?[0-9]+(?:\.[0-9]+)?|-?\.[0-9]+)\s*(ms|s)\s*", re.IGNORECASE)
_HEADING = re.compile(r"\s{0,3}#{1,6}\s+(.*\w.*?)[\s#]*")


@dataclass
class Passage:
    """A stretch of a script in one voice and one paragraph, without marks. `pause_s`: the silence marked after it, if any."""

    text: str
    voice: Any
    speaker: str | None
    line: int
    paragraph: int
    heading: str | None
    pause_s: float | None = None


@dataclass
class Script:
    """The passages of a text, at least one, and the silence marked before the first."""

    passages: list[Passage]
    lead_s: float


def has_marks(text: str, names: Collection[str]) -> bool:
    """Tell whether a text has a mark, or a line that begins with one of the names and a colon."""
    return bool(_MARK.search(text)) or (bool(names) and any(_find_name(line, names) for line in _LINE_END.split(text)))


def check_voices(voices: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the voices by name. Raises: InvalidInput where they are too many, or a name could not stand before a colon."""
    if voices is None:
        return {}
    if not isinstance(voices, Mapping):
        raise InvalidInput(f"voices was a {type(voices).__name__}; give a mapping of names to voices, as {{'ANNA': 'v2/en_speaker_9'}}.")
    if len(voices) > MAX_NAMES:
        raise InvalidInput(f"{len(voices)} names were given in voices; a script has at most {MAX_NAMES}. Split it.")
    for name in voices:
        if not isinstance(name, str) or not is_encodable(name) or name != name.strip() or not 0 < len(name) <= MAX_NAME_LENGTH or re.search(r"[\[\]:：\n\r]", name):
            raise InvalidInput(
                f"voices has the name {name!r:.80}; a name is text of 1 to {MAX_NAME_LENGTH} characters on one line, "
                "without colons, brackets or white space around it."
            )
    return voices


def read_script(text: str, voices: Mapping[str, Any], presets: Collection[str] = ()) -> Script:
    """Return the passages of a script. Raises: InvalidInput that quotes a bad mark and its line, or where there is nothing but marks."""
    reader = _Reader(voices, presets)
    for number, line in enumerate(_LINE_END.split(text), 1):
        reader.read_line(line, number)
    reader.flush()
    if not reader.passages:
        raise InvalidInput("The script has only marks and names; give at least one word to speak.")
    return Script(reader.passages, reader.lead_s)


@dataclass
class _Reader:
    """Reads line by line: `base` is the voice that [voice NAME] set, `speaker` the name before the line, till its paragraph ends."""

    voices: Mapping[str, Any]
    presets: Collection[str]
    passages: list[Passage] = field(default_factory=list)
    lead_s: float = 0.0
    total_s: float = 0.0
    base: str | None = None
    speaker: str | None = None
    paragraph: int = 0
    heading: str | None = None
    buffer: list[str] = field(default_factory=list)
    line: int = 1

    def read_line(self, line: str, number: int) -> None:
        # A row of stars or dashes is no more to be spoken than a blank line.
        if is_layout(line):
            self.end_paragraph()
        elif heading := _HEADING.fullmatch(line):
            self.end_paragraph()
            self.heading = " ".join(_MARK.sub(" ", heading[1]).split())
            self.read_text(heading[1], number)
            self.end_paragraph()
        else:
            if name := _find_name(line, self.voices):
                self.flush()
                self.speaker, line = name, line[line.index(name) + len(name) :].lstrip()[1:]
            elif (label := LABEL.match(line)) and label[1].isupper():
                self.flush()
                self.speaker = label[1]
            self.read_text(line, number)

    def read_text(self, line: str, number: int) -> None:
        start = 0
        for mark in _MARK.finditer(line):
            self.add(line[start : mark.start()], number)
            start = mark.end()
            self.flush()
            if not mark[3]:
                raise InvalidInput(f"Line {number} has {mark[0]!r:.80}, which is never closed; write a ] at its end, on the same line.")
            if mark[1].lower() == "pause":
                self.add_pause(mark, number)
            else:
                self.base, self.speaker = self.find_voice(mark, number), None
        self.add(line[start:], number)

    def add(self, text: str, number: int) -> None:
        if text.strip() and not self.buffer:
            self.line = number
        if text.strip():
            self.buffer.append(text.strip())

    def add_pause(self, mark: re.Match[str], number: int) -> None:
        value = _PAUSE.fullmatch(mark[2])
        seconds = float(value[1]) / (1000 if value[2].lower() == "ms" else 1) if value else -1.0
        if not 0 <= seconds <= MAX_PAUSE_S:
            raise InvalidInput(f"Line {number} has {mark[0]!r:.80}; a pause is 0 to {MAX_PAUSE_S:g} s long, as in [pause 1.5s] or [pause 500ms].")
        before = (self.passages[-1].pause_s or 0.0) if self.passages else self.lead_s
        self.total_s += seconds
        if before + seconds > MAX_PAUSE_S or self.total_s > MAX_TOTAL_PAUSE_S:
            raise InvalidInput(
                f"Line {number} has {mark[0]!r:.80}, which makes {before + seconds:g} s of silence there and {self.total_s:g} s in all; "
                f"one place may have {MAX_PAUSE_S:g} s and a script {MAX_TOTAL_PAUSE_S:g} s."
            )
        if self.passages:
            self.passages[-1].pause_s = before + seconds
        else:
            self.lead_s = seconds + before

    def find_voice(self, mark: re.Match[str], number: int) -> str:
        name = mark[2].strip()
        if name in self.voices or name in self.presets:
            return name
        if not self.voices:
            raise InvalidInput(f"Line {number} has {mark[0]!r:.80}, and no voices were given. Say in voices which voice {name[:40]} has, or leave the mark out.")
        known = f"the names in voices are {', '.join(self.voices)}"
        raise InvalidInput(f"Line {number} has {mark[0]!r:.80}, and {known:.300}. Give one of them, or add this one.")

    def end_paragraph(self) -> None:
        self.flush()
        self.speaker = None
        if self.passages:
            self.paragraph = self.passages[-1].paragraph + 1

    def flush(self) -> None:
        text = "\n".join(self.buffer)
        self.buffer.clear()
        if is_layout(text):
            return
        name = self.speaker or self.base
        voiced = name if name in self.voices or name in self.presets else self.base
        voice = None if voiced is None else self.voices.get(voiced, voiced)
        self.passages.append(Passage(text, voice, name, self.line, self.paragraph, self.heading))


def _find_name(line: str, names: Collection[str]) -> str | None:
    head = re.split("[:：]", line[: 2 * MAX_NAME_LENGTH], maxsplit=1)
    return head[0].strip() if len(head) == 2 and head[0].strip() in names else None
