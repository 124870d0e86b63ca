"""Decoding on a GPU: the step captured once as a CUDA graph, and what it drew read a step late, so that the GPU never waits.

The graph feeds itself: a step's tokens and positions stay on the device. Without capture the same code runs anywhere,
which is how it is tested. Whether to trust it is runtime.py's decision.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from bark_core.engine.loop import Drawn, Engine, Row, decode, feed, stop_or_choose
from bark_core.engine.sampling import draw, probs_of
from bark_core.model.transformer import CausalGPT
from bark_core.types import SamplingOptions

KEYS_BUCKET = 256
"""A graph reads a fixed number of keys: the least multiple of this that holds all positions."""


class GraphsUnavailable(Exception):
    """The captured step cannot be had here or errs; the message says how."""


Step = tuple[int, int, int, int, SamplingOptions, float | None]
"""What a graph is made for: rows, first logit, logits, keys, and of options and end probability what `_set_options` leaves."""

_RECORDING = threading.Lock()
"""Only one capture may be under way in a process."""


def round_to_bucket(n_keys: int) -> int:
    """Return how many keys a graph reads where there are so many."""
    return -(-n_keys // KEYS_BUCKET) * KEYS_BUCKET


class GraphEngine(Engine):
    """An engine that launches the next step before it reads the last one's draw.

    A row that turns out to be done, or to want a prompt, has then taken one step too many: its generator gets that
    step's noise back, so that the next stage starts where the original's would.
    """

    def __init__(self, model: CausalGPT, n_rows: int, n_positions: int | None = None, capture: bool = True) -> None:
        super().__init__(model, n_rows, n_positions)
        self._capture = capture
        self._n_positions = self.cache.keys.shape[2]
        self._tokens = torch.zeros(n_rows, dtype=torch.int64, device=self.device)
        self._positions = torch.zeros_like(self._tokens)
        # What a step drew, indices over their probabilities: one copy brings both, and this type holds both exactly.
        self._drawn = torch.zeros((2, n_rows), dtype=torch.float64, device=self.device)
        self._graphs: dict[Step, Callable[[], None]] = {}
        self._kind: tuple[SamplingOptions, float | None] | None = None
        self._temperature = torch.ones((), dtype=torch.float32, device=self.device)
        self._min_end_prob = torch.ones((), dtype=torch.float32, device=self.device)
        # Graphs work in the same memory and are captured on one stream: what outlives a step is the engine's own.
        self._pool: Any = None
        self._stream = torch.cuda.Stream(self.device) if capture and self.device.type == "cuda" else None

    def run(self, rows: Sequence[Row], options: SamplingOptions, min_end_prob: float | None) -> Generator[Sequence[Drawn | None]]:
        self._set_options(options, min_end_prob)
        ahead = min(row.steps_ahead() for row in rows)
        if self.longest_run is not None:
            ahead = min(ahead, self.longest_run - 1)
        prompts = [row.prompt() for row in rows]
        positions = [prompt[1] + len(prompt[0]) if prompt else row.position + 1 for row, prompt in zip(rows, prompts, strict=True)]
        if any(prompts):
            self._draw(feed(self, rows, prompts), rows, options, min_end_prob)
        else:
            self._load([row.token for row in rows], [position - 1 for position in positions])
            self._launch(rows, rows[0].head(), max(positions))
        if ahead and any(prompts):
            self._positions[: len(rows)].copy_(torch.tensor(positions, dtype=torch.int64, device="cpu"))
        flight = self._fetch(len(rows))
        for k in range(1, ahead + 1):
            before = [row.generator.get_state() for row in rows]
            self._launch(rows, rows[0].head(1), max(positions) + k)
            late = self._fetch(len(rows))
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

    def _set_options(self, options: SamplingOptions, min_end_prob: float | None) -> None:
        """Put temperature and end probability where graphs read them, so that one graph serves all; for other filters, begin anew."""
        if options.temperature:
            self._temperature.fill_(options.temperature)
            options = replace(options, temperature=1)
        if min_end_prob is not None and min_end_prob >= 0:
            self._min_end_prob.fill_(min_end_prob)
            min_end_prob = 1.0
        if self._kind != (options, min_end_prob):
            self._kind = options, min_end_prob
            self._graphs.clear()

    def _load(self, tokens: list[int], positions: list[int]) -> None:
        for held, given in ((self._tokens, tokens), (self._positions, positions)):
            held[: len(given)].copy_(torch.tensor(given, dtype=torch.int64, device="cpu"))

    def _draw(self, hidden: Tensor, rows: Sequence[Row], options: SamplingOptions, min_end_prob: float | None) -> None:
        """Draw after a prompt, as `step` does after a token."""
        first, count = rows[0].head()
        choice, probs = draw(self.head(hidden, first, count), options, self.noise(rows, count) if options.temperature else None)
        self._keep(choice, probs, first, min_end_prob)

    def _keep(self, choice: Tensor, probs: Tensor, first: int, min_end_prob: float | Tensor | None) -> None:
        """Keep what was drawn for whoever fetches it, and as the tokens to feed next."""
        n_rows = len(choice)
        self._drawn[0, :n_rows].copy_(stop_or_choose(choice, probs, min_end_prob))
        self._drawn[1, :n_rows].copy_(probs_of(probs, choice))
        self._tokens[:n_rows].copy_(choice + first)

    def _launch(self, rows: Sequence[Row], head: tuple[int, int], n_keys: int) -> None:
        assert self._kind is not None
        (first, count), (options, min_end_prob) = head, self._kind
        if options.temperature:
            self.noise(rows, count)
        n_keys = min(round_to_bucket(n_keys), self._n_positions)
        step: Step = (len(rows), first, count, n_keys, options, min_end_prob)
        if step not in self._graphs:
            self._graphs[step] = self._record(step) if self._capture else lambda: self.step_on_device(step)
        self._graphs[step]()

    def step_on_device(self, step: Step) -> None:
        """Take one step from the tokens and positions on the device: draw, keep what was drawn, move on. No host sync, fixed shapes."""
        n_rows, first, count, n_keys, options, min_end_prob = step
        tokens, positions = self._tokens[:n_rows], self._positions[:n_rows]
        mask = (self._key_index[:n_keys] <= positions[:, None])[:, None, None]  # (B, 1, 1, n_keys)
        hidden = self.model.step(tokens, positions, self.cache, n_keys, mask)
        noise = self._noise[count][:n_rows] if options.temperature else None
        choice, probs = draw(self.model.lm_head(hidden, first, count), options, noise, self._temperature)
        has_limit = min_end_prob is not None and min_end_prob >= 0
        self._keep(choice, probs, first, self._min_end_prob if has_limit else min_end_prob)
        positions.add_(1)

    def _record(self, step: Step) -> Callable[[], None]:
        """Capture a step as a CUDA graph. The runs before it, which let libraries set themselves up, leave no trace."""
        kept = [each.clone() for each in (self._tokens, self._positions)]
        current = torch.cuda.current_stream(self.device)
        graph, side = torch.cuda.CUDAGraph(), self._stream
        assert side is not None
        # Entering the current stream is for the way out: a capture that fails leaves its own behind.
        with _RECORDING, torch.cuda.device(self.device), torch.cuda.stream(current):
            side.wait_stream(current)
            with torch.cuda.stream(side):
                for _ in range(2):
                    self.step_on_device(step)
                    for each, value in zip((self._tokens, self._positions), kept, strict=True):
                        each.copy_(value)
            current.wait_stream(side)
            # Of this thread only it is asked to keep to what a capture allows: others may be generating meanwhile.
            with torch.cuda.graph(graph, pool=self._pool, stream=side, capture_error_mode="thread_local"):
                self.step_on_device(step)
        self._pool = graph.pool()
        return graph.replay

    def _fetch(self, n_rows: int) -> Callable[[], list[Drawn]]:
        """Begin to copy what was drawn to the host; return a function that waits for it."""
        is_on_gpu = self.device.type == "cuda"
        host = torch.empty(self._drawn.shape, dtype=self._drawn.dtype, device="cpu", pin_memory=is_on_gpu)
        host.copy_(self._drawn, non_blocking=True)
        arrived = torch.cuda.Event() if is_on_gpu else None
        if arrived is not None:
            arrived.record(torch.cuda.current_stream(self.device))

        def read() -> list[Drawn]:
            if arrived is not None:
                arrived.synchronize()
            indices, probs = host.tolist()
            return [(int(index), prob) for index, prob in zip(indices[:n_rows], probs, strict=False)]

        return read


class _Probe(Row):
    """A row without meaning, for comparing engines: four tokens, then a few steps."""

    N_STEPS = 8

    def __init__(self, model: CausalGPT, start: int) -> None:
        super().__init__(torch.Generator(model.wpe.weight.device))
        self._model = model
        self._start = start
        self.drawn: list[int] = []

    def prompt(self) -> tuple[Tensor, int] | None:
        if self.drawn:
            return None
        self.position = 3
        tokens = torch.arange(self._start, self._start + 4, dtype=torch.int64, device=self._model.wpe.weight.device)
        return self._model.embed(tokens % self._model.config.input_vocab_size), 0

    def head(self, ahead: int = 0) -> tuple[int, int]:
        del ahead
        return 0, min(self._model.config.output_vocab_size, self._model.config.input_vocab_size)

    def steps_ahead(self) -> int:
        return self.N_STEPS - len(self.drawn) - 1

    def accept(self, index: int) -> None:
        self.token = index
        self.position += 1
        self.drawn.append(index)
        self.done = len(self.drawn) == self.N_STEPS


def check_graphs(model: CausalGPT, capture: bool = True) -> None:
    """Compare the captured step with the plain one on a short greedy decode of two rows. Raises: GraphsUnavailable where it fails or differs."""
    drawn, n_positions = [], min(KEYS_BUCKET, model.config.block_size)
    try:
        for engine in (Engine(model, 2, n_positions), GraphEngine(model, 2, n_positions, capture)):
            rows = [_Probe(model, start) for start in (1, 50)]
            for _ in decode(engine, rows, SamplingOptions(0), -1.0):
                pass
            drawn.append([row.drawn for row in rows])
    except (RuntimeError, AssertionError) as error:  # torch without CUDA raises the latter
        raise GraphsUnavailable(str(error).strip().splitlines()[0][:200]) from error
    if drawn[0] != drawn[1]:
        raise GraphsUnavailable(f"it drew {drawn[1]} where torch draws {drawn[0]}")
