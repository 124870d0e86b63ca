"""Decoding on a GPU: the next step is launched before the last one's draw is read, so that the GPU never waits.

A step has two parts. The transformer's, some hundred launches, is one replay where a graph of it was captured; the draw's,
a few, is launched as it is, so that no option, temperature or filter asks for another graph. Without graphs the same code
runs anywhere, which is how it is tested. What is captured, and when, is record.py's business.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

import torch
from torch import Tensor

from bark_core.engine.loop import Drawn, Engine, Row, feed, stop_or_choose
from bark_core.engine.sampling import draw, probs_of
from bark_core.model.transformer import CausalGPT
from bark_core.types import SamplingOptions

KEYS_BUCKET = 256
"""A step reads a number of keys that is a multiple of this: few graphs, and masks as the attention kernels like them aligned."""

Replay = Callable[[], None]
"""Does what a captured step does."""

Size = tuple[int, int]
"""Rows and keys of a step."""


def round_to_bucket(n_keys: int) -> int:
    """Return how many keys a step reads where there are so many."""
    return -(-n_keys // KEYS_BUCKET) * KEYS_BUCKET


class GraphEngine(Engine):
    """An engine that launches the next step before it reads the last one's draw.

    A row that turns out to be done, or to want a prompt, has then taken one step too many: its generator gets that
    step's noise back, so that the next stage starts where the original's would.
    """

    def __init__(self, model: CausalGPT, n_rows: int, n_positions: int | None = None) -> None:
        super().__init__(model, n_rows, n_positions)
        self._n_positions = self.cache.keys.shape[2]
        self._tokens = torch.zeros(n_rows, dtype=torch.int64, device=self.device)
        self._positions = torch.zeros_like(self._tokens)
        self._hidden = torch.zeros((n_rows, model.config.n_embd), dtype=self.cache.keys.dtype, device=self.device)
        # What a step drew, indices over their probabilities: one copy brings both, and this type holds both exactly.
        self._drawn = torch.zeros((2, n_rows), dtype=torch.float64, device=self.device)
        is_on_gpu = self.device.type == "cuda"
        # Two, since one is read while the next step's draw is on its way to the other.
        self._arrivals = [torch.zeros((2, n_rows), dtype=torch.float64, device="cpu", pin_memory=is_on_gpu) for _ in range(2)]
        self.graphs: dict[Size, Replay] = {}

    @property
    def capacity(self) -> int:
        """How many rows there is room for; `n_rows`, how many are to be run at a time, may be fewer."""
        return len(self.cache.rows)

    def empty(self) -> None:
        """Begin with an empty cache. A step reads keys beyond a row's own, and what is no number there no mask keeps out."""
        self.cache.keys.zero_()
        self.cache.values.zero_()

    def _clean(self, drawn: list[Drawn]) -> list[Drawn]:
        """Return what was drawn; where that tells of a row that is no numbers any more, leave nothing of them to the next one in its slot."""
        if not all(prob > 0 for _, prob in drawn):
            for each in (self.cache.keys, self.cache.values):
                each.nan_to_num_(0, 0, 0)
        return drawn

    def choose(self, rows: Sequence[Row], options: SamplingOptions | None, min_end_prob: float | None) -> list[Drawn]:
        return self._clean(super().choose(rows, options, min_end_prob))

    def step(self, tokens: list[int], positions: list[int]) -> Tensor:
        """As `Engine`'s. What is returned is overwritten by the next step."""
        self._place(tokens, positions)
        return self._advance(len(tokens), max(positions) + 1)

    def run(self, rows: Sequence[Row], options: SamplingOptions, min_end_prob: float | None) -> Generator[Sequence[Drawn | None]]:
        ahead = min(row.steps_ahead() for row in rows)
        if self.longest_run is not None:
            ahead = min(ahead, self.longest_run - 1)
        prompts = [row.prompt() for row in rows]
        nexts = [prompt[1] + len(prompt[0]) if prompt else row.position + 1 for row, prompt in zip(rows, prompts, strict=True)]
        flight = self._draw(feed(self, rows, prompts), rows, rows[0].head(), options, min_end_prob, 0)
        if ahead:
            self._place(None, nexts)
        for k in range(1, ahead + 1):
            before = [row.generator.get_state() for row in rows]
            hidden = self._advance(len(rows), max(nexts) + k)
            late = self._draw(hidden, rows, rows[0].head(1), options, min_end_prob, k)
            self._positions[: len(rows)].add_(1)
            yield flight()
            flight = late
            halted = [row.is_halted() for row in rows]
            if any(halted):
                for row, is_halted, state in zip(rows, halted, before, strict=True):
                    if is_halted:
                        row.generator.set_state(state)
                yield [None if is_halted else drawn for drawn, is_halted in zip(flight(), halted, strict=True)]
                return
        yield flight()

    def _place(self, tokens: list[int] | None, positions: list[int]) -> None:
        """Put what is to be fed on the device; None: what was drawn is there. Slots that are not in use stay at position 0."""
        for held, given in ((self._tokens, tokens), (self._positions, positions)):
            if given is not None:
                held.copy_(torch.tensor([*given, *[0] * (self.capacity - len(given))], dtype=torch.int64, device="cpu"))

    def _advance(self, n_rows: int, n_keys: int) -> Tensor:
        """Feed the tokens on the device at the positions there, `n_keys` the most that any row reads; return hidden states (B, C).

        By the smallest graph with room for the rows: slots beyond them then feed something at position 0, which nobody reads.
        """
        n_keys = min(round_to_bucket(n_keys), self._n_positions)
        fitting = [size for size in self.graphs if size[0] >= n_rows and size[1] == n_keys]
        if fitting:
            self.graphs[min(fitting)]()
        else:
            self.advance_on_device(n_rows, n_keys)
        return self._hidden[:n_rows]

    def advance_on_device(self, n_rows: int, n_keys: int) -> None:
        """Leave the hidden states of one step on the device: what a graph holds. No host sync, fixed shapes."""
        tokens, positions = self._tokens[:n_rows], self._positions[:n_rows]
        hidden = self.model.step(tokens, positions, self.cache, n_keys, self.mask(positions, n_keys))
        self._hidden[:n_rows].copy_(hidden)

    def _draw(
        self, hidden: Tensor, rows: Sequence[Row], head: tuple[int, int], options: SamplingOptions, min_end_prob: float | None, turn: int
    ) -> Callable[[], list[Drawn]]:
        """Draw from hidden states; keep the tokens to feed next; return a function that waits for what was drawn."""
        n_rows, (first, count) = len(rows), head
        choice, probs = draw(self.head(hidden, first, count), options, self.noise(rows, count) if options.temperature else None)
        self._tokens[:n_rows].copy_(choice + first)
        self._drawn[0, :n_rows].copy_(stop_or_choose(choice, probs, min_end_prob))
        # No number where a logit was none: whether all was well comes with the choice.
        self._drawn[1, :n_rows].copy_(probs_of(probs, choice))
        return self._fetch(n_rows, turn)

    def _fetch(self, n_rows: int, turn: int) -> Callable[[], list[Drawn]]:
        """Begin to copy what was drawn to the host; return a function that waits for it, to be called before two turns have passed."""
        host = self._arrivals[turn % 2]
        is_on_gpu = self.device.type == "cuda"
        host.copy_(self._drawn, non_blocking=is_on_gpu)
        arrived = torch.cuda.Event() if is_on_gpu else None
        if arrived is not None:
            arrived.record(torch.cuda.current_stream(self.device))

        def read() -> list[Drawn]:
            if arrived is not None:
                arrived.synchronize()
            indices, probs = host.tolist()
            return self._clean([(int(index), prob) for index, prob in zip(indices[:n_rows], probs, strict=False)])

        return read
