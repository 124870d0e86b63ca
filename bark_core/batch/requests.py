"""What a line asks for → what a speaker is handed: voices from files as their arrays, and a digest that says whether it is still the same.

So a speaker on another machine needs no file but the model's, and a line whose voice file changed is spoken again.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bark_core.batch.entries import Entry, fold_id
from bark_core.errors import InvalidInput
from bark_core.speech.output import OutputOptions
from bark_core.text.duration import estimate_seconds
from bark_core.types import Pauses, check_path
from bark_core.voices.presets import find_preset, normalise_name
from bark_core.voices.voice import Voice, describe_voice


@dataclass(frozen=True)
class Facts:
    """What there is to know of a model without running it: its name, its digest, the names of its presets, and this program's version."""

    name: str
    digest: str
    voices: tuple[str, ...]
    version: str


@dataclass(frozen=True)
class Request:
    """One line for a speaker. Plain values and arrays: it can go to another machine.

    `key`: its id as files are told apart. `seconds`: about how long it is. `group`: lines of one group may be spoken in one batch.
    """

    key: str
    number: int
    id: str
    text: str
    voice: str | dict[str, Any] | None
    seed: int | None
    asked: Mapping[str, Any]
    output: OutputOptions
    digest: str
    group: str
    seconds: float

    @property
    def format(self) -> str:
        """The name of its file's format."""
        return self.output.format or "wav"


class Requests:
    """Makes requests for one model, in one precision."""

    def __init__(self, facts: Facts, precision: str) -> None:
        self._facts, self._precision = facts, precision

    def make(self, entry: Entry) -> Request:
        """Return the request of a line. Raises: InvalidInput where one of its voices is not there, or is none."""
        voice, voice_name = self._find_voice(entry.voice)
        asked = dict(entry.asked)
        named = {name: value for name, value in asked.items() if name not in ("voices", "pauses")}
        if asked.get("voices"):
            found = {speaker: self._find_voice(each) for speaker, each in asked["voices"].items()}
            asked["voices"] = {speaker: each for speaker, (each, _) in found.items()}
            named["voices"] = {speaker: name for speaker, (_, name) in found.items()}
        named["pauses"] = dataclasses.asdict(asked.get("pauses") or Pauses())
        output = {"format": entry.output.format or "wav", **entry.output.describe()}
        whole = {
            "text": entry.text,
            "voice": voice_name,
            "seed": entry.seed,
            "asked": named,
            "output": output,
            "model": self._facts.digest,
            "precision": self._precision,
        }
        return Request(
            *(fold_id(entry.id), entry.number, entry.id, entry.text, voice, entry.seed, asked, entry.output),
            digest=_digest(whole),
            group=_digest(named),
            seconds=estimate_seconds(entry.text),
        )

    def _find_voice(self, voice: str | None) -> tuple[str | dict[str, Any] | None, str | None]:
        """Return a voice as `Bark.generate` takes it, and a name that changes when it does. A preset's name goes before a file's."""
        if voice is None:
            return None, None
        is_file = os.path.isfile(check_path(voice)) or voice.lower().endswith((".npz", ".wav"))
        if normalise_name(voice) in self._facts.voices or not is_file:
            name = find_preset(voice, self._facts.voices, f"the model {self._facts.name}")
            return name, name
        try:
            seen = os.stat(voice)
        except OSError as error:
            raise InvalidInput(f"The voice {voice} cannot be read: {error.strerror or error}. Give a preset's name, an .npz or a WAV of ours.") from error
        return _load_voice(voice, seen.st_mtime_ns, seen.st_size)


@functools.lru_cache(maxsize=32)
def _load_voice(path: str, _: int, __: int) -> tuple[dict[str, Any], str]:
    """Return a voice file's arrays, and a name made of them. Its time and size are given so that one that was changed is read again."""
    voice = Voice.load(path)
    return voice.arrays(), describe_voice(path, voice, ()) or ""


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]
