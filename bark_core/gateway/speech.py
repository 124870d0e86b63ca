"""A request for speech: the fields of the OpenAI API and those that clients add, checked, and turned into a backend's inputs. Knows no HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bark_core.audio.formats import check_output
from bark_core.audio.speed import check_speed
from bark_core.config import SAMPLE_RATE
from bark_core.errors import InvalidInput
from bark_core.gateway.faults import Fault
from bark_core.gateway.names import VoiceNames
from bark_core.gateway.schema import TEXT_INPUTS, VOICE_INPUTS, Model, find_fault
from bark_core.types import check_seed, choose_seed, is_encodable, parse_json

FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
"""The formats of the OpenAI API."""

MIN_SPEED, MAX_SPEED = 0.25, 4.0

# What the gateway does itself, or chooses for the backend; every other field goes to the input of the same name, if there is one.
_OWN = {"model", "input", "voice", "instructions", "response_format", "speed", "stream_format", "stream", "seed", "language", "temperature"}
_OWN |= {"sample_rate", "output_format", *TEXT_INPUTS, *VOICE_INPUTS}


@dataclass(frozen=True)
class SpeechRequest:
    """What a client asks for. `voice` None: none was named. `extras`: fields that a backend may know by the same name."""

    text: str
    voice: str | None
    language: str | None
    format: str
    sample_rate_hz: int | None
    speed: float
    is_sse: bool
    is_whole: bool
    seed: int
    temperature: float | None
    extras: Mapping[str, Any]


def read_request(body: bytes) -> SpeechRequest:
    """Return what a body asks for. Raises: Fault that names the first field that cannot be used."""
    fields = _Fields(parse_object(body))
    text = fields.take("input", str)
    if text is None or not text.strip():
        raise Fault(400, "input is missing or empty; give the text to speak.", "input", "missing_required_parameter")
    for name, value in fields.values.items():
        if not is_encodable(json.dumps([name, value], ensure_ascii=False)):
            shown = name.encode("ascii", "backslashreplace").decode()
            raise Fault(400, f"{shown} holds half of a surrogate pair, which is no character; send UTF-8 or whole pairs.", shown)
    fields.take("model", str)
    fields.take("instructions", str)
    format = fields.choose("response_format", FORMATS, "mp3")
    request = SpeechRequest(
        text=text,
        voice=_read_voice(fields),
        language=fields.take("language", str) or None,
        format=format,
        sample_rate_hz=fields.take("sample_rate", int),
        speed=_read_speed(fields),
        is_sse=fields.choose("stream_format", ("audio", "sse"), "audio") == "sse",
        is_whole=fields.take("stream", bool) is False,
        seed=_read_seed(fields),
        temperature=fields.take("temperature", float),
        extras={name: value for name, value in fields.values.items() if name not in _OWN and value is not None},
    )
    _check_writable(request)
    return request


def _check_writable(request: SpeechRequest) -> None:
    """Raise Fault where the audio could not be written as it is asked for: before anything is spoken."""
    try:
        check_output(request.format, request.sample_rate_hz or SAMPLE_RATE)
    except InvalidInput as error:
        raise Fault(400, str(error), "sample_rate" if request.sample_rate_hz is not None else "response_format") from error


def to_inputs(request: SpeechRequest, model: Model, names: VoiceNames) -> dict[str, Any]:
    """Return the inputs that a backend's model gets. Raises: Fault for what the model does not take."""
    inputs: dict[str, Any] = {}

    def put(name: str, value: Any, param: str) -> None:
        fault = find_fault(value, model.inputs[name])
        if fault is not None:
            raise Fault(400, f"{param} {_quote(value)}{fault}.", param)
        inputs[name] = value

    put(model.text_input, request.text, "input")
    if model.voice_input is not None:
        voice = names.find(request.voice, model.voices) if request.voice is not None else None
        if request.voice is None and request.language is not None:
            voice = names.find_language(request.language, model.voices)
        if voice is not None:
            put(model.voice_input, voice, "voice")
    for name in ("text_temp", "waveform_temp", "temperature"):
        if name in model.inputs and request.temperature is not None:
            put(name, request.temperature, "temperature")
    if "seed" in model.inputs:
        put("seed", request.seed, "seed")
    for name, value in request.extras.items():
        if name in model.inputs:
            put(name, value, name)
    return inputs


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object that a body is. Raises: Fault."""
    try:
        value = parse_json(body, parse_constant=_refuse_constant)
    except ValueError as error:
        raise Fault(400, f"The body is not JSON: {error}. Send an object such as {{\"input\": \"Hello.\", \"voice\": \"alloy\"}}.", code="invalid_json") from error
    if not isinstance(value, dict):
        raise Fault(400, f"The body is a JSON {_KINDS.get(type(value), 'value')}; it must be an object.", code="invalid_json")
    return value


_KINDS = {str: "text", int: "number", float: "number", bool: "truth value", list: "list", type(None): "null", dict: "object"}
_TAKEN = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


class _Fields:
    """The fields of a body, by name and kind. Null is as good as left out."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def take(self, name: str, kind: type) -> Any:
        """Return a field of one of Python's plain types, or None. Whole numbers may come as 1.0."""
        value = self.values.get(name)
        if value is None:
            return None
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if kind is float and is_number:
            return _to_float(name, value)
        if kind is int and is_number and float(_to_float(name, value)).is_integer():
            return int(value)
        if kind in (str, bool) and isinstance(value, kind):
            return value
        given = _KINDS.get(type(value), "value")
        raise Fault(400, f"{name} was a {given}, {json.dumps(value)[:80]}; it must be {_TAKEN[kind]}.", name, "invalid_type")

    def choose(self, name: str, choices: tuple[str, ...], default: str) -> str:
        """Return a field that is one of a few words."""
        value = self.take(name, str)
        if value is not None and value not in choices:
            raise Fault(400, f"{name} was {value[:80]!r}; it must be one of {', '.join(choices)}.", name, "invalid_value")
        return default if value is None else value


def _read_voice(fields: _Fields) -> str | None:
    """Return the voice's name, given as a text or as an object with an id."""
    value = fields.values.get("voice")
    name = value.get("id") if isinstance(value, dict) else value
    if value is None or isinstance(name, str):
        return name
    raise Fault(400, f"voice was {json.dumps(value)[:80]}; it must be a name, or an object with a name as its id.", "voice", "invalid_type")


def _read_speed(fields: _Fields) -> float:
    speed = fields.take("speed", float)
    if speed is None:
        return 1.0
    if not MIN_SPEED <= speed <= MAX_SPEED:
        raise Fault(400, f"speed was {speed:g}; it must be from {MIN_SPEED} to {MAX_SPEED:g}, where 1 is as it was spoken.", "speed", "invalid_value")
    try:
        check_speed(1 if speed == 1 else 2)  # is what changes it here?
    except InvalidInput as error:
        raise Fault(400, str(error), "speed") from error
    return speed


def _read_seed(fields: _Fields) -> int:
    seed = fields.take("seed", int)
    if seed is None:
        return choose_seed()
    try:
        return check_seed(seed)
    except InvalidInput as error:
        raise Fault(400, str(error), "seed", "invalid_value") from error


def _to_float(name: str, value: float) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise Fault(400, f"{name} was a number of {len(str(abs(int(value))))} digits; it must be smaller.", name, "invalid_value") from error


def _quote(value: Any) -> str:
    """Return what to say of a value before `must be …`: itself, where it is short."""
    text = json.dumps(value, ensure_ascii=False)
    return f"was {text}; it " if len(text) <= 80 else ""


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")
