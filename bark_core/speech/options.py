"""What callers may ask of a text besides how it is drawn: splitting, speakers, pauses, takes. Checked once, before anything slow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypedDict

from bark_core.errors import InvalidInput
from bark_core.speech.takes import TakeOptions
from bark_core.types import Pauses
from bark_core.voices.presets import LANGUAGES
from bark_core.voices.voice import VoiceLike

Split = bool | Literal["auto"]


class SpeechKeywords(TypedDict, total=False):
    """What `generate`, `generate_batch` and `stream` take by name, as SpeechOptions describes it."""

    split: Split
    voices: Mapping[str, VoiceLike] | None
    pauses: Pauses
    language: str | None
    normalize: Literal["numbers"] | None
    n_takes: int
    all_takes: bool
    retry: bool
    max_retries: int
    verify: Literal["asr"] | None


@dataclass(frozen=True, kw_only=True)
class SpeechOptions:
    """How a text becomes utterances, and how often each is drawn.

    `split`: "auto" splits a text that is too long for one utterance, has marks or lines of named speakers; True every text
    of several sentences, for the earliest first sound; False none, as the original. `voices`: the voice of each NAME that may
    stand before a line (`NAME: text`) or in `[voice NAME]`. `pauses`: the silence between utterances. `language`: the text's,
    one of Bark's 13; None: the voice's, else guessed. `normalize`: "numbers" spells numbers out. `n_takes`: 1 to 8 takes of each
    utterance, of which the best is kept; `all_takes` gives the others, too. `retry`: draw a bad take again, at most
    `max_retries` (0 to 5) times, and split what comes to no end. `verify`: "asr" also draws again what is not understood.
    """

    split: Split = "auto"
    voices: Mapping[str, VoiceLike] | None = None
    pauses: Pauses = field(default_factory=Pauses)
    language: str | None = None
    normalize: Literal["numbers"] | None = None
    n_takes: int = 1
    all_takes: bool = False
    retry: bool = True
    max_retries: int = 2
    verify: Literal["asr"] | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.split, bool) or self.split == "auto"):
            raise InvalidInput(f'split was {self.split!r}; it must be "auto", True or False.')
        if self.voices is not None and not isinstance(self.voices, Mapping):
            raise InvalidInput(f"voices was a {type(self.voices).__name__}; it must map names to voices, as {{'ANNA': 'v2/en_speaker_9'}}.")
        if not isinstance(self.pauses, Pauses):
            raise InvalidInput(f"pauses was {self.pauses!r}; it must be a Pauses, as Pauses(sentence_s=0.25).")
        if self.language is not None and self.language not in LANGUAGES:
            raise InvalidInput(f"language was {self.language!r}; it must be one of {', '.join(LANGUAGES)}, or left out.")
        if self.normalize not in (None, "numbers"):
            raise InvalidInput(f'normalize was {self.normalize!r}; it must be "numbers" or None.')
        _ = self.takes

    @property
    def takes(self) -> TakeOptions:
        """How often each utterance is drawn. Raises: InvalidInput for what is out of range."""
        return TakeOptions(self.n_takes, self.retry, self.max_retries, self.verify, self.all_takes)
