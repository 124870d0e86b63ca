"""The four stages on a runtime: jobs go through each of them together, step by step, each with its own randomness.

Generators throughout: a step is yielded as (stage, done, total), closing one stops the work, and what a stage made is
what its generator returns. Knows no voice names, files or texts beyond their token ids.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch

from bark_core.config import BarkConfig
from bark_core.engine.modes import computing
from bark_core.engine.runtime import Runtime
from bark_core.engine.sampling import explain_nan
from bark_core.errors import GenerationError, InvalidInput
from bark_core.stages.coarse import CoarseRow, count_steps, run_coarse
from bark_core.stages.fine import FineRow, run_fine
from bark_core.stages.semantic import SemanticRow, run_semantic
from bark_core.types import GenerateOptions, History, SamplingOptions, check_seed, choose_seed

T = TypeVar("T")
Steps = Generator[tuple[str, int, int], None, T]
OnProgress = Callable[[str, int, int], None]
"""Called with (stage, done, total) after each step; what it raises stops the work."""


class Randomness:
    """A seed's generators, one for each device that draws: on one device, one generator goes through all stages.

    `seed`: a whole number, None for one chosen at random, or a generator to go on with.
    """

    def __init__(self, seed: int | torch.Generator | None) -> None:
        self._given = seed if isinstance(seed, torch.Generator) else None
        self._seed = 0 if isinstance(seed, torch.Generator) else choose_seed() if seed is None else check_seed(seed)
        self._generators: dict[torch.device, torch.Generator] = {}

    def on(self, device: torch.device) -> torch.Generator:
        """Return the generator for a device. Raises: InvalidInput where one was given that lives elsewhere."""
        if self._given is not None:
            if self._given.device.type != device.type:
                raise InvalidInput(f"The generator given is on {self._given.device}, and this stage draws on {device}; make it there or give a seed.")
            return self._given
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self._seed)
        return self._generators[device]


@dataclass(eq=False)
class Job:
    """One text on its way: its token ids, the voice that it follows, its randomness, and the text as messages show it.

    `notes` are sentences for the caller: whoever meets something that should be known adds one.
    """

    text: str
    text_ids: Sequence[int]
    voice: History | None
    randomness: Randomness
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class SemanticTake:
    """What one drawing of semantic tokens gave: tokens (S,) int64 and their mean log-probability.

    `failed`: the speech ended before its first token, each time it was drawn. `reached_ceiling`: it took all the tokens
    that one utterance may have, and found no end.
    """

    tokens: np.ndarray
    logprob: float
    failed: bool
    reached_ceiling: bool


@dataclass(frozen=True, eq=False)
class Result:
    """What the stages made of one job: semantic (S,), coarse (2, T), fine (8, T) int64, audio (320 T,) float32.

    `logprobs`: the mean log-probability of what was drawn, by stage.
    """

    semantic: np.ndarray
    coarse: np.ndarray
    fine: np.ndarray
    audio: np.ndarray
    logprobs: dict[str, float]


def speak(
    runtime: Runtime, jobs: Sequence[Job], options: GenerateOptions, n_slots: int = 1, seconds: dict[str, float] | None = None
) -> Steps[list[Result]]:
    """Run jobs through all stages, `n_slots` at a time; add the seconds that each takes to `seconds`.

    Raises: GenerationError where every draw of one ended before its first token.
    """
    seconds = {} if seconds is None else seconds
    takes = yield from take_semantic(runtime, jobs, options, n_slots, seconds)
    check_takes(runtime.config, jobs, takes)
    return (yield from finish_takes(runtime, jobs, takes, options, n_slots, seconds))


def take_semantic(
    runtime: Runtime, jobs: Sequence[Job], options: GenerateOptions, n_slots: int, seconds: dict[str, float]
) -> Steps[list[SemanticTake]]:
    """Draw each job's semantic tokens once; what came of it is the caller's to judge."""
    return (yield from _timed("semantic", seconds, _take_semantic(runtime, jobs, options, n_slots)))


def finish_takes(
    runtime: Runtime, jobs: Sequence[Job], takes: Sequence[SemanticTake], options: GenerateOptions, n_slots: int, seconds: dict[str, float]
) -> Steps[list[Result]]:
    """Run semantic tokens through the other stages."""
    semantic, voices, randomness = [take.tokens for take in takes], [job.voice for job in jobs], [job.randomness for job in jobs]
    coarse = yield from _timed("coarse", seconds, _run_coarse(runtime, semantic, voices, randomness, options.coarse, n_slots))
    codes = [row.codes() for row in coarse]
    fine = yield from _timed("fine", seconds, _run_fine(runtime, codes, voices, randomness, options.fine, n_slots))
    audio = yield from _timed("codec", seconds, decode_audio(runtime, [row.codes() for row in fine]))
    return [
        Result(take.tokens, codes[i], fine[i].codes(), audio[i], {"semantic": take.logprob, "coarse": coarse[i].logprob, "fine": fine[i].logprob})
        for i, take in enumerate(takes)
    ]


def check_takes(config: BarkConfig, jobs: Sequence[Job], takes: Sequence[SemanticTake]) -> None:
    """Note what was cut off at the ceiling. Raises: GenerationError for a take without tokens."""
    for job, take in zip(jobs, takes, strict=True):
        if take.failed:
            raise GenerationError(explain_failure(job.text))
        if take.reached_ceiling:
            job.notes.append(explain_ceiling(config))


def explain_failure(text: str) -> str:
    """Return the sentence for a text whose every draw ended before its first token."""
    return (
        f"The model ended the speech of {text[:60]!r} before it began, four times over. "
        "Try another seed, a longer or clearer text, or another voice."
    )


def explain_ceiling(config: BarkConfig) -> str:
    """Return the sentence for speech that found no end."""
    longest_s = config.max_semantic_steps / config.semantic_rate_hz
    return (
        f"The speech was cut off at {config.max_semantic_steps} semantic tokens ({longest_s:.1f} seconds), the most that there are, "
        "before it came to an end: speak the text in shorter pieces."
    )


def speak_semantic(runtime: Runtime, jobs: Sequence[Job], options: GenerateOptions, n_slots: int = 1) -> Steps[list[np.ndarray]]:
    """Return each job's semantic tokens (S,). Raises: GenerationError where every draw of one ended before its first token."""
    takes = yield from _take_semantic(runtime, jobs, options, n_slots)
    check_takes(runtime.config, jobs, takes)
    return [take.tokens for take in takes]


def _take_semantic(runtime: Runtime, jobs: Sequence[Job], options: GenerateOptions, n_slots: int) -> Steps[list[SemanticTake]]:
    model, config = runtime.causal("semantic"), runtime.config
    device = runtime.placement["semantic"].device
    rows = []
    for job in jobs:
        past = None if job.voice is None else job.voice.semantic
        rows.append(SemanticRow(model, config, job.text_ids, past, job.randomness.on(device), options.max_seconds))
    total = config.max_semantic_steps * len(rows)
    with (
        runtime.present("semantic"),
        runtime.lend_engine("semantic", min(n_slots, len(rows))) as engine,
        closing(run_semantic(engine, rows, options.semantic, options.min_eos_p)) as steps,
    ):
        for _ in steps:
            yield "semantic", min(sum(len(row.tokens) for row in rows), total - 1), total
    yield "semantic", total, total
    return [SemanticTake(np.array(row.tokens, dtype=np.int64), row.logprob, row.failed, row.reached_ceiling) for row in rows]


def speak_coarse(
    runtime: Runtime,
    semantic: Sequence[np.ndarray],
    voices: Sequence[History | None],
    randomness: Sequence[Randomness],
    options: SamplingOptions,
    n_slots: int = 1,
) -> Steps[list[np.ndarray]]:
    """Return the codes of codebooks 0 and 1 (2, T) for each array of semantic tokens (S,)."""
    rows = yield from _run_coarse(runtime, semantic, voices, randomness, options, n_slots)
    return [row.codes() for row in rows]


def _run_coarse(
    runtime: Runtime,
    semantic: Sequence[np.ndarray],
    voices: Sequence[History | None],
    randomness: Sequence[Randomness],
    options: SamplingOptions,
    n_slots: int,
) -> Steps[list[CoarseRow]]:
    model, config = runtime.causal("coarse"), runtime.config
    device = runtime.placement["coarse"].device
    total = sum(count_steps(config, len(tokens)) for tokens in semantic)
    rows = [
        CoarseRow(model, config, tokens, voice, source.on(device))
        for tokens, voice, source in zip(semantic, voices, randomness, strict=True)
    ]
    with (
        runtime.present("coarse"),
        runtime.lend_engine("coarse", min(n_slots, len(rows))) as engine,
        closing(run_coarse(engine, rows, options)) as steps,
    ):
        for _ in steps:
            yield "coarse", sum(row.n_done for row in rows), total
    return rows


def speak_fine(
    runtime: Runtime,
    coarse: Sequence[np.ndarray],
    voices: Sequence[History | None],
    randomness: Sequence[Randomness],
    options: SamplingOptions,
    n_slots: int = 1,
) -> Steps[list[np.ndarray]]:
    """Return the codes of all codebooks (8, T) for each array of coarse codes (2, T)."""
    rows = yield from _run_fine(runtime, coarse, voices, randomness, options, n_slots)
    return [row.codes() for row in rows]


def _run_fine(
    runtime: Runtime,
    coarse: Sequence[np.ndarray],
    voices: Sequence[History | None],
    randomness: Sequence[Randomness],
    options: SamplingOptions,
    n_slots: int,
) -> Steps[list[FineRow]]:
    model, config = runtime.fine, runtime.config
    device = runtime.placement["fine"].device
    rows = [FineRow(config, codes, voice, source.on(device)) for codes, voice, source in zip(coarse, voices, randomness, strict=True)]
    total, done = (config.n_fine_codebooks - config.n_coarse_codebooks) * sum(row.n_loops for row in rows), 0
    with runtime.present("fine"), closing(run_fine(model, config, rows, options, runtime.n_windows(n_slots))) as steps:
        for active in steps:
            done += len(active)
            yield "fine", done, total
    return rows


def decode_audio(runtime: Runtime, fine: Sequence[np.ndarray]) -> Steps[list[np.ndarray]]:
    """Return the audio (320 T,) float32 of each array of codes (8, T), one by one, so that none sees another's padding.

    Raises: GenerationError where the codec gives something other than numbers.
    """
    codec = runtime.codec
    made = []
    with runtime.present("codec"):
        for codes in fine:
            with computing():
                audio = codec(torch.from_numpy(codes).to(codec.codebooks.device)).float().cpu().numpy()
            if not np.isfinite(audio).all():
                raise explain_nan("codec", "samples")
            made.append(audio)
            yield "codec", len(made), len(fine)
    return made


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


def _timed(stage: str, seconds: dict[str, float], steps: Steps[T]) -> Steps[T]:
    """Pass steps on and add up the seconds spent inside them, not those of whoever listens."""
    seconds.setdefault(stage, 0.0)
    with closing(steps):
        while True:
            begin = time.perf_counter()
            try:
                event = next(steps)
            except StopIteration as end:
                return end.value
            finally:
                seconds[stage] += time.perf_counter() - begin
            yield event
