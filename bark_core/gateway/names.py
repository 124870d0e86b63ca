"""Names of voices: those that a model has, the 13 that OpenAI's clients know, and tables of one's own. Knows no files but those tables."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bark_core.errors import InvalidInput
from bark_core.gateway.faults import Fault
from bark_core.voices.presets import LANGUAGES, normalise_name

OPENAI_VOICES = {
    "alloy": "v2/en_speaker_4",
    "ash": "v2/en_speaker_1",
    "ballad": "v2/en_speaker_2",
    "cedar": "v2/en_speaker_0",
    "coral": "v2/en_speaker_9",
    "echo": "v2/en_speaker_6",
    "fable": "v2/en_speaker_3",
    "marin": "v2/en_speaker_9",
    "nova": "v2/en_speaker_9",
    "onyx": "v2/en_speaker_8",
    "sage": "v2/en_speaker_5",
    "shimmer": "v2/en_speaker_9",
    "verse": "v2/en_speaker_7",
}
"""What the names that OpenAI's clients send speak with, where nothing else is set. Speaker 9 is the one heard as a woman's."""

NAME = re.compile(r"[^\x00-\x1f\x7f]{1,100}")
_LANGUAGE = re.compile(rf"(?:v2/)?({'|'.join(LANGUAGES)})_speaker_(\d+)")
_LANGUAGE_NAMES: dict[str, str] = dict(
    zip(
        LANGUAGES,
        ("English", "German", "Spanish", "French", "Hindi", "Italian", "Japanese", "Korean", "Polish", "Portuguese", "Russian", "Turkish", "Chinese"),
        strict=True,
    )
)


@dataclass(frozen=True)
class VoiceNames:
    """Which voice each name stands for. `own` is a table that was given; it goes before OpenAI's names."""

    own: Mapping[str, str] = field(default_factory=dict)

    def find(self, name: str, voices: tuple[str, ...]) -> str | None:
        """Return the voice among `voices` (those of the model) that a name stands for; None where the model has none.

        Raises: Fault for a name that stands for none, with the closest ones.
        """
        wanted = normalise_name(name)
        if wanted in self.own:
            if voices and self.own[wanted] not in voices:
                message = f"The voice {name!r} stands for {self.own[wanted]!r}, which the model does not have. Correct the gateway's table of voices."
                raise Fault(400, message, "voice", "voice_not_found")
            return self.own[wanted]
        if wanted in voices:
            return wanted
        if wanted in OPENAI_VOICES:
            if OPENAI_VOICES[wanted] in voices:
                return OPENAI_VOICES[wanted]
            return voices[list(OPENAI_VOICES).index(wanted) % len(voices)] if voices else None
        close = difflib.get_close_matches(wanted, [*voices, *self.own, *OPENAI_VOICES], n=3, cutoff=0.5) or list(OPENAI_VOICES)[:3]
        message = f"There is no voice {name[:100]!r}; the closest are {', '.join(close)}. GET /v1/audio/voices lists them all."
        raise Fault(400, message, "voice", "voice_not_found")

    def find_language(self, language: str, voices: tuple[str, ...]) -> str:
        """Return the first voice of a language. Raises: Fault where there is none."""
        spoken = language.strip().lower().split("-")[0].split("_")[0]
        for voice in voices:
            if spoken in (language_of(voice), _LANGUAGE_NAMES.get(language_of(voice) or "", "").lower()):
                return voice
        known = ", ".join(sorted({each for voice in voices if (each := language_of(voice))})) or "none that it names"
        raise Fault(400, f"There is no voice for the language {language[:40]!r}; the model has voices for {known}. Give a voice instead.", "language")

    def describe(self, voices: tuple[str, ...]) -> list[dict[str, str | None]]:
        """Return every name that can be asked for, as `id`, `name` and `language`: the model's voices, then the tables' names."""
        listed: list[dict[str, str | None]] = [{"id": voice, "name": _title(voice), "language": language_of(voice)} for voice in voices]
        for name in {**self.own, **OPENAI_VOICES}:
            target = self.own.get(name) or self.find(name, voices)
            listed.append({"id": name, "name": name.capitalize(), "language": language_of(target or "")})
        return listed


def language_of(voice: str) -> str | None:
    """Return the language that a voice's name tells; English for names that Suno and this project gave without one."""
    found = _LANGUAGE.fullmatch(voice)
    if found:
        return found[1]
    return "en" if re.fullmatch(r"announcer|(demo_)?speaker_\d+", voice) else None


def read_names(path: Path | None) -> VoiceNames:
    """Return the names of a TOML file: `name = "voice"`, one a line. Raises: InvalidInput where it cannot be used."""
    if path is None:
        return VoiceNames()
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"The table of voices {path} cannot be read: {error.strerror or error}.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"The table of voices {path} is not TOML: {error}. Write lines of the form  alloy = \"v2/en_speaker_6\".") from error
    for name, voice in table.items():
        if not isinstance(voice, str) or not NAME.fullmatch(voice) or not NAME.fullmatch(name):
            raise InvalidInput(f"In the table of voices {path}, {name!r} stands for {voice!r}; it must stand for the name of a voice.")
    return VoiceNames({normalise_name(name): normalise_name(voice) for name, voice in table.items()})


def _title(voice: str) -> str:
    found = _LANGUAGE.fullmatch(voice)
    if not found:
        return voice.replace("_", " ").capitalize()
    return f"{_LANGUAGE_NAMES[found[1]]} {found[2]}{'' if voice.startswith('v2/') else ' (older)'}"
