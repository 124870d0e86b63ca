"""Utterances spoken in order: which are drawn together, which take of each is kept, and what is drawn again.

Generators throughout: progress and finished utterances are yielded as they come, and closing one stops the work. Knows no
voice names, no files, and nothing of how pieces are joined.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TypeVar

from bark_core.engine.runtime import Runtime
from bark_core.errors import GenerationError, InvalidInput
from bark_core.speech.takes import TakeOptions, find_fault, is_silent, score_take
from bark_core.stages.run import Job, Randomness, Result, SemanticTake, Steps, explain_ceiling, explain_failure, finish_takes, take_semantic
from bark_core.text.duration import estimate_seconds
from bark_core.text.script import Limits, parse_script
from bark_core.text.wordpiece import TextEncoder
from bark_core.types import GenerateOptions, History, Pauses, Utterance, derive_seed
from bark_core.voices.voice import check_history

T = TypeVar("T")
Event = tuple[str, int, int]
Listener = Callable[[str, Result], str | None]
"""Hears a take of a text; returns what is wrong with it, as the end of a sentence, or None."""

MAX_SPLITS = 3
"""How often an utterance that found no end is halved."""


@dataclass(eq=False)
class Take:
    """One drawing of a line: its job and seed, its semantic tokens, how good it is and what is wrong with it; later its result."""

    job: Job
    seed: int
    semantic: SemanticTake
    score: float
    fault: str | None
    result: Result | None = None


@dataclass(eq=False)
class Line:
    """One utterance on its way.

    `script`: which of several texts it is from. `voice`: the one it was given. `follows`: it was given none, and takes the
    tokens of its script's first such utterance for one. `seed`: of its first take. `takes`: those drawn, the best first.
    """

    script: int
    utterance: Utterance
    voice: History | None
    follows: bool
    seed: int
    notes: list[str] = field(default_factory=list)
    takes: list[Take] = field(default_factory=list)
    n_drawn: int = 0
    n_retries: int = 0
    n_splits: int = 0

    @property
    def is_done(self) -> bool:
        """Tell whether a take went through all stages, or none can."""
        return bool(self.takes) and (self.takes[0].result is not None or self.takes[0].semantic.failed)


class Narrator:
    """Speaks lines on a runtime, `batch_size` rows at a time."""

    def __init__(
        self,
        runtime: Runtime,
        encoder: TextEncoder,
        options: GenerateOptions,
        takes: TakeOptions,
        batch_size: int = 8,
        listener: Listener | None = None,
    ) -> None:
        self._runtime, self._encoder, self._config = runtime, encoder, runtime.config
        self._options, self._takes, self._batch_size = options, takes, batch_size
        self._listener = listener
        self._leads: dict[int, History | None] = {}  # by script: the voice that its first utterance gave
        self._waiting: list[Line] = []
        self.seconds: dict[str, float] = {}

    def count_waiting(self, script: int) -> int:
        """Return how many lines of a script are still to come."""
        return sum(line.script == script for line in self._waiting)

    def speak(self, lines: Sequence[Line], chunk_size: int, is_streamed: bool = False) -> Generator[Event | Line]:
        """Speak lines, at most `chunk_size` through all stages together; yield progress, and each line when it is done.

        The lines of one script come in order. `is_streamed`: the first of all waits for no other, and the next chunks are small,
        so that each is there before what came before it was heard.
        Raises: GenerationError where the only line of all cannot be spoken; of several it is left out, with a note.
        """
        waiting = self._waiting
        waiting[:] = lines
        meter = _Meter(len(waiting))
        size = 1 if is_streamed else chunk_size
        while waiting:
            chunk = self._choose(waiting, size)
            size = min(2 * size, chunk_size)
            meter.n_chunk, meter.n_lines = len(chunk), meter.n_done + len(waiting)
            yield from meter.follow(self._draw(chunk))
            self._split_endless(chunk, waiting)
            yield from meter.follow(self._finish([line for line in chunk if line.takes]))
            for line in self._collect(chunk, len(lines)):
                waiting.remove(line)
                meter.n_done += 1
                yield line

    def _choose(self, waiting: Sequence[Line], size: int) -> list[Line]:
        """Return the first lines that can be spoken now: of each script those before one whose voice is still to come."""
        chosen: list[Line] = []
        leading, blocked = set[int](), set[int]()
        for line in waiting:
            if line.script in blocked:
                continue
            if line.follows and line.script not in self._leads:
                if line.script in leading:
                    blocked.add(line.script)
                    continue
                leading.add(line.script)
            chosen.append(line)
            if len(chosen) == size:
                break
        return chosen

    def _draw(self, lines: Sequence[Line]) -> Steps[None]:
        """Draw semantic tokens for lines that have none, and again for bad takes as often as is allowed."""
        asking = [line for line in lines if not line.takes]
        while asking:
            drawn = [(line, *self._next_job(line)) for line in asking for _ in range(1 if line.n_drawn else self._takes.n_takes)]
            made = yield from take_semantic(self._runtime, [job for _, job, _ in drawn], self._options, self._batch_size, self.seconds)
            for (line, job, seed), semantic in zip(drawn, made, strict=True):
                line.takes.append(self._assess(line, job, seed, semantic))
                line.takes.sort(key=lambda take: (take.fault is not None, -take.score))
            asking = [line for line in asking if self._is_to_draw_again(line)]
            for line in asking:
                line.n_retries += 1

    def _next_job(self, line: Line) -> tuple[Job, int]:
        seed = line.seed if not line.n_drawn else derive_seed(line.seed, "take", line.n_drawn)
        line.n_drawn += 1
        voice = self._leads.get(line.script) if line.follows else line.voice
        text = line.utterance.text
        return Job(text, self._encoder.encode(text), voice, Randomness(seed)), seed

    def _assess(self, line: Line, job: Job, seed: int, semantic: SemanticTake) -> Take:
        rate_hz, text = self._config.semantic_rate_hz, line.utterance.text
        score = -math.inf if semantic.failed else score_take(text, semantic.tokens, rate_hz, semantic.logprob)
        if semantic.failed:
            fault = "ended before it began"
        elif semantic.reached_ceiling:
            fault = "came to no end"
        else:
            fault = find_fault(text, semantic.tokens, rate_hz, self._options.max_seconds)
        return Take(job, seed, semantic, score, fault if self._takes.retry or semantic.failed else None)

    def _is_to_draw_again(self, line: Line) -> bool:
        best = line.takes[0]
        if best.fault is None or not self._takes.retry or line.n_retries >= self._takes.max_retries:
            return False
        return not (best.semantic.reached_ceiling and self._halve(line))

    def _split_endless(self, chunk: list[Line], waiting: list[Line]) -> None:
        """Put the halves of a line that came to no end in its place; what follows it in its script is spoken after them."""
        held = set[int]()
        for line in list(chunk):
            best = line.takes[0]
            if line.script not in held and self._takes.retry and best.semantic.reached_ceiling and (parts := self._halve(line)):
                place = waiting.index(line)
                waiting[place : place + 1] = parts
                held.add(line.script)
                chunk.remove(line)
            elif line.script in held:
                chunk.remove(line)

    def _halve(self, line: Line) -> list[Line]:
        """Return the lines that speak a line in parts, or none where its text cannot be cut."""
        whole = line.utterance
        if line.n_splits == MAX_SPLITS:
            return []
        half_s = 0.6 * estimate_seconds(whole.text)
        limits = Limits(whole_s=half_s, whole_tokens=self._encoder.max_tokens, utterance_s=half_s)
        try:
            cut = parse_script(whole.text, count_tokens=lambda text: len(self._encoder.tokenize(text)), limits=limits)
        except InvalidInput:
            return []
        if len(cut) < 2:
            return []
        parts = [
            Line(
                line.script,
                replace(whole, text=each.text, pause_before_s=0.0, pause_after_s=min(each.pause_after_s, Pauses().clause_s)),
                line.voice,
                line.follows,
                derive_seed(line.seed, "part", n),
                n_splits=line.n_splits + 1,
            )
            for n, each in enumerate(cut)
        ]
        parts[0].utterance = replace(parts[0].utterance, pause_before_s=whole.pause_before_s)
        parts[-1].utterance = replace(parts[-1].utterance, pause_after_s=whole.pause_after_s)
        parts[0].notes = [*line.notes, f"The speech of {_quote(whole.text)} came to no end, so it was spoken in {len(parts)} parts."]
        return parts

    def _finish(self, lines: Sequence[Line]) -> Steps[None]:
        """Take what was kept of each line through the other stages; a take in which nothing, or something else, is heard goes back."""
        taken = [
            (line, take)
            for line in lines
            for take in (line.takes if self._takes.keep_all else line.takes[:1])
            if take.result is None and not take.semantic.failed
        ]
        if not taken:
            return
        jobs, tokens = [take.job for _, take in taken], [take.semantic for _, take in taken]
        results = yield from finish_takes(self._runtime, jobs, tokens, self._options, self._batch_size, self.seconds)
        for (line, take), result in zip(taken, results, strict=True):
            take.result = result
            if take is line.takes[0] and self._takes.retry and (fault := self._hear(line, result)) is not None:
                take.fault = fault
                if line.n_retries < self._takes.max_retries:
                    line.n_retries += 1
                    line.notes.append(f"The speech of {_quote(line.utterance.text)} {fault}, so it was drawn again.")
                    line.takes = []

    def _hear(self, line: Line, result: Result) -> str | None:
        """Return what is wrong with the audio of a take, or None."""
        if is_silent(result.audio):
            return "was silent"
        return None if self._listener is None else self._listener(line.utterance.text, result)

    def _collect(self, chunk: Sequence[Line], n_all: int) -> list[Line]:
        """Return what is done of a chunk, in the order of each script: of what follows an unfinished line nothing."""
        held = set[int]()
        done: list[Line] = []
        for line in chunk:
            if line.script in held or not line.is_done:
                held.add(line.script)
                continue
            self._note(line, n_all)
            if line.follows and line.script not in self._leads and (result := line.takes[0].result) is not None:
                self._leads[line.script] = self._as_voice(result)
            done.append(line)
        return done

    def _note(self, line: Line, n_all: int) -> None:
        """Say of a line what its caller should know."""
        best, text = line.takes[0], line.utterance.text
        if best.semantic.failed:
            if n_all == 1:
                raise GenerationError(explain_failure(text))
            line.notes.append(f"The speech of {_quote(text)} ended before it began, however often it was drawn, so it is left out.")
        elif best.semantic.reached_ceiling:
            line.notes.append(explain_ceiling(self._config))
        elif best.fault is not None:
            line.notes.append(f"The speech of {_quote(text)} {best.fault}; the best of {line.n_drawn} takes was kept.")
        elif line.n_drawn > self._takes.n_takes:
            worst = line.takes[-1].fault or "was bad"
            line.notes.append(f"The speech of {_quote(text)} {worst}, so it was drawn again: {line.n_drawn} takes in all.")

    def _as_voice(self, result: Result) -> History | None:
        """Return what was spoken as a voice for the rest; None where it is too short to be one."""
        voice = History(result.semantic, result.coarse, result.fine)
        try:
            check_history(voice, self._config, "The first utterance")
        except InvalidInput:
            return None
        return voice


class _Meter:
    """Turns the progress of chunks into that of the whole: each stage's only rises, and ends at its total.

    Lines that all fit one chunk are told as the stages tell them.
    """

    def __init__(self, n_lines: int) -> None:
        self.n_lines, self.n_done, self.n_chunk = n_lines, 0, 0
        self._shown: dict[str, Event] = {}

    def follow(self, steps: Steps[T]) -> Steps[T]:
        with closing(steps):
            while True:
                try:
                    stage, done, total = next(steps)
                except StopIteration as end:
                    return end.value
                _, before, whole = self._shown.get(stage, ("", 0, total if self.n_chunk == self.n_lines else 1000))
                now = (self.n_done * total + self.n_chunk * done) * whole // (self.n_lines * total)
                self._shown[stage] = (stage, max(before, now), whole)
                yield self._shown[stage]


def _quote(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}…")
