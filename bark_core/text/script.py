"""A script → the utterances that speak it. Knows how much fits one utterance; who counts tokens and what a voice is, it is told."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bark_core.errors import InvalidInput
from bark_core.text.duration import estimate_seconds
from bark_core.text.marks import Passage, check_voices, has_marks, read_passages
from bark_core.text.sentences import split_sentences
from bark_core.types import Pauses, Utterance

MAX_CHARACTERS = 50_000

TokenCounter = Callable[[str], int]
"""Returns how many tokens a text is, as `len(encoder.tokenize(text))`. Never called with white space alone."""


REFERENCE = (
    "When the old man came to the house in the evening, there was no light in the window, and nobody said a word to him "
    "before he went back to the city where his mother lived, alone."
)
"""Speech of about ten seconds in common words."""


@dataclass(frozen=True)
class Limits:
    """How much one utterance may be. A text up to `whole_s` and `whole_tokens` is left whole; what is cut is cut into less."""

    whole_s: float = 13.0
    whole_tokens: int = 256
    utterance_s: float = 10.0
    utterance_tokens: int | None = None

    def measure(self, count_tokens: TokenCounter) -> Limits:
        """Return these limits with `utterance_tokens` a number: where None, as many as REFERENCE has, 40 in BERT's vocabulary."""
        tokens = count_tokens(REFERENCE) if self.utterance_tokens is None else self.utterance_tokens
        return replace(self, utterance_tokens=min(tokens, self.whole_tokens))


def check_text(text: str) -> str:
    """Return the text. Raises: InvalidInput where it is no text, too long, or has neither letter nor digit."""
    if not isinstance(text, str):
        raise InvalidInput(f"The text was a {type(text).__name__}; give a string.")
    if len(text) > MAX_CHARACTERS:
        raise InvalidInput(f"The text has {len(text)} characters; at most {MAX_CHARACTERS} are spoken at once. Split it, at chapters for example.")
    if not text.strip():
        raise InvalidInput("The text is empty; give at least one word to speak.")
    if not re.search(r"[^\W_]", text):
        raise InvalidInput(f"The text {text.strip()!r:.80} has no letter and no digit, so there is nothing to speak; give at least one word.")
    return text


def needs_split(
    text: str, count_tokens: TokenCounter, voices: Mapping[str, Any] | None = None, limits: Limits | None = None
) -> bool:
    """Tell whether a text has marks, lines of named speakers, or more than fits one utterance. Raises: as `parse_script`."""
    limits = limits or Limits()
    check_text(text)
    if has_marks(text, check_voices(voices)):
        return True
    return estimate_seconds(text) > limits.whole_s or count_tokens(text) > limits.whole_tokens


def parse_script(
    text: str,
    voices: Mapping[str, Any] | None = None,
    *,
    count_tokens: TokenCounter,
    language: str | None = None,
    presets: Collection[str] = (),
    pauses: Pauses | None = None,
    limits: Limits | None = None,
    first_s: float | None = None,
) -> list[Utterance]:
    """Return the utterances of a text, in order: a text that is one, unchanged; else what fits `limits`, cut where it hurts least.

    `voices`: the voice of each name that may stand before a line, or in a [voice NAME]; any object, handed on as it is.
    `presets`: names that [voice NAME] may also have. `language`: one of Bark's 13; None: guessed. `first_s`: about how
    long the first utterance should be, for who waits for sound; None: as long as any.
    Raises: InvalidInput for a text of more than 50,000 characters, one with nothing to speak, a bad mark (quoted, with its
    line), more than 50 names, or a word too long for an utterance.
    """
    limits, pauses = (limits or Limits()).measure(count_tokens), pauses or Pauses()
    if not needs_split(text, count_tokens, voices, limits):
        return [Utterance(text)]
    lead_s, passages = read_passages(text, check_voices(voices), presets)
    if not passages:
        raise InvalidInput("The script has only marks; give at least one word to speak.")
    utterances: list[Utterance] = []
    for index, passage in enumerate(passages):
        after = passages[index + 1] if index + 1 < len(passages) else None
        texts = _split_passage(passage, count_tokens, replace(limits, utterance_s=first_s or 10.0) if not utterances else limits, language)
        for n, part in enumerate(texts):
            pause_s = pauses.sentence_s if n + 1 < len(texts) else _pause_between(passage, after, pauses)
            utterances.append(
                Utterance(
                    part,
                    passage.voice,
                    pause_s,
                    0.0 if utterances else lead_s,
                    passage.speaker,
                    passage.line,
                    passage.paragraph,
                    passage.heading,
                )
            )
    return utterances


def _pause_between(passage: Passage, after: Passage | None, pauses: Pauses) -> float:
    if passage.pause_s is not None:
        return passage.pause_s
    if after is None:
        return 0.0
    if after.paragraph != passage.paragraph:
        return pauses.paragraph_s
    return pauses.speaker_s if after.speaker != passage.speaker else pauses.sentence_s


def _split_passage(passage: Passage, count_tokens: TokenCounter, limits: Limits, language: str | None) -> list[str]:
    parts: list[str] = []
    words: list[str] = []
    seconds, tokens = 0.0, 0
    for sentence in split_sentences(passage.text, language):
        for word in sentence.split() if estimate_seconds(sentence) > limits.utterance_s else [" ".join(sentence.split())]:
            more_s, more = estimate_seconds(word + " "), count_tokens(word)
            if words and (seconds + more_s > limits.utterance_s or tokens + more > (limits.utterance_tokens or 0)):
                parts.append(" ".join(words))
                words, seconds, tokens = [], 0.0, 0
            words.append(word)
            seconds, tokens = seconds + more_s, tokens + more
    return [*parts, " ".join(words)] if words else parts
