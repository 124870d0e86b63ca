"""What a line asks for: an id that can be a file's name, a text, a voice, a seed, and options, checked as they are read.

Knows no models: whether a voice is there, and whether a text can be spoken, shows later.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bark_core.batch.records import read_records
from bark_core.errors import InvalidInput
from bark_core.speech.options import SpeechOptions
from bark_core.speech.output import OutputOptions
from bark_core.types import GenerateOptions, Pauses, SamplingOptions, check_seed, derive_seed, is_encodable, parse_json

NUMBERS = ("text_temp", "waveform_temp", "fine_temp", "min_eos_p", "top_p", "max_seconds")
WHOLE = ("top_k", "n_takes", "max_retries")
SPEECH = ("split", "voices", "pauses", "language", "normalize", "n_takes", "retry", "max_retries", "verify")
OUTPUT = {"format": "format", "sample_rate": "sample_rate_hz", "speed": "speed", "loudness": "loudness_lufs"}
"""What a line calls the options of its file, and what OutputOptions does."""

FIELDS = ("id", "text", "voice", "seed", *NUMBERS, "top_k", *SPEECH, *OUTPUT)
"""What a line may have; besides these, any name that begins with an underscore, which is not read."""

SPLITS = {"auto": "auto", "always": True, "never": False, "true": True, "false": False}
MAX_ID_BYTES = 120
_ID = re.compile(r"\w(?:[\w .-]*[\w-])?")


@dataclass(frozen=True)
class Defaults:
    """What holds for every line that does not say otherwise. `seed`: lines have seeds of their own, derived from it and their ids."""

    voice: str | None = None
    seed: int | None = None
    asked: Mapping[str, Any] = field(default_factory=dict)
    output: OutputOptions = field(default_factory=OutputOptions)

    def __post_init__(self) -> None:
        if self.seed is not None:
            check_seed(self.seed)
        check_asked(self.asked)


@dataclass(frozen=True)
class Entry:
    """One line to speak. `seed`: its own or one derived, or None for one at random. `asked`: what `Bark.generate` takes by name besides."""

    number: int
    id: str
    text: str
    voice: str | None
    seed: int | None
    asked: Mapping[str, Any]
    output: OutputOptions


@dataclass(frozen=True)
class Problem:
    """A line that cannot be spoken: its number, its id where it has one, and why, in a sentence."""

    number: int
    id: str | None
    error: str


def read_entries(path: str | os.PathLike[str], defaults: Defaults) -> Iterator[Entry | Problem]:
    """Yield what each line of a file asks for, one at a time. Raises: InvalidInput for a file that is no file of lines."""
    for record in read_records(path, FIELDS):
        if record.problem is not None:
            yield Problem(record.number, None, record.problem)
            continue
        id = None
        try:
            id = read_id(record.fields.get("id"), record.number)
            yield make_entry(record.number, id, record.fields, defaults)
        except InvalidInput as error:
            yield Problem(record.number, id, str(error))


def read_id(given: object, number: int) -> str:
    """Return a line's id: the one given, or its number in six digits. Raises: InvalidInput for one that could not be a file's name."""
    if given is None or given == "":
        return f"{number:06d}"
    id = unicodedata.normalize("NFC", str(given)) if isinstance(given, (str, int)) and not isinstance(given, bool) else ""
    if not _ID.fullmatch(id) or len(id.encode("utf-8", "replace")) > MAX_ID_BYTES:
        raise InvalidInput(
            f"The id {given!r:.140} cannot be a file's name; give letters, digits, spaces and . _ -, not first or last a space or a full stop, "
            f"at most {MAX_ID_BYTES} bytes, and no path."
        )
    return id


def fold_id(id: str) -> str:
    """Return what two ids share that would be one file where upper and lower case are not told apart."""
    return id.casefold()


def make_entry(number: int, id: str, fields: Mapping[str, Any], defaults: Defaults) -> Entry:
    """Return what a line asks for. Raises: InvalidInput for a field that is unknown, or a value out of range."""
    for name in fields:
        if name not in FIELDS and not name.startswith("_"):
            close = difflib.get_close_matches(name, FIELDS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(FIELDS)}."
            raise InvalidInput(f"{name!r:.60} is no option of a line; {hint}")
    for name in ("text", "voice"):
        value = fields.get(name)
        if value is not None and (not isinstance(value, str) or not is_encodable(value)):
            raise InvalidInput(f"{name} was {value!r:.60}; it must be a string of whole characters.")
    if not (fields.get("text") or "").strip():
        raise InvalidInput("There is no text to speak; give one as text.")
    asked = dict(defaults.asked)
    for name in (*NUMBERS, "top_k", *SPEECH):
        if fields.get(name) is not None:
            asked[name] = read_value(name, fields[name], asked)
    check_asked(asked)
    output = {OUTPUT[name]: read_value(name, fields[name], {}) for name in OUTPUT if fields.get(name) is not None}
    if fields.get("seed") is not None:
        seed = check_seed(_read_number(fields["seed"], is_whole=True))
    else:
        seed = None if defaults.seed is None else derive_seed(defaults.seed, f"line {id}", 0)
    return Entry(number, id, fields["text"], fields.get("voice") or defaults.voice, seed, asked, dataclasses.replace(defaults.output, **output))


def read_value(name: str, value: Any, before: Mapping[str, Any]) -> Any:
    """Return an option's value as `Bark.generate` takes it: tables have strings for everything, and JSON has no Pauses."""
    if name in (*NUMBERS, "speed", "loudness"):
        return _read_number(value)
    if name in (*WHOLE, "sample_rate"):
        return _read_number(value, is_whole=True)
    if name == "split" and isinstance(value, str):
        return SPLITS.get(value.lower(), value)
    if name == "retry" and isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower(), value)
    if name in ("voices", "pauses"):
        mapping = _read_mapping(name, value)
        return mapping if name == "voices" else _read_pauses(mapping, before.get("pauses") or Pauses())
    return value


def check_asked(asked: Mapping[str, Any]) -> None:
    """Raise InvalidInput for an option that is out of range, before anything slow."""
    SpeechOptions(**{name: asked[name] for name in SPEECH if name in asked})
    top = {"top_k": asked.get("top_k"), "top_p": asked.get("top_p")}
    GenerateOptions(
        seed=0,
        semantic=SamplingOptions(asked.get("text_temp", 0.7), **top),
        coarse=SamplingOptions(asked.get("waveform_temp", 0.7), **top),
        fine=SamplingOptions(asked.get("fine_temp", 0.5)),
        min_eos_p=asked.get("min_eos_p", 0.2),
        max_seconds=asked.get("max_seconds"),
    )


def _read_number(value: Any, is_whole: bool = False) -> Any:
    """Return the number that a string of a table says, and of a whole number written as 1.0 that; anything else as it is, to be refused."""
    if isinstance(value, str):
        try:
            value = float(value) if not is_whole or not re.fullmatch(r"\s*[+-]?\d{1,18}\s*", value) else int(value)
        except ValueError:
            return value
    if is_whole and isinstance(value, float) and math.isfinite(value) and value == int(value):
        return int(value)
    return value


def _read_mapping(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except ValueError as error:
            raise InvalidInput(f"{name} was {value!r:.60}, which is no JSON ({error}).") from error
    if not isinstance(value, dict):
        raise InvalidInput(f"{name} was {value!r:.60}; it must be an object, as " + ('{"ANNA": "v2/en_speaker_9"}.' if name == "voices" else '{"sentence_s": 0.3}.'))
    if name == "voices":
        for voice in value.values():
            if not isinstance(voice, str) or not voice or not is_encodable(voice):
                raise InvalidInput(f"voices has {voice!r:.60} for a voice; each must be a preset's name or a path.")
    return value


def _read_pauses(given: Mapping[str, Any], before: Pauses) -> Pauses:
    names = [each.name for each in dataclasses.fields(Pauses)]
    for name in given:
        if name not in names:
            raise InvalidInput(f"pauses has {name!r:.60}; there are {', '.join(names)}.")
    return dataclasses.replace(before, **given)
