"""What one generation gives: audio, the tokens behind it, and the way to a file. Knows no models."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bark_core.audio.encoders import Chapter
from bark_core.audio.formats import encode
from bark_core.audio.subtitles import Cue, format_srt, format_webvtt
from bark_core.audio.writer import FileWriter
from bark_core.config import SAMPLE_RATE, BarkConfig
from bark_core.errors import BarkWarning, InvalidInput
from bark_core.speech.notes import warn_of
from bark_core.speech.output import OutputOptions
from bark_core.types import History, Timings, Utterance
from bark_core.voices.files import pack_chunk
from bark_core.voices.voice import Voice

CHAPTERED = ("m4a", "m4b")
SUBTITLES = {"srt": format_srt, "vtt": format_webvtt}


@dataclass(frozen=True, eq=False)
class Generation:
    """Speech and the tokens it was made of: audio (N,) float32 at 24 kHz, semantic (S,), coarse (2, T), fine (8, T) int64.

    `settings` says how to make it again: text, voice, seed, sampling options, model and version. `notes` are sentences that
    the caller should read: words that the tokenizer does not know, speech that was cut off (`reached_ceiling`, too).
    `utterances`: what was spoken when; a long text's tokens are those of its utterances, one after the other, without the
    pauses. `takes`: where all takes were asked for, each of them, the best of an utterance first.
    """

    audio: np.ndarray
    semantic: np.ndarray
    coarse: np.ndarray
    fine: np.ndarray
    seed: int
    timings: Timings
    settings: Mapping[str, Any] = field(default_factory=dict)
    sample_rate_hz: int = SAMPLE_RATE
    config: BarkConfig = field(default_factory=BarkConfig, repr=False)
    notes: tuple[str, ...] = ()
    reached_ceiling: bool = False
    utterances: tuple[Utterance, ...] = ()
    takes: tuple[Generation, ...] = ()

    @property
    def voice(self) -> Voice:
        """The speech as a voice for further generations. Raises: InvalidInput where it is too short to be one (fewer than ten semantic tokens)."""
        arrays = Voice(self.semantic, self.coarse, self.fine).arrays()
        return Voice.from_arrays(arrays, "This generation", self.config)

    def save(self, path: str | os.PathLike[str], output: OutputOptions | None = None) -> Path:
        """Write a file, whole or not at all; its suffix says the format, where `output` does not.

        A WAV carries its tokens and settings, other formats their settings in tags; an .m4b has a chapter for each heading
        of the text. Warns: BarkWarning where the loudness asked for cannot be had. Raises: InvalidInput where it cannot be written.
        """
        output = output or OutputOptions()
        name = output.find_format(path)
        pieces, settings = self._render(output)
        with FileWriter(path, output.sample_rate_hz, name, settings) as writer:
            for piece in pieces:
                writer.write(piece)
            return writer.finish(self._pack(settings) if name == "wav" else None, self._find_chapters(output.speed) if name in CHAPTERED else ())

    def encode(self, output: OutputOptions | None = None) -> bytes:
        """Return the bytes that `save` writes, a WAV where `output` names no other format."""
        output = output or OutputOptions()
        name = output.format or "wav"
        pieces, settings = self._render(output)
        chapters = self._find_chapters(output.speed) if name in CHAPTERED else ()
        return encode(pieces, output.sample_rate_hz, name, settings, self._pack(settings) if name == "wav" else None, chapters)

    def to_wav(self) -> bytes:
        """Return the bytes of a WAV at Bark's own rate."""
        return self.encode()

    def subtitles(self, format: str = "srt", speed: float = 1.0) -> str:
        """Return what is said when, as "srt" or "vtt", for audio that was saved with this speed. Raises: InvalidInput for another format."""
        if format not in SUBTITLES:
            raise InvalidInput(f"Subtitles in {format!r} were asked for; there are {', '.join(SUBTITLES)}.")
        cues = [Cue((each.start_s or 0.0) / speed, (each.end_s or 0.0) / speed, each.text, each.speaker) for each in self.utterances]
        return SUBTITLES[format](cues)

    def _render(self, output: OutputOptions) -> tuple[Iterator[np.ndarray], dict[str, Any]]:
        """Return the samples to be written, in pieces, and the settings that go with them."""
        pieces, note = output.render(self.audio, self.sample_rate_hz, is_joined=len(self.utterances) > 1)
        settings = {**self.settings, **output.describe()}
        if note is not None:
            settings["notes"] = [*settings.get("notes", ()), note]
            # Where a filter makes errors of warnings, what is done is not thrown away for one; the note is in the file.
            with suppress(BarkWarning):
                warn_of([note])
        return pieces, settings

    def _pack(self, settings: Mapping[str, Any]) -> bytes:
        return pack_chunk(History(self.semantic, self.coarse, self.fine), settings)

    def _find_chapters(self, speed: float) -> list[Chapter]:
        """Return the headings of the text and when each begins; what stands before the first is a chapter of its own."""
        chapters: list[Chapter] = []
        for heading, group in itertools.groupby(self.utterances, key=lambda each: each.heading):
            first = next(group)
            chapters.append((heading or "…", (first.start_s or 0.0) / speed if chapters else 0.0))
        return chapters if len(chapters) > 1 or (chapters and chapters[0][0] != "…") else []
