"""What a speech records of itself: everything that makes it again, as plain values for JSON; and the generation that carries it.

Knows no models and no files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bark_core.config import BarkConfig
from bark_core.speech.assemble import Assembly
from bark_core.speech.generation import Generation
from bark_core.speech.lines import Line
from bark_core.speech.options import SpeechOptions
from bark_core.speech.session import Session
from bark_core.types import GenerateOptions, Utterance
from bark_core.voices.voice import VoiceLike, describe_voice


def describe_sampling(options: GenerateOptions) -> dict[str, Any]:
    """Return how tokens are drawn, under the names that `Bark.generate` takes."""
    return {
        "seed": options.seed,
        "text_temp": options.semantic.temperature,
        "waveform_temp": options.coarse.temperature,
        "fine_temp": options.fine.temperature,
        "min_eos_p": options.min_eos_p,
        "top_k": options.semantic.top_k,
        "top_p": options.semantic.top_p,
        "max_seconds": options.max_seconds,
    }


def describe_speech(options: SpeechOptions) -> dict[str, Any]:
    """Return what was asked for besides, where it is not the default; voices by their names alone."""
    default = SpeechOptions()
    asked = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    described = {name: value for name, value in asked.items() if value != getattr(default, name)}
    if "voices" in described:
        described["voices"] = sorted(described["voices"])
    if "pauses" in described:
        described["pauses"] = dataclasses.asdict(options.pauses)
    return described


def describe_utterance(line: Line, utterance: Utterance, asked: VoiceLike, presets: Sequence[str]) -> dict[str, Any]:
    """Return one utterance: text, speaker, voice, when it sounds, and the seed that makes it again alone with that voice."""
    return {
        "text": utterance.text,
        "speaker": utterance.speaker,
        "voice": describe_voice(asked, line.takes[0].job.voice, presets),
        "start_s": round(utterance.start_s or 0.0, 3),
        "end_s": round(utterance.end_s or 0.0, 3),
        "seed": utterance.seed,
        "n_takes": utterance.n_takes,
    }


def make_generation(
    assembly: Assembly, session: Session, made_with: Mapping[str, Any], presets: Sequence[str], config: BarkConfig
) -> Generation:
    """Return what was assembled, with all that makes it again. `made_with`: the model's name, digest and precision, and the version."""
    plan, audio = assembly.plan, assembly.audio.take()
    voice = assembly.spoken[0][0].voice if assembly.spoken else None
    settings = {
        "text": plan.text,
        "voice": describe_voice(plan.voice, None if plan.voice is None else voice, presets),
        **describe_sampling(replace(session.options, seed=plan.seed)),
        **describe_speech(session.speech),
        **made_with,
        "notes": assembly.notes,
    }
    if not assembly.is_plain:
        settings["utterances"] = [
            describe_utterance(line, utterance, plan.voice if utterance.voice is None else utterance.voice, presets)
            for line, utterance in assembly.spoken
        ]
    whole = Generation(
        *(audio, *assembly.tokens(), plan.seed, assembly.time(session.seconds, len(audio)), settings, config.sample_rate_hz, config),
        notes=tuple(assembly.notes),
        reached_ceiling=assembly.reached_ceiling,
        utterances=tuple(utterance for _, utterance in assembly.spoken),
    )
    if not session.speech.all_takes:
        return whole
    takes = [
        replace(
            whole,
            **{name: getattr(take.result, name) for name in ("audio", "semantic", "coarse", "fine")},
            seed=take.seed,
            settings={**settings, "text": line.utterance.text, "seed": take.seed, "n_takes": 1},
            notes=(),
            utterances=(),
        )
        for line, _ in assembly.spoken
        for take in line.takes
        if take.result is not None
    ]
    return replace(whole, takes=tuple(takes))
