"""Bark: text to speech, music and sound effects. The public names, imported only when they are first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bark_core.config import SAMPLE_RATE, BarkConfig
    from bark_core.errors import BarkError, BarkWarning, CheckpointError, GenerationError, InvalidInput
    from bark_core.speech.bark import Bark
    from bark_core.speech.generation import Generation
    from bark_core.types import AudioChunk, Timings, Utterance
    from bark_core.voices.presets import PRESETS
    from bark_core.voices.voice import Voice

__version__ = "0.1.0"

_HOMES = {
    "AudioChunk": "types",
    "Bark": "speech.bark",
    "BarkConfig": "config",
    "BarkError": "errors",
    "BarkWarning": "errors",
    "CheckpointError": "errors",
    "Generation": "speech.generation",
    "GenerationError": "errors",
    "InvalidInput": "errors",
    "PRESETS": "voices.presets",
    "SAMPLE_RATE": "config",
    "Timings": "types",
    "Utterance": "types",
    "Voice": "voices.voice",
}

__all__ = [
    "PRESETS",
    "SAMPLE_RATE",
    "AudioChunk",
    "Bark",
    "BarkConfig",
    "BarkError",
    "BarkWarning",
    "CheckpointError",
    "Generation",
    "GenerationError",
    "InvalidInput",
    "Timings",
    "Utterance",
    "Voice",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"bark_core.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
