"""What one generation gives: audio, the tokens behind it, and the way to a file. Knows no models."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bark_core.audio.files import write_atomically
from bark_core.audio.wav import encode_wav
from bark_core.config import SAMPLE_RATE, BarkConfig
from bark_core.errors import InvalidInput
from bark_core.types import History, Timings, Utterance, check_path
from bark_core.voices.files import pack_chunk
from bark_core.voices.voice import Voice


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

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a 16-bit WAV that carries its tokens and settings, whole or not at all. Raises: InvalidInput where it cannot be written."""
        if check_path(path).suffix.lower() != ".wav":
            raise InvalidInput(f"{path} does not end in .wav, and speech is saved as WAV only; give such a path.")
        return write_atomically(path, self.to_wav())

    def to_wav(self) -> bytes:
        """Return the bytes that `save` writes."""
        chunk = pack_chunk(History(self.semantic, self.coarse, self.fine), self.settings)
        return encode_wav(self.audio, self.sample_rate_hz, chunk)
