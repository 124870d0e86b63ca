"""The values that flow between the stages, checked once when they are made. No I/O and no models."""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bark_core.errors import InvalidInput

MAX_SEED = 2**32 - 1

MAX_DIGITS = 1000
"""No whole number of a caller's JSON has more."""

MIN_TEMPERATURE = 1e-3
"""Below this, logits divided by it leave what float32 holds; 0 says what is meant."""


@dataclass(frozen=True)
class SamplingOptions:
    """How one stage draws: `temperature` 0 (greedy) or from 0.001 up, `top_k` from 1 up or None, `top_p` over 0 to 1 or None.

    Plain Python numbers once made, numpy's taken, too: they are written into every file that is spoken with them.
    """

    temperature: float = 0.7
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if not _is_finite(self.temperature) or self.temperature < 0:
            raise InvalidInput(f"A temperature of {self.temperature!r} was given; it must be a number from 0 (greedy) up; 0.7 is usual.")
        if 0 < self.temperature < MIN_TEMPERATURE:
            raise InvalidInput(f"A temperature of {self.temperature!r} was given, which is too small to divide by; give 0 (greedy) or at least {MIN_TEMPERATURE}.")
        if self.top_k is not None and (not is_whole(self.top_k) or self.top_k < 1):
            raise InvalidInput(f"top_k was {self.top_k!r}; it must be a whole number from 1 up, or left out.")
        if self.top_p is not None and (not _is_finite(self.top_p) or not 0 < self.top_p <= 1):
            raise InvalidInput(f"top_p was {self.top_p!r}; it must be a number above 0 and at most 1, or left out.")
        _make_plain(self, float, "temperature", "top_p")
        _make_plain(self, int, "top_k")


@dataclass(frozen=True)
class GenerateOptions:
    """Everything that shapes one generation besides text and voice.

    `seed`: 0 to 2**32 - 1. `min_eos_p`: over 0 to 1; semantic generation ends where the probability of its end reaches
    it; None: only a drawn end stops. `max_seconds`: the longest speech to make, or None. Plain Python numbers once made.
    """

    seed: int
    semantic: SamplingOptions = field(default_factory=SamplingOptions)
    coarse: SamplingOptions = field(default_factory=SamplingOptions)
    fine: SamplingOptions = field(default_factory=lambda: SamplingOptions(temperature=0.5))
    min_eos_p: float | None = 0.2
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.min_eos_p is not None and (not _is_finite(self.min_eos_p) or not 0 < self.min_eos_p <= 1):
            raise InvalidInput(f"min_eos_p was {self.min_eos_p!r}; it must be a number above 0 and at most 1, or None for no early end.")
        if self.max_seconds is not None and (not _is_finite(self.max_seconds) or self.max_seconds <= 0):
            raise InvalidInput(f"max_seconds was {self.max_seconds!r}; it must be a number of seconds above 0, or None for no limit.")
        _make_plain(self, int, "seed")
        _make_plain(self, float, "min_eos_p", "max_seconds")


def check_seed(seed: object) -> int:
    """Return the seed as an int. Raises: InvalidInput if it is not a whole number from 0 to 2**32 - 1."""
    if not is_whole(seed) or not 0 <= seed <= MAX_SEED:  # type: ignore[operator]
        raise InvalidInput(f"A seed of {seed!r} was given; it must be a whole number from 0 to {MAX_SEED}, or left out for one drawn at random.")
    return int(seed)  # type: ignore[call-overload]


def check_path(path: object) -> Path:
    """Return a path. Raises: InvalidInput where it is none: of another type, or with a NUL or a character that no file name can have."""
    if not isinstance(path, (str, os.PathLike)) or not isinstance(text := os.fspath(path), str):
        raise InvalidInput(f"A path of type {type(path).__name__} was given; it must be a string or a pathlib.Path.")
    try:
        if b"\0" in os.fsencode(text):
            raise InvalidInput(f"The path {text!r} holds a NUL character, which no file name can; leave it out.")
    except UnicodeEncodeError as error:
        raise InvalidInput(f"The path {text!r} holds a character that no file name here can; leave it out.") from error
    return Path(text)


def parse_json(text: str | bytes, parse_constant: Callable[[str], Any] | None = None) -> Any:
    """Return what a JSON text says. Raises: ValueError with a reason in words, also for nesting and numbers that Python does not take.

    `parse_constant`: what is made of NaN, Infinity and -Infinity, which are no JSON; None: the floats.
    """
    try:
        return json.loads(text, parse_int=_read_whole, parse_constant=parse_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _read_whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"it has a number of {len(digits)} digits")
    return int(digits)


def choose_seed() -> int:
    """Draw a seed from the system's randomness."""
    return secrets.randbelow(MAX_SEED + 1)


def derive_seed(seed: int, what: str, n: int) -> int:
    """Return the seed of a part: the n-th `what` ("utterance", "take" or "part") of what has `seed`.

    Stable: the first four bytes, big-endian, of the SHA-256 of "{seed} {what} {n}". So a part can be made again alone.
    """
    return int.from_bytes(hashlib.sha256(f"{seed} {what} {n}".encode()).digest()[:4], "big")


@dataclass(frozen=True, eq=False)
class History:
    """A voice's three arrays, int64: semantic (S,), coarse (2, T), fine (8, T')."""

    semantic: np.ndarray
    coarse: np.ndarray
    fine: np.ndarray


@dataclass(frozen=True, eq=False)
class AudioChunk:
    """A piece of speech: `audio` (n,) float32 at 24 kHz, `start` its first sample's index in the whole."""

    audio: np.ndarray
    start: int
    is_last: bool


@dataclass(frozen=True)
class Utterance:
    """A text short enough to be spoken at once, where in the script it stands, and, once spoken, when it sounds.

    `voice`: whatever the script's caller gave for its speaker; None: the voice of the whole. `pause_after_s`, and for
    the first one `pause_before_s`: silence beside it. `speaker`: the name of its line, if any. `line`, from 1: where it begins.
    `paragraph`, from 0. `heading`: the last heading at or above it. `start_s`, `end_s`, `seed`, `n_takes`: after speaking.
    """

    text: str
    voice: Any = None
    pause_after_s: float = 0.0
    pause_before_s: float = 0.0
    speaker: str | None = None
    line: int = 1
    paragraph: int = 0
    heading: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    seed: int | None = None
    n_takes: int = 0


MAX_PAUSE_S = 60.0
"""The longest silence that one place of a script may have."""


@dataclass(frozen=True)
class Pauses:
    """The silence between utterances, each from 0 to 60 s, where the script marks no other.

    `clause_s` stands where a sentence had to be cut at a comma or its like; where it had to be cut between words there is none.
    """

    sentence_s: float = 0.25
    speaker_s: float = 0.5
    paragraph_s: float = 0.8
    clause_s: float = 0.1

    def __post_init__(self) -> None:
        for name in ("sentence_s", "speaker_s", "paragraph_s", "clause_s"):
            value = getattr(self, name)
            if not _is_finite(value) or not 0 <= value <= MAX_PAUSE_S:
                raise InvalidInput(f"{name} was {value!r}; a pause must be a number of seconds from 0 to {MAX_PAUSE_S:g}.")
        _make_plain(self, float, "sentence_s", "speaker_s", "paragraph_s", "clause_s")


@dataclass
class Timings:
    """Where the time went: seconds and tokens by stage, seconds to the first audio, of audio and in all.

    `logprobs`: the mean log-probability of what was drawn, by stage: how sure the model was.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    first_audio_s: float = 0.0
    audio_s: float = 0.0
    wall_s: float = 0.0
    logprobs: dict[str, float] = field(default_factory=dict)

    @property
    def rtf(self) -> float:
        """Real-time factor, wall_s / audio_s: below 1 is faster than real time."""
        return self.wall_s / self.audio_s if self.audio_s else math.inf


def _make_plain(options: object, kind: type[int] | type[float], *names: str) -> None:
    """Make Python's own numbers of some fields of frozen options, where they are not None."""
    for name in names:
        value = getattr(options, name)
        if value is not None:
            object.__setattr__(options, name, kind(value))


def _is_finite(value: object) -> bool:
    if not isinstance(value, (int, float, np.integer, np.floating)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:  # a whole number of more digits than any float has
        return False


def is_whole(value: object) -> bool:
    """Tell whether a value is a whole number, Python's or numpy's, and no truth value."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def is_encodable(text: str) -> bool:
    """Tell whether a string can be written as UTF-8: that it holds no half of a surrogate pair."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
