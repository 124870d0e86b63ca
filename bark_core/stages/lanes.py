"""A stage as a lane: whatever is on its way through it moves together, comes in at any step, and leaves when it is through.

Each comes out as it would alone. Knows the order of the stages and nothing of who sends what, or which lane moves next.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from bark_core.config import PARTS
from bark_core.engine.loop import Batch, Row
from bark_core.engine.runtime import Runtime
from bark_core.engine.traces import span
from bark_core.errors import GenerationError
from bark_core.stages.coarse import NO_END, CoarseRow
from bark_core.stages.decode import decode_codes
from bark_core.stages.fine import FineRow, fill_windows
from bark_core.stages.jobs import Job, Result, SemanticTake
from bark_core.stages.semantic import SemanticRow
from bark_core.types import GenerateOptions

JOIN_STEPS = 16
"""How many steps an engine that runs ahead may take where others may want to join meanwhile."""


@dataclass(eq=False)
class Passage:
    """A job on its way through the stages.

    `is_urgent`: somebody waits for this before anything else. `stage`: the one that it is in, or was in last. `done` and `total`: its
    steps there. `is_through`: it left that stage, `error`: because of this. What the stages gave: `take`, then codes (2, T) and (8, T), then audio (320 T,).
    """

    job: Job
    options: GenerateOptions
    stage: str = PARTS[0]
    is_urgent: bool = False
    done: int = 0
    total: int = 1
    is_through: bool = False
    error: Exception | None = None
    take: SemanticTake | None = None
    coarse: np.ndarray | None = None
    fine: np.ndarray | None = None
    audio: np.ndarray | None = None
    logprobs: dict[str, float] = field(default_factory=dict)

    @property
    def semantic(self) -> np.ndarray:
        """The semantic tokens (S,) that were drawn."""
        assert self.take is not None
        return self.take.tokens

    def go_on(self) -> None:
        """Turn to the stage after the one that this is through."""
        self.stage = PARTS[PARTS.index(self.stage) + 1]
        self.done, self.total, self.is_through = 0, 1, False

    def result(self) -> Result:
        """Return what all stages gave."""
        assert self.coarse is not None and self.fine is not None and self.audio is not None
        return Result(self.semantic, self.coarse, self.fine, self.audio, self.logprobs)


class Lane(ABC):
    """One stage, and what is on its way through it. The model is on its device, and an engine lent, while there is any."""

    stage: ClassVar[str]

    def __init__(self, runtime: Runtime, n_slots: int, is_shared: bool = False) -> None:
        """`n_slots`: how many move together at most. `is_shared`: others may come in while some are on their way."""
        self._runtime, self._n_slots, self._is_shared = runtime, n_slots, is_shared
        self._lent: ExitStack | None = None
        self.passages: list[Passage] = []

    def __len__(self) -> int:
        return len(self.passages)

    def add(self, passage: Passage) -> None:
        """Let in what comes to this stage."""
        self.passages.append(passage)

    def drop(self, passage: Passage) -> None:
        """Let go of what is wanted no more, if it is here; the others are as if it had never been there."""
        if passage in self.passages:
            self.passages.remove(passage)
        if not self.passages:
            self.close()

    def step(self) -> list[Passage]:
        """Take a step; return what moved, of which some may be through."""
        if not self.passages:
            return []
        if self._lent is None:
            with ExitStack() as stack:
                stack.enter_context(span(f"bark.{self.stage}"))
                stack.enter_context(self._runtime.present(self.stage))
                self._open(stack)
                self._lent = stack.pop_all()
        moved = self._move()
        self.passages = [each for each in self.passages if not each.is_through]
        if not self.passages:
            self.close()
        return moved

    def close(self) -> None:
        """Stop the work, let go of everything, and give back what was lent."""
        lent, self._lent = self._lent, None
        if lent is not None:
            lent.close()
        self._leave()

    def _open(self, stack: ExitStack) -> None:
        """Borrow what the stage needs beside its model, until `stack` is closed."""
        stack.callback(self._leave)

    def _leave(self) -> None:
        """Stop the work."""
        self.passages.clear()

    def _choose(self, n: int) -> list[Passage]:
        """Return at most `n` that are next: urgent ones before the others, and those that came first."""
        return sorted(self.passages, key=lambda passage: not passage.is_urgent)[:n]

    @abstractmethod
    def _move(self) -> list[Passage]:
        """Take a step; return what moved, with how far it is; what is through carries what came of it."""


class _CausalLane(Lane):
    """Rows in a batch on one engine."""

    def __init__(self, runtime: Runtime, n_slots: int, is_shared: bool = False) -> None:
        super().__init__(runtime, n_slots, is_shared)
        self._batch: Batch | None = None
        self._rows: dict[Row, Passage] = {}

    def add(self, passage: Passage) -> None:
        super().add(passage)
        if self._batch is not None:
            self._enter(self._batch, passage)

    def drop(self, passage: Passage) -> None:
        for row in [row for row, each in self._rows.items() if each is passage]:
            del self._rows[row]
            if self._batch is not None:
                self._batch.drop(row)
        super().drop(passage)

    def _open(self, stack: ExitStack) -> None:
        # For all that may come where others may, else for those that are there: an engine's cache is as large as its rows.
        n_rows = self._n_slots if self._is_shared else min(self._n_slots, len(self.passages))
        engine = stack.enter_context(self._runtime.lend_engine(self.stage, n_rows))
        engine.longest_run = JOIN_STEPS if self._is_shared else None
        stack.callback(setattr, engine, "longest_run", None)
        super()._open(stack)
        self._batch = Batch(engine)
        for passage in self.passages:
            self._enter(self._batch, passage)

    def _leave(self) -> None:
        if self._batch is not None:
            self._batch.close()
        self._batch = None
        self._rows.clear()
        super()._leave()

    def _enter(self, batch: Batch, passage: Passage) -> None:
        row = self._make_row(passage)
        self._rows[row] = passage
        self._tell(row, passage)
        batch.add(row, passage.is_urgent)

    def _move(self) -> list[Passage]:
        assert self._batch is not None
        moved = list[Passage]()
        for row in self._batch.step():
            passage = self._rows[row]
            self._tell(row, passage)
            moved.append(passage)
            if row.done:
                passage.error, passage.is_through = row.error, True
                passage.logprobs[self.stage] = row.logprob
                del self._rows[row]
        return moved

    @abstractmethod
    def _make_row(self, passage: Passage) -> Row: ...

    @abstractmethod
    def _tell(self, row: Row, passage: Passage) -> None:
        """Note how far a row is and, where it is done, what it gave."""


class SemanticLane(_CausalLane):
    """Texts on their way to semantic tokens."""

    stage = "semantic"

    def _make_row(self, passage: Passage) -> SemanticRow:
        runtime, job, options = self._runtime, passage.job, passage.options
        past = None if job.voice is None else job.voice.semantic
        generator = job.randomness.on(runtime.placement["semantic"].device)
        row = SemanticRow(runtime.causal("semantic"), runtime.config, job.text_ids, past, generator, options.max_seconds)
        row.drawing = options.semantic, options.min_eos_p
        return row

    def _tell(self, row: Row, passage: Passage) -> None:
        assert isinstance(row, SemanticRow)
        passage.total = self._runtime.config.max_semantic_steps
        passage.done = passage.total if row.done else min(len(row.tokens), passage.total - 1)
        if row.done:
            passage.take = SemanticTake(np.array(row.tokens, dtype=np.int64), row.logprob, row.failed, row.reached_ceiling)


class CoarseLane(_CausalLane):
    """Semantic tokens on their way to the codes of codebooks 0 and 1."""

    stage = "coarse"

    def _make_row(self, passage: Passage) -> CoarseRow:
        runtime, job = self._runtime, passage.job
        generator = job.randomness.on(runtime.placement["coarse"].device)
        row = CoarseRow(runtime.causal("coarse"), runtime.config, passage.semantic, job.voice, generator)
        row.drawing = passage.options.coarse, NO_END
        return row

    def _tell(self, row: Row, passage: Passage) -> None:
        assert isinstance(row, CoarseRow)
        passage.done, passage.total = row.n_done, row.n_steps
        if row.done:
            passage.coarse = row.codes()


class FineLane(Lane):
    """Coarse codes on their way to all eight codebooks, window by window; on a CPU one window at a time."""

    stage = "fine"

    def __init__(self, runtime: Runtime, n_slots: int, is_shared: bool = False) -> None:
        super().__init__(runtime, n_slots, is_shared)
        self._rows: dict[Passage, FineRow] = {}
        self._active: list[Passage] = []
        self._steps: Generator[None] | None = None
        self._per_window = runtime.config.n_fine_codebooks - runtime.config.n_coarse_codebooks

    def add(self, passage: Passage) -> None:
        super().add(passage)
        runtime, job = self._runtime, passage.job
        assert passage.coarse is not None
        row = FineRow(runtime.config, passage.coarse, job.voice, job.randomness.on(runtime.placement["fine"].device))
        self._rows[passage] = row
        passage.total = self._per_window * row.n_loops

    def drop(self, passage: Passage) -> None:
        self._forget(passage)
        super().drop(passage)

    def _leave(self) -> None:
        self._stop()
        self._rows.clear()
        super()._leave()

    def _forget(self, passage: Passage) -> None:
        self._rows.pop(passage, None)
        if passage in self._active:
            self._active.remove(passage)
            if not self._active:
                self._stop()

    def _stop(self) -> None:
        if self._steps is not None:
            self._steps.close()
        self._active, self._steps = [], None

    def _move(self) -> list[Passage]:
        if self._steps is None:
            self._active = self._choose(self._runtime.n_windows(self._n_slots))
            rows, options = [self._rows[each] for each in self._active], [each.options.fine for each in self._active]
            self._steps = fill_windows(self._runtime.fine, self._runtime.config, rows, options)
        active = list(self._active)
        try:
            next(self._steps)
            for passage in active:
                passage.done += 1
            if active[0].done % self._per_window:
                return active
            next(self._steps, None)  # which takes the windows back
        except GenerationError as error:
            for passage in active:
                passage.error = error
        self._stop()
        for passage in active:
            row = self._rows[passage]
            if passage.error or row.n_done == row.n_loops:
                passage.is_through, passage.fine, passage.logprobs["fine"] = True, row.codes(), row.logprob
                self._forget(passage)
        return active


class CodecLane(Lane):
    """Codes on their way to audio, one by one, so that none sees another's padding."""

    stage = "codec"

    def _move(self) -> list[Passage]:
        (passage,) = self._choose(1)
        assert passage.fine is not None
        try:
            passage.audio = decode_codes(self._runtime.codec, passage.fine)
        except GenerationError as error:
            passage.error = error
        passage.done, passage.is_through = 1, True
        return [passage]


LANES: tuple[type[Lane], ...] = (SemanticLane, CoarseLane, FineLane, CodecLane)
