"""The stages one by one, each for some arrays together: what the library's calls for single stages run.

Generators throughout: a step is yielded as (stage, done, total), closing one stops the work, and what a stage made is
what its generator returns. Knows no voice names, files or texts beyond their token ids.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import TypeVar

import numpy as np

from bark_core.engine.runtime import Runtime
from bark_core.stages.jobs import Job, Randomness, Result, SemanticTake, check_takes
from bark_core.stages.lanes import LANES, Lane, Passage
from bark_core.types import GenerateOptions, History, SamplingOptions

T = TypeVar("T")
Steps = Generator[tuple[str, int, int], None, T]
OnProgress = Callable[[str, int, int], None]
"""Called with (stage, done, total) after each step; what it raises stops the work."""

SEMANTIC, COARSE, FINE, CODEC = LANES


def speak(runtime: Runtime, jobs: Sequence[Job], options: GenerateOptions, n_slots: int = 1) -> Steps[list[Result]]:
    """Run jobs through all stages, `n_slots` at a time, each stage for all of them before the next.

    Raises: GenerationError where every draw of one ended before its first token.
    """
    passages = [Passage(job, options) for job in jobs]
    for make in LANES:
        if make is not SEMANTIC:
            for passage in passages:
                passage.go_on()
        yield from run_lane(make(runtime, n_slots), passages)
        if make is SEMANTIC:
            check_takes(runtime.config, jobs, [_take_of(each) for each in passages])
    return [each.result() for each in passages]


def speak_semantic(runtime: Runtime, jobs: Sequence[Job], options: GenerateOptions, n_slots: int = 1) -> Steps[list[np.ndarray]]:
    """Return each job's semantic tokens (S,). Raises: GenerationError where every draw of one ended before its first token."""
    passages = [Passage(job, options) for job in jobs]
    yield from run_lane(SEMANTIC(runtime, n_slots), passages)
    check_takes(runtime.config, jobs, [_take_of(each) for each in passages])
    return [each.semantic for each in passages]


def speak_coarse(
    runtime: Runtime,
    semantic: Sequence[np.ndarray],
    voices: Sequence[History | None],
    randomness: Sequence[Randomness],
    options: SamplingOptions,
    n_slots: int = 1,
) -> Steps[list[np.ndarray]]:
    """Return the codes of codebooks 0 and 1 (2, T) for each array of semantic tokens (S,)."""
    how = GenerateOptions(0, coarse=options)
    passages = [
        Passage(Job("", (), voice, source), how, "coarse", take=SemanticTake(tokens, 0.0, False, False))
        for tokens, voice, source in zip(semantic, voices, randomness, strict=True)
    ]
    yield from run_lane(COARSE(runtime, n_slots), passages)
    return [each.coarse for each in passages if each.coarse is not None]


def speak_fine(
    runtime: Runtime,
    coarse: Sequence[np.ndarray],
    voices: Sequence[History | None],
    randomness: Sequence[Randomness],
    options: SamplingOptions,
    n_slots: int = 1,
) -> Steps[list[np.ndarray]]:
    """Return the codes of all codebooks (8, T) for each array of coarse codes (2, T)."""
    how = GenerateOptions(0, fine=options)
    passages = [
        Passage(Job("", (), voice, source), how, "fine", coarse=codes) for codes, voice, source in zip(coarse, voices, randomness, strict=True)
    ]
    yield from run_lane(FINE(runtime, n_slots), passages)
    return [each.fine for each in passages if each.fine is not None]


def decode_audio(runtime: Runtime, fine: Sequence[np.ndarray]) -> Steps[list[np.ndarray]]:
    """Return the audio (320 T,) float32 of each array of codes (8, T).

    Raises: GenerationError where the codec gives something other than numbers.
    """
    passages = [Passage(Job("", (), None, Randomness(0)), GenerateOptions(0), "codec", fine=codes) for codes in fine]
    yield from run_lane(CODEC(runtime, 1), passages)
    return [each.audio for each in passages if each.audio is not None]


def run_lane(lane: Lane, passages: Sequence[Passage]) -> Steps[None]:
    """Take passages through one stage. Raises: what ended one of them."""
    with closing(lane):
        for passage in passages:
            lane.add(passage)
        while len(lane):
            for passage in lane.step():
                if passage.error is not None:
                    raise passage.error
            yield lane.stage, sum(each.done for each in passages), sum(each.total for each in passages)


def _take_of(passage: Passage) -> SemanticTake:
    assert passage.take is not None
    return passage.take


def drain(steps: Steps[T], on_progress: OnProgress | None = None) -> T:
    """Run steps to their end, telling `on_progress` of each; return what they return."""
    with closing(steps):
        while True:
            try:
                event = next(steps)
            except StopIteration as end:
                return end.value
            if on_progress is not None:
                on_progress(*event)
