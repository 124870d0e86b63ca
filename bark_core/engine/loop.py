"""The one autoregressive loop: rows of any lengths go through a causal model together, each as if it were alone.

Knows prompts, positions, slots and when to stop asking; what a token means is the row's business.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from bark_core.engine.memory import forget_pages
from bark_core.engine.modes import compute
from bark_core.engine.sampling import draw, draw_noise, explain_nan, probs_of
from bark_core.errors import GenerationError
from bark_core.model.cache import KVCache
from bark_core.model.transformer import CausalGPT
from bark_core.types import SamplingOptions

STOPPED = -1
"""What a row is told in place of an index when its step ended it."""

Drawn = tuple[int, float]
"""What a step drew for a row: an index, counted from the first logit, or STOPPED; and the probability of what was drawn."""

Drawing = tuple[SamplingOptions, float | None]
"""How a row draws: its options, and from which probability of the end on a step ends it, as `decode` has it."""


class Row(ABC):
    """One sequence on its way through a causal stage."""

    stage: ClassVar[str] = "causal"

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        self.token = 0  # the id to feed next
        self.position = 0  # where it is fed
        self.done = False
        self.error: GenerationError | None = None  # what ended it, where that is no end
        self.drawing: Drawing = SamplingOptions(), None
        self.logprob_sum, self.n_drawn = 0.0, 0

    @property
    def logprob(self) -> float:
        """The mean log-probability of what was drawn and kept."""
        return self.logprob_sum / max(1, self.n_drawn)

    def take(self, index: int, prob: float) -> None:
        """Accept what a step drew. Raises: GenerationError where its probability is not a number."""
        if not prob > 0:
            raise explain_nan(self.stage)
        if index != STOPPED:
            self.logprob_sum += math.log(prob)
            self.n_drawn += 1
        self.accept(index)

    @abstractmethod
    def prompt(self) -> tuple[Tensor, int] | None:
        """Return embeddings (T, C) to feed before the next draw and the position of the first, or None to feed `token` at `position`."""

    @abstractmethod
    def head(self, ahead: int = 0) -> tuple[int, int]:
        """Return the first logit and the number of logits that the next draw, or the one `ahead` draws later, is from."""

    @abstractmethod
    def accept(self, index: int) -> None:
        """Take the drawn index (counted from the first logit), or STOPPED."""

    def steps_ahead(self) -> int:
        """Return how many steps after the next one surely need no prompt; an engine may run so far ahead of what it reads."""
        return 0

    def is_halted(self) -> bool:
        """Tell whether the row goes on with something other than a step: it is done, or wants a prompt."""
        return self.done


class Engine:
    """A causal model and its cache: how rows are fed. Subclasses feed faster; what comes out stays the same.

    `longest_run`: how many steps a run may take before others can join; None: as many as it likes.
    """

    longest_run: int | None = None

    def __init__(self, model: CausalGPT, n_rows: int, n_positions: int | None = None) -> None:
        """Make room for `n_rows` rows of `n_positions` each (the model's block size where None)."""
        self.model = model
        weight = model.wpe.weight
        self.device, self.n_rows = weight.device, n_rows
        config = model.config
        self.cache = KVCache(config.n_layer, n_rows, n_positions or config.block_size, config.n_embd, weight.dtype, weight.device)
        self._noise: dict[int, Tensor] = {}
        self._key_index = torch.arange(config.block_size, dtype=torch.int64, device=self.device)

    def prefill(self, x: Tensor, slot: int, start: int) -> Tensor:
        """Feed embeddings (T, C) to one slot; return the last hidden state (1, C)."""
        return self.model.prefill(x, self.cache, slot, start)

    def step(self, tokens: list[int], positions: list[int]) -> Tensor:
        """Feed one token to each of slots 0 … B − 1; return hidden states (B, C)."""
        n_keys = max(positions) + 1
        where = torch.tensor(positions, dtype=torch.int64, device=self.device)
        mask = None
        if min(positions) != n_keys - 1:
            mask = self.mask(where, n_keys)
        return self.model.step(torch.tensor(tokens, dtype=torch.int64, device=self.device), where, self.cache, n_keys, mask)

    def mask(self, positions: Tensor, n_keys: int) -> Tensor:
        """Return what is added to the scores of the first `n_keys` keys: 0 up to each row's own position (B,), −inf beyond, (B, 1, 1, n_keys)."""
        beyond = self._key_index[:n_keys] > positions[:, None]
        zeros = torch.zeros(beyond.shape, dtype=self.cache.keys.dtype, device=self.device)
        return zeros.masked_fill_(beyond, -torch.inf)[:, None, None]

    def head(self, hidden: Tensor, first: int, count: int) -> Tensor:
        """Return logits first … first + count − 1 of hidden states (B, C): (B, count)."""
        return self.model.lm_head(hidden, first, count)

    def run(self, rows: Sequence[Row], options: SamplingOptions, min_end_prob: float | None) -> Generator[Sequence[Drawn | None]]:
        """Feed rows and draw for each: yield what one step drew, or some steps in turn; None where a row took no part.

        Whoever drives this hands to every row what was drawn for it before asking for more.
        """
        yield self.choose(rows, options, min_end_prob)

    def run_mixed(self, rows: Sequence[Row]) -> Generator[Sequence[Drawn | None]]:
        """As `run`, where each row draws as its own `drawing` says."""
        yield self.choose(rows, None, None)

    def choose(self, rows: Sequence[Row], options: SamplingOptions | None, min_end_prob: float | None) -> list[Drawn]:
        """Feed rows and draw for each: what one step drew. `options` None: each row draws as its own `drawing` says."""
        first, count = rows[0].head()
        logits = self.head(feed(self, rows, [row.prompt() for row in rows]), first, count)
        if options is not None:
            return self._draw_rows(logits, rows, options, min_end_prob)
        drawn: list[Drawn] = [(STOPPED, math.nan)] * len(rows)
        for kind in dict.fromkeys(row.drawing for row in rows):
            slots = [slot for slot, row in enumerate(rows) if row.drawing == kind]
            for slot, each in zip(slots, self._draw_rows(logits[slots], [rows[slot] for slot in slots], *kind), strict=True):
                drawn[slot] = each
        return drawn

    def _draw_rows(self, logits: Tensor, rows: Sequence[Row], options: SamplingOptions, min_end_prob: float | None) -> list[Drawn]:
        noise = self.noise(rows, logits.shape[1]) if options.temperature else None
        choice, probs = draw(logits, options, noise)
        return list(zip(stop_or_choose(choice, probs, min_end_prob).tolist(), probs_of(probs, choice).tolist(), strict=True))

    def forget(self, slots: range) -> None:
        """Give back the memory of slots that no row is in. An engine of one row keeps its own: the next row comes at once."""
        self.forget_rows(self.cache, slots)

    def forget_rows(self, cache: KVCache, slots: range) -> None:
        """Give back the memory that a cache of this engine's rows has for some slots."""
        if self.n_rows > 1 and self.device.type == "cpu":
            for slot in slots:
                for kept in (cache.keys, cache.values):
                    for layer in kept:
                        forget_pages(layer[slot])

    def noise(self, rows: Sequence[Row], count: int) -> Tensor:
        """Draw Exp(1) noise (B, count), each row's from its own generator."""
        if count not in self._noise:
            self._noise[count] = torch.empty((len(self.cache.rows), count), dtype=torch.float32, device=self.device)
        buffer = self._noise[count]
        for slot, row in enumerate(rows):
            draw_noise(buffer[slot], row.generator)
        return buffer if len(rows) == len(buffer) else buffer[: len(rows)]


class Batch:
    """Rows that share an engine: each joins at a step, leaves when it is done, and comes out as if it were alone.

    A row waits for a slot, and for a step of the same head. Each draws as its own `drawing` says.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._urgent, self._waiting = deque[Row](), deque[Row]()
        self._rows: list[Row] = []
        self._run: Iterator[Sequence[Drawn | None]] | None = None

    def __len__(self) -> int:
        """Return how many rows are still to be run."""
        return len(self._urgent) + len(self._waiting) + sum(not row.done for row in self._rows)

    def add(self, row: Row, is_urgent: bool = False) -> None:
        """Let a row in, at the next step at which there is room for it; urgent ones before the others."""
        (self._urgent if is_urgent else self._waiting).append(row)

    def drop(self, row: Row) -> None:
        """Let a row go; it takes no further step."""
        row.done = True
        for queue in (self._urgent, self._waiting):
            if row in queue:
                queue.remove(row)

    def step(self) -> list[Row]:
        """Take a step; return the rows that took part: a row whose probabilities were no numbers is done, with its `error`."""
        return compute(self._step)

    def close(self) -> None:
        """Stop the work."""
        if isinstance(self._run, Generator):
            self._run.close()
        self._run = None
        self.engine.forget(range(len(self._rows)))
        self._rows.clear()

    def _step(self) -> list[Row]:
        stepped = dict[Row, None]()
        while self._run is not None or len(self):
            if self._run is None:
                _close_ranks(self.engine, self._rows)
                self._let_in()
                self._run = self._begin()
            drawn = next(self._run, None)
            if drawn is None:
                self._run = None
                if stepped:
                    break
                continue
            stepped |= dict.fromkeys(row for row, each in zip(self._rows, drawn, strict=True) if each is not None and _hand(row, each))
            # An engine that ran ahead has noise to give back to a row that is done, before that goes on with its generator.
            if stepped and not any(row.done for row in self._rows):
                break
        return list(stepped)

    def _let_in(self) -> None:
        rows = self._rows
        while (queue := self._urgent or self._waiting) and len(rows) < self.engine.n_rows and (not rows or rows[0].head() == queue[0].head()):
            rows.append(queue.popleft())

    def _begin(self) -> Iterator[Sequence[Drawn | None]]:
        kind = self._rows[0].drawing
        if all(row.drawing == kind for row in self._rows):
            return self.engine.run(self._rows, *kind)
        return self.engine.run_mixed(self._rows)


def decode(engine: Engine, waiting: Iterable[Row], options: SamplingOptions, min_end_prob: float | None = None) -> Generator[list[Row]]:
    """Run rows to their ends, at most `engine.n_rows` at a time; yield the rows that took a step, after each step.

    A row that ends leaves its slot to the next waiting one as soon as their heads agree. `min_end_prob`: the last logit
    is the end's; a step also ends where its probability is at least this (compared in float32), None: only where it is
    drawn; only the semantic stage has an end, so `min_end_prob` below 0 says that there is none.
    Raises: GenerationError where the model gives probabilities that are not numbers.
    """
    with closing(Batch(engine)) as batch:
        for row in waiting:
            row.drawing = options, min_end_prob
            batch.add(row)
        while len(batch):
            stepped = batch.step()
            for row in stepped:
                if row.error is not None:
                    raise row.error
            yield stepped


def _hand(row: Row, drawn: Drawn) -> bool:
    """Hand to a row what was drawn for it; tell whether it was still waiting for that."""
    if row.done:
        return False
    try:
        row.take(*drawn)
    except GenerationError as error:
        row.error, row.done = error, True
    return True


def stop_or_choose(choice: Tensor, probs: Tensor, min_end_prob: float | None) -> Tensor:
    """Replace choices (B,) by STOPPED where the step ended its row, so that one read a step tells both. `min_end_prob`: as `decode` has it."""
    if min_end_prob is not None:
        if min_end_prob < 0:
            return choice
        # Both sides in float32: a double would stop elsewhere than the original where they are equal but for rounding.
        min_end_prob = float(np.float32(min_end_prob))
    ended = choice == probs.shape[-1] - 1
    if min_end_prob is not None:
        ended = ended | (probs[:, -1] >= min_end_prob)
    return choice.masked_fill(ended, STOPPED)


def feed(engine: Engine, rows: Sequence[Row], prompts: Sequence[tuple[Tensor, int] | None]) -> Tensor:
    """Feed every row its prompt, or its token where that is None; return hidden states (B, C).

    Where some rows want a prompt and others a step, all take the step: what it leaves at a row's next position is
    overwritten by that row's own prompt before anything reads it.
    """
    if all(prompts):
        parts = [engine.prefill(prompt[0], slot, prompt[1]) for slot, prompt in enumerate(prompts) if prompt]
        return parts[0] if len(parts) == 1 else torch.cat(parts)
    hidden = engine.step([row.token for row in rows], [row.position for row in rows])
    for slot, prompt in enumerate(prompts):
        if prompt:
            hidden[slot] = engine.prefill(prompt[0], slot, prompt[1])[0]
    return hidden


def _close_ranks(engine: Engine, rows: list[Row]) -> None:
    """Drop rows that are done, moving the last into each hole, so that the slots in use stay 0 … B − 1."""
    slot, n_rows = 0, len(rows)
    while slot < len(rows):
        if not rows[slot].done:
            slot += 1
            continue
        last = rows.pop()
        if slot < len(rows):
            rows[slot] = last
            if not last.done:
                engine.cache.move_row(len(rows), slot, last.position)
    engine.forget(range(len(rows), n_rows))
