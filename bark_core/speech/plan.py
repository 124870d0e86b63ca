"""A text and a voice → the lines that speak it, each with its voice and seed. Nothing is spoken here, and nothing is slow."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from bark_core.config import BarkConfig
from bark_core.errors import InvalidInput
from bark_core.speech.lines import Line, explain_left_out
from bark_core.speech.options import SpeechOptions
from bark_core.text.language import guess_language
from bark_core.text.numbers import spell_numbers
from bark_core.text.script import Limits, parse_script
from bark_core.text.wordpiece import TextEncoder
from bark_core.types import History, Utterance, derive_seed
from bark_core.voices.presets import tell_language
from bark_core.voices.voice import VoiceLike

FIRST_S = 3.0
"""About how long the first utterance of a long text is, so that a listener does not wait: the others are up to ten seconds."""

WHOLE = 1.3
"""How much longer than an utterance a text may be and still be left whole: 13 seconds where utterances have 10."""

ROOM = 0.65
"""The share of the longest speech that an utterance is planned for: a slow take must find its end before the ceiling."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What is to be spoken: the text as it was given, the voice that was asked for, the seed, and the utterances.

    `is_plain`: the text is one utterance, unchanged, and its audio is left as the codec gives it.
    """

    text: str
    voice: VoiceLike
    seed: int
    utterances: list[Utterance]
    is_plain: bool


def plan_text(
    text: str, voice: VoiceLike, seed: int, options: SpeechOptions, encoder: TextEncoder, config: BarkConfig, presets: Collection[str]
) -> Plan:
    """Return the utterances of a text. Raises: InvalidInput for a text that cannot be spoken, or a bad mark in it."""
    language = options.language or tell_language(voice)
    spell = spell_numbers if options.normalize else None
    if options.split is False:
        whole = spell(text, language or guess_language(text)) if spell and isinstance(text, str) else text
        return Plan(text, voice, seed, [Utterance(whole)], True)
    longest_s = config.max_semantic_steps / config.semantic_rate_hz
    limits = Limits(
        whole_s=FIRST_S if options.split is True else min(config.utterance_s * WHOLE, longest_s * 0.85),
        whole_tokens=encoder.max_tokens,
        utterance_s=min(config.utterance_s, longest_s * ROOM),
    )
    utterances = parse_script(
        text,
        options.voices,
        count_tokens=lambda part: len(encoder.tokenize(part)),
        language=language,
        presets=presets,
        pauses=options.pauses,
        limits=limits,
        first_s=FIRST_S,
        spell=spell,
    )
    is_plain = len(utterances) == 1 and utterances[0] == Utterance(utterances[0].text)
    return Plan(text, voice, seed, utterances, is_plain)


def make_lines(
    plan: Plan, script: int, resolve: Callable[[VoiceLike], History | None], encoder: TextEncoder
) -> tuple[list[Line], list[str]]:
    """Return the lines of a plan, and notes about what is left out of them.

    Seeds: the first utterance has the plan's own, the others are derived from it by their number. Raises: InvalidInput for
    a voice that cannot be used, or where no utterance can be spoken.
    """
    voices: dict[int, History | None] = {}

    def find(voice: VoiceLike) -> History | None:
        if id(voice) not in voices:
            voices[id(voice)] = resolve(voice)
        return voices[id(voice)]

    lines, notes = list[Line](), list[str]()
    for n, utterance in enumerate(plan.utterances):
        asked = plan.voice if utterance.voice is None else utterance.voice
        seed = derive_seed(plan.seed, "utterance", n) if n else plan.seed
        line = Line(script, replace(utterance, seed=seed), find(asked), asked is None, seed)
        try:
            encoder.encode(utterance.text)
        except InvalidInput as error:
            if len(plan.utterances) == 1:
                raise
            notes.append(explain_left_out(error))
            continue
        line.notes += encoder.note_unknown(utterance.text)
        lines.append(line)
    if not lines:
        raise InvalidInput(f"No part of the text can be spoken. {notes[0]}")
    return lines, notes
