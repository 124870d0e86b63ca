"""`--dry-run`: how much is to come, with nothing written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bark_core.batch.entries import Defaults
from bark_core.batch.forecast import SAMPLE, forecast
from bark_core.batch.speaking import LocalSpeaker
from bark_core.errors import BarkError
from bark_core.text.duration import estimate_seconds
from tests.batch.lines import SHORT, Parrot, write_lines

TEXTS = [f"This is line {n}." for n in range(20)]


def test_what_is_to_come(speaker: LocalSpeaker, tmp_path: Path) -> None:
    source = write_lines(tmp_path / "a.jsonl", *({"text": text} for text in TEXTS), {"text": " "})
    said: list[str] = []
    found = forecast(source, tmp_path / "out", speaker, Defaults(asked=SHORT), "fp32", said.append)
    assert not (tmp_path / "out").exists()
    assert (found.progress.n_lines, found.n_left, found.progress.n_failed) == (21, 20, 1)
    assert found.speech_s == pytest.approx(sum(map(estimate_seconds, TEXTS))) and found.rtf > 0
    assert str(found).startswith("21 lines: 20 to speak, 0 as they were, 1 that cannot be spoken. About ")
    assert f"measured by speaking {SAMPLE} of them" in str(found) and said == ["line 21: There is no text to speak; give one as text."]


def test_what_is_left_of_a_run_before(speak: Any, tmp_path: Path) -> None:
    source, parrot = write_lines(tmp_path / "a.jsonl", *({"text": text} for text in TEXTS)), Parrot()
    speak(source, Parrot())
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    defaults = Defaults(seed=7, asked=SHORT)
    assert str(forecast(source, tmp_path / "out", parrot, defaults, "fp32")).endswith("0 that cannot be spoken. Nothing is left to do.")
    write_lines(source, {"text": "Another."}, *({"text": text} for text in TEXTS[1:]))
    found = forecast(source, tmp_path / "out", parrot, defaults, "fp32")
    assert (found.n_left, found.progress.n_unchanged, found.rtf) == (1, 19, 0.5)
    assert "0.50 × its length, as in the runs before" in str(found)
    assert parrot.heard == [] and {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_where_nothing_can_be_spoken(speaker: LocalSpeaker, tmp_path: Path) -> None:
    source = write_lines(tmp_path / "a.jsonl", {"text": "漢字"})
    with pytest.raises(BarkError, match="None of 1 lines could be spoken to measure how fast that is: The model's tokenizer knows no word"):
        forecast(source, tmp_path / "out", speaker, Defaults(asked=SHORT))
