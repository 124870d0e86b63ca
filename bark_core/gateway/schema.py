"""What a backend takes, read out of its OpenAPI schema: names, types and bounds of inputs, voices, whether it streams. Knows no HTTP."""

from __future__ import annotations

import base64
import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from bark_core.gateway.faults import Fault

TEXT_INPUTS = ("prompt", "text", "text_prompt", "input")
VOICE_INPUTS = ("history_prompt", "voice")

# What our predictor prints in its setup; the server hands that out with its health.
_VOICES = re.compile(r"\bLoaded .+; its voices: (.+)\.$", re.MULTILINE)


@dataclass(frozen=True)
class Model:
    """A backend's inputs by name, each with its schema; the names of its voices; whether it sends audio while it speaks."""

    inputs: Mapping[str, Mapping[str, Any]]
    voices: tuple[str, ...] = ()
    is_streaming: bool = False

    @property
    def text_input(self) -> str:
        """The input that takes the text."""
        return next(name for name in TEXT_INPUTS if name in self.inputs)

    @property
    def voice_input(self) -> str | None:
        """The input that takes a voice's name, or None."""
        return next((name for name in VOICE_INPUTS if name in self.inputs), None)


def read_model(schema: Any, setup_logs: str = "") -> Model:
    """Return what a schema says. Raises: Fault where it is none, or of a model that takes no text."""
    try:
        schemas = schema["components"]["schemas"]
        inputs = {name: _resolve(property, schemas) for name, property in schemas["Input"]["properties"].items()}
        is_list = schemas.get("Output", {}).get("x-cog-array-type") == "iterator"
        is_streaming = is_list and bool(schema["paths"]["/predictions"]["post"].get("x-cog-streaming"))
    except (KeyError, TypeError, AttributeError) as error:
        raise Fault(502, "The backend's /openapi.json is not the schema of a Cog model. Look at what --backend names.") from error
    if not any(name in inputs for name in TEXT_INPUTS):
        raise Fault(502, f"The backend takes no text: none of its inputs is named {' or '.join(TEXT_INPUTS)}. Look at what --backend names.")
    model = Model(inputs, is_streaming=is_streaming)
    named = _VOICES.search(setup_logs)
    voices = _listed(named[1]) if named else tuple(inputs.get(model.voice_input or "", {}).get("enum", ()))
    return Model(inputs, tuple(voice for voice in voices if isinstance(voice, str)), is_streaming)


def _listed(text: str) -> tuple[str, ...]:
    return () if text == "none" else tuple(text.split(", "))


def _resolve(property: Mapping[str, Any], schemas: Mapping[str, Any]) -> dict[str, Any]:
    """Return an input's schema with what it refers to (Cog puts choices into a schema of their own) put in its place."""
    resolved = {key: value for key, value in property.items() if key != "allOf"}
    for part in property.get("allOf", ()):
        resolved |= schemas[part["$ref"].rsplit("/", 1)[-1]]
    return resolved


def find_fault(value: Any, property: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a value for an input, as the end of a sentence, or None."""
    kind = property.get("type", "string")
    if (fault := _find_type_fault(value, kind)) is not None:
        return fault
    if "enum" in property and value not in property["enum"]:
        return f"must be one of the {len(property['enum'])} values that the model knows"
    if kind in ("integer", "number"):
        low, high = property.get("minimum", -math.inf), property.get("maximum", math.inf)
        if not low <= value <= high:
            return f"must be {_describe_range(low, high)}"
    if property.get("format") == "uri" and not _is_file_url(value):
        return "must be an http(s) or a data: URL of a file"
    if kind == "string" and len(value) > property.get("maxLength", math.inf):
        return f"must have at most {property['maxLength']} characters; it has {len(value)}"
    return None


def _find_type_fault(value: Any, kind: str) -> str | None:
    if kind in ("integer", "number"):
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < sys.float_info.max
        if kind == "integer":
            return None if is_number and float(value).is_integer() else "must be a whole number"
        return None if is_number else "must be a number"
    if kind == "boolean":
        return None if isinstance(value, bool) else "must be true or false"
    if kind == "string":
        return None if isinstance(value, str) else "must be a text"
    return None


def _is_file_url(value: str) -> bool:
    """Tell whether Cog could ask for a file there; of what is none, it speaks in Python's words."""
    try:
        if value[:5].lower() == "data:":
            head, comma, data = value.partition(",")
            return bool(comma) and (not head.lower().endswith(";base64") or bool(base64.b64decode(data)))
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of an address, of a port and of base64
        return False


def _describe_range(low: float, high: float) -> str:
    if math.isinf(high):
        return f"at least {low:g}"
    return f"at most {high:g}" if math.isinf(low) else f"from {low:g} to {high:.12g}"
