"""What a preset's name tells."""

from __future__ import annotations

import pytest

from bark_core.voices.presets import LANGUAGES, PRESETS, tell_language


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("v2/de_speaker_3", "de"),
        ("zh_speaker_9", "zh"),
        (" v2\\fr_speaker_0 ", "fr"),
        ("announcer", None),
        ("speaker_3", None),
        ("v2/xx_speaker_0", None),
        ("de_voice.npz", None),
        (None, None),
        ({"semantic_prompt": []}, None),
    ],
)
def test_a_preset_tells_its_language(name: object, language: str | None) -> None:
    assert tell_language(name) == language


def test_every_language_has_its_presets() -> None:
    assert {tell_language(name) for name in PRESETS} == {*LANGUAGES, None}
