"""Audiobooks: chapters where they belong, and chapters that cannot be."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from bark_core.audio.formats import encode
from bark_core.audio.writer import FileWriter
from bark_core.errors import InvalidInput
from tests.audio.readers import probe

RATE_HZ = 24_000
CHAPTERS = [("Eins: Das Moor", 0.0), ("Zwei 漢字", 2.5), ("", 6.0)]


def read_chapters(data: bytes) -> list[tuple[str, float, float]]:
    """Return title, start and end in seconds of each."""
    found = []
    with av.open(io.BytesIO(data), "r") as container:
        for each in container.chapters():
            base = each["time_base"]
            assert base is not None
            found.append((each["metadata"].get("title", ""), float(each["start"] * base), float(each["end"] * base)))
    return found


@pytest.mark.parametrize("name", ["m4a", "m4b"])
def test_chapters_are_read_back(speech: np.ndarray, name: str) -> None:
    seconds = len(speech) / RATE_HZ
    found = read_chapters(encode(speech, RATE_HZ, name, {"text": "Das Buch"}, chapters=CHAPTERS))
    assert [title for title, _, _ in found] == ["Eins: Das Moor", "Zwei 漢字", ""]
    assert [start for _, start, _ in found] == [0, 2.5, 6.0]
    assert [end for _, _, end in found] == [2.5, 6.0, pytest.approx(seconds, abs=0.1)]


def test_what_stands_before_the_first_chapter_has_the_titles_name(speech: np.ndarray) -> None:
    found = read_chapters(encode(speech, RATE_HZ, "m4b", {"text": "Das Buch"}, chapters=[("Eins", 1.5)]))
    assert [(title, start) for title, start, _ in found] == [("Das Buch", 0), ("Eins", 1.5)]


def test_ffprobe_finds_a_book(speech: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "book.m4b").write_bytes(encode(speech, RATE_HZ, "m4b", {"text": "Das Buch"}, chapters=CHAPTERS))
    found = probe(tmp_path / "book.m4b")
    assert [float(each["start_time"]) for each in found["chapters"]] == [0, 2.5, 6.0]
    assert found["format"]["tags"]["title"] == "Das Buch" and found["format"]["tags"]["media_type"] == "2"


@pytest.mark.parametrize(
    ("chapters", "message"),
    [
        ([("a", -1.0)], "'a' begins at -1.0 s"),
        ([("a", 0.0), ("b", 0.0)], "'b' begins at 0.0 s"),
        ([("a", 2.0), ("b", 1.0)], "'b' begins at 1.0 s"),
        ([("a", 0.0), ("b", 99.0)], "'b' begins at 99.0 s; chapters begin one after the other from 0 s up, within the 9"),
        ([("a", math.nan)], "'a' begins at nan s"),
    ],
    ids=str,
)
def test_chapters_that_cannot_be_are_sentences_and_leave_nothing(speech: np.ndarray, chapters: Any, message: str, tmp_path: Path) -> None:
    with FileWriter(tmp_path / "book.m4b", RATE_HZ) as writer:
        writer.write(speech)
        with pytest.raises(InvalidInput, match=message):
            writer.finish(chapters=chapters)
        writer.is_finished = True
    assert not list(tmp_path.iterdir())


def test_formats_without_a_place_for_chapters_do_without(speech: np.ndarray, tmp_path: Path) -> None:
    for name in ("wav", "mp3", "aac", "pcm"):
        with FileWriter(tmp_path / f"x.{name}", RATE_HZ) as writer:
            writer.write(speech)
            writer.finish(chapters=CHAPTERS)
        assert (tmp_path / f"x.{name}").read_bytes() == encode(speech, RATE_HZ, name)
