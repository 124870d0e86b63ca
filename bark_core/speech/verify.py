"""Whether what was spoken is what was written: Whisper writes down what it hears, and the two are compared word by word.

Needs the extra `verify`. Knows no tokens and no stages.
"""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from typing import Any

import numpy as np

from bark_core.audio.samples import resample
from bark_core.errors import InvalidInput
from bark_core.speech.narrate import Listener
from bark_core.stages.run import Result

MODEL_VARIABLE = "BARK_ASR_MODEL"
"""Names the recogniser: a size that faster-whisper knows, or the folder of a converted model."""

MIN_RATIO = 0.8
"""Below this share of words in common a take is drawn again: a word in five misheard."""

WHISPER_RATE_HZ = 16_000


class Recogniser:
    """Whisper on the CPU."""

    def __init__(self, name: str | None = None) -> None:
        """Load the model that `name`, else BARK_ASR_MODEL, names; "base" where neither does. Raises: InvalidInput where it cannot be had."""
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise InvalidInput('verify="asr" needs the package faster-whisper: pip install "bark-core[verify]".') from error
        name = name or os.environ.get(MODEL_VARIABLE) or "base"
        try:
            self._model: Any = WhisperModel(name, device="cpu", compute_type="int8")
        except Exception as error:  # it raises whatever its parts raise: a missing folder, a hub that is not reached
            reason = str(error).strip().split("\n")[0][:200]
            raise InvalidInput(f"The recogniser {name!r} cannot be loaded: {reason}. Name a size or a model's folder in {MODEL_VARIABLE}.") from error

    def hear(self, audio: np.ndarray, sample_rate_hz: int, language: str | None = None) -> str:
        """Return what is heard in audio (N,) float32. `language`: one of Bark's 13; None: found out from the sound."""
        heard = resample(audio, sample_rate_hz, WHISPER_RATE_HZ)
        segments, _ = self._model.transcribe(heard, language=language, beam_size=3, condition_on_previous_text=False)
        return " ".join(segment.text.strip() for segment in segments)


def compare_words(written: str, heard: str) -> float:
    """Return how much of two texts agrees, 0 to 1, by words; by characters in scripts that have no spaces. Marks and cases do not count."""
    one, other = _words(written), _words(heard)
    if not one:
        return 1.0  # laughter and music alone say nothing that could be misheard
    return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()


def _words(text: str) -> list[str]:
    bare = re.sub(r"\[[^\]]*\]|^\s*[A-Z]+:", " ", text)
    folded = unicodedata.normalize("NFC", "".join(c for c in unicodedata.normalize("NFKD", bare.casefold()) if not unicodedata.combining(c)))
    pieces = re.findall(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+", folded.replace("'", ""))
    return [piece for piece in pieces if piece]


def make_listener(sample_rate_hz: int, language: str | None) -> Listener:
    """Return what tells whether a take is understood. Raises: InvalidInput where there is no recogniser."""
    recogniser = Recogniser()

    def listen(text: str, result: Result) -> str | None:
        heard = recogniser.hear(result.audio, sample_rate_hz, language)
        ratio = compare_words(text, heard)
        return None if ratio >= MIN_RATIO else f"was heard as {heard[:80]!r} ({ratio:.0%} of the words)"

    return listen
