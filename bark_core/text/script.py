"""A script → the utterances that speak it. Knows how much fits one utterance; who counts tokens and what a voice is, it is told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from bark_core.errors import InvalidInput
from bark_core.text.characters import check_characters, has_words
from bark_core.text.duration import estimate_seconds
from bark_core.text.language import guess_language
from bark_core.text.marks import Passage, check_voices, has_marks, read_script
from bark_core.text.pieces import Cut
from bark_core.text.splitting import Limits, Splitter, TokenCounter
from bark_core.types import Pauses, Utterance

MAX_CHARACTERS = 50_000

def check_text(text: str) -> str:
    """Return the text. Raises: InvalidInput where it is no text, too long, or has neither letter nor digit."""
    check_characters(text)
    if len(text) > MAX_CHARACTERS:
        raise InvalidInput(f"The text has {len(text)} characters; at most {MAX_CHARACTERS} are spoken at once. Split it, at chapters for example.")
    if not text.strip():
        raise InvalidInput("The text is empty; give at least one word to speak.")
    if not has_words(text):
        raise InvalidInput(f"The text {text.strip()!r:.80} has no letter and no digit, so there is nothing to speak; give at least one word.")
    return text


def needs_split(text: str, count_tokens: TokenCounter, voices: Mapping[str, Any] | None = None, limits: Limits | None = None) -> bool:
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
    spell: Callable[[str, str], str] | None = None,
) -> list[Utterance]:
    """Return the utterances of a text, in order: a text that is one, unchanged; else what fits `limits`, cut where it hurts least.

    `voices`: the voice of each name that may stand before a line, or in a [voice NAME]; any object, handed on as it is.
    `presets`: names that [voice NAME] may also have. `language`: one of Bark's 13; None: guessed. `first_s`: about how
    long the first utterance should be, for who waits for sound; None: as long as any. `spell`: rewrites what is spoken, given
    it and its language, before it is measured, as `numbers.spell_numbers` does.
    Raises: InvalidInput for a text of more than 50,000 characters, one with nothing to speak, a bad mark (quoted, with its
    line), more than 50 names, or a word too long for an utterance.
    """
    limits, pauses = limits or Limits(), pauses or Pauses()
    whole = spell(text, language or guess_language(text)) if spell and isinstance(text, str) else text
    if not needs_split(text, count_tokens, voices, limits) and (whole is text or not needs_split(whole, count_tokens, voices, limits)):
        return [Utterance(whole)]
    script = read_script(text, check_voices(voices), presets)
    splitter = Splitter(count_tokens, limits, language, spell)
    utterances: list[Utterance] = []
    for index, passage in enumerate(script.passages):
        parts = splitter.split(passage.text, passage.line, None if utterances else first_s)
        between_s = _pause_after(script.passages, index, pauses)
        for n, part in enumerate(parts):
            utterances.append(
                Utterance(
                    text=part.text,
                    voice=passage.voice,
                    pause_after_s=_pause_at(part.cut, pauses) if n + 1 < len(parts) else between_s,
                    pause_before_s=0.0 if utterances else script.lead_s,
                    speaker=passage.speaker,
                    line=part.line,
                    paragraph=passage.paragraph,
                    heading=passage.heading,
                )
            )
    return utterances


def _pause_after(passages: list[Passage], index: int, pauses: Pauses) -> float:
    passage = passages[index]
    if passage.pause_s is not None:
        return passage.pause_s
    if index + 1 == len(passages):
        return 0.0
    after = passages[index + 1]
    if after.paragraph != passage.paragraph:
        return pauses.paragraph_s
    return pauses.speaker_s if after.speaker != passage.speaker else pauses.sentence_s


def _pause_at(cut: Cut, pauses: Pauses) -> float:
    return {Cut.SENTENCE: pauses.sentence_s, Cut.CLAUSE: pauses.clause_s}.get(cut, 0.0)
