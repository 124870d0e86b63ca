"""Names of voices, what a schema says, and how failures are told: pure functions on odd input."""

from __future__ import annotations

import pytest

from bark_core.gateway.backend import explain_failure, find_urls
from bark_core.gateway.faults import Fault
from bark_core.gateway.names import OPENAI_VOICES, VoiceNames, language_of
from bark_core.gateway.schema import find_fault, read_model
from bark_core.voices.presets import PRESETS


def test_names_of_openai_are_presets_and_spread_where_those_are_missing() -> None:
    names = VoiceNames()
    assert len(OPENAI_VOICES) == 13 and set(OPENAI_VOICES.values()) <= set(PRESETS)
    assert all(names.find(name, PRESETS) == voice for name, voice in OPENAI_VOICES.items())
    assert {names.find(name, ("x", "y")) for name in OPENAI_VOICES} == {"x", "y"}
    assert names.find("alloy", ()) is None


def test_a_table_goes_first_and_is_held_to_the_model() -> None:
    names = VoiceNames({"alloy": "v2/de_speaker_3", "gran": "v2/en_speaker_9"})
    assert names.find("alloy", PRESETS) == "v2/de_speaker_3"
    assert names.find("gran", PRESETS) == "v2/en_speaker_9"
    with pytest.raises(Fault, match="which the model does not have"):
        names.find("gran", ("demo_speaker_0",))
    assert {"id": "gran", "name": "Gran", "language": "en"} in names.describe(PRESETS)


@pytest.mark.parametrize(
    ("voice", "language"),
    [("v2/de_speaker_3", "de"), ("zh_speaker_0", "zh"), ("announcer", "en"), ("speaker_4", "en"), ("demo_speaker_1", "en"), ("mine", None)],
)
def test_languages_of_voices(voice: str, language: str | None) -> None:
    assert language_of(voice) == language


def test_a_language_finds_a_voice() -> None:
    for given in ("de", "DE", "de-DE", "de_CH", "German"):
        assert VoiceNames().find_language(given, PRESETS) == "v2/de_speaker_0"
    with pytest.raises(Fault, match="voices for de, en"):
        VoiceNames().find_language("xx", ("v2/de_speaker_0", "announcer"))


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        ("Prediction failed: Prediction failed: InvalidInput: The text is empty; give a word.", 400, "The text is empty; give a word."),
        ("Prediction failed: Generator iteration error: ValueError: bad", 400, "bad."),
        ("Async prediction failed: InvalidInput: bad", 400, "bad."),
        ("Prediction failed: GenerationError: It gave nothing.", 500, "It gave nothing."),
        ("out of memory", 500, "out of memory."),
        ("", 500, "The prediction failed without a reason."),
        (None, 500, "The prediction failed without a reason."),
    ],
)
def test_failures_are_told_by_whose_they_are(error: object, status: int, message: str) -> None:
    fault = explain_failure(error)
    assert (fault.status, fault.message) == (status, message)


def test_outputs_of_every_form() -> None:
    assert find_urls("https://x/a.wav") == ["https://x/a.wav"]
    assert find_urls(["data:a", "data:b", 3]) == ["data:a", "data:b"]
    assert find_urls({"prompt_npz": None, "audio_out": "https://x/a.wav", "more": "https://x/b"}) == ["https://x/a.wav"]
    assert find_urls("/etc/passwd") == find_urls(None) == find_urls({}) == []


def test_a_schema_is_read_with_its_choices() -> None:
    voice = {"allOf": [{"$ref": "#/components/schemas/voice"}], "default": None}
    schemas = {"Input": {"properties": {"text": {"type": "string"}, "voice": voice}}, "voice": {"enum": ["a", "b"], "type": "string"}}
    model = read_model({"components": {"schemas": schemas}, "paths": {"/predictions": {"post": {}}}})
    assert (model.text_input, model.voice_input, model.voices, model.is_streaming) == ("text", "voice", ("a", "b"), False)
    assert find_fault("c", model.inputs["voice"]) == "must be one of the 2 values that the model knows"
    logs = "[x] Loaded small; its voices: v2/a, b.\nReady\n"
    assert read_model({"components": {"schemas": schemas}, "paths": {"/predictions": {"post": {}}}}, logs).voices == ("v2/a", "b")
