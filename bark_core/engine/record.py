"""Capturing a GPU's steps as CUDA graphs: all of them when a model is loaded, each checked against what is plain, none later.

A capture that fails can leave torch damaged (before 2.12 its allocator goes on waiting for the end), so the first ones are made
in a process of their own (probe.py). Here, each is made while nobody else computes, on a thread that no cancel reaches.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from bark_core.engine.finite import check_weights
from bark_core.engine.gate import GateBusy, alone_on_gpu
from bark_core.engine.graphs import GraphEngine, Replay, Size, round_to_bucket
from bark_core.engine.loop import Engine
from bark_core.engine.modes import computing, loading
from bark_core.errors import CheckpointError
from bark_core.model.transformer import CausalGPT

ROWS = (8, 4, 2, 1)
"""Steps are captured for so many rows; what lies between takes the next larger, which reads no more weights."""

SHARE = 0.25
"""What of a card's free memory the cache of one stage may take, to have room for more rows."""

SPARE_BYTES = 512 * 2**20
"""What must be free before anything is captured: running out in the middle of it is what damages torch."""

TOLERANCES = {"fp32": 1e-4, "fp16": 0.02, "bf16": 0.05}
"""How far the logits of a captured step may be from a plain one's, relative to their size: ten times what rounding does."""

START_S = 10.0
"""How long a thread takes to begin at most."""

WARM_UP = 2
"""Runs before a capture, in which libraries set themselves up."""

T = TypeVar("T")

Capture = Callable[[Callable[[], None]], Replay]
"""Captures what a function launches."""


class GraphsUnavailable(Exception):
    """Captured steps cannot be had here or err; the message says how."""


@dataclass(frozen=True)
class Plan:
    """What is to be captured for a stage: its model, the fewest keys that any step reads, and how far logits may be off."""

    stage: str
    model: CausalGPT
    min_keys: int
    tolerance: float


class CudaCapture:
    """Captures one engine's steps, which never run side by side: on one stream, into one pool of memory.

    Another engine's may run beside them, where threads have streams of their own: it has another stream, and so another
    workspace of cuBLAS, and another pool. The pool goes when its graphs go, and its number is not used again.
    """

    def __init__(self, device: torch.device) -> None:
        self._device, self._pool = device, None
        self._stream: Any = torch.cuda.Stream(device)

    def __call__(self, work: Callable[[], None]) -> Replay:
        graph = torch.cuda.CUDAGraph()
        with alone_on_gpu(), torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            torch.cuda.synchronize(self._device)
            for _ in range(WARM_UP):
                work()
            torch.cuda.synchronize(self._device)
            # Others wait outside, and what they launched is done; but a program may have threads that know nothing of us.
            graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
            try:
                work()
            finally:
                graph.capture_end()
            self._pool = graph.pool()
        return graph.replay


def choose_capacity(model: CausalGPT, free_bytes: int) -> int:
    """Return for how many rows there is to be room. Raises: GraphsUnavailable where memory is short."""
    sizes = model.config
    row_bytes = 2 * sizes.n_layer * sizes.block_size * sizes.n_embd * model.wpe.weight.element_size()
    if free_bytes < SPARE_BYTES + row_bytes:
        raise GraphsUnavailable(f"only {free_bytes / 2**20:.0f} MiB of the GPU's memory are free")
    return next((n for n in ROWS if n * row_bytes <= SHARE * free_bytes), 1)


def list_sizes(engine: GraphEngine, min_keys: int) -> list[Size]:
    """Return the sizes of all steps that an engine takes, the largest first: what it needs, the others find there."""
    n_positions = engine.cache.keys.shape[2]
    buckets = sorted({min(round_to_bucket(n), n_positions) for n in range(min_keys, n_positions + 1)}, reverse=True)
    return [(n_rows, n_keys) for n_rows in ROWS if n_rows <= engine.capacity for n_keys in buckets]


def record_engines(plans: Sequence[Plan]) -> dict[str, GraphEngine]:
    """Return an engine for each stage with all of its steps captured; made on a thread of their own.

    Raises: GraphsUnavailable where that fails, or a captured step gives something other than a plain one; CheckpointError
    for weights that are not numbers.
    """

    def record(is_stopped: threading.Event) -> dict[str, GraphEngine]:
        engines = dict[str, GraphEngine]()
        for plan in plans:
            device = plan.model.wpe.weight.device
            with loading():
                capture = CudaCapture(device)
                engines[plan.stage] = GraphEngine(plan.model, choose_capacity(plan.model, torch.cuda.mem_get_info(device)[0]))
            record_steps(engines[plan.stage], plan, capture, is_stopped)
        return engines

    try:
        return run_apart(record)
    except CheckpointError:
        raise
    except (RuntimeError, AssertionError, GateBusy) as error:  # torch without CUDA raises the second
        raise GraphsUnavailable(describe(error)) from error


def record_steps(engine: GraphEngine, plan: Plan, capture: Capture, is_stopped: threading.Event) -> None:
    """Capture all steps of an engine and check each. Raises: GraphsUnavailable or CheckpointError, what `capture` raises, and has captured none then."""
    gc.collect()  # what is found to be garbage during a capture would be freed within it
    with computing():
        for each in (engine.cache.keys, engine.cache.values):
            each.normal_(generator=torch.Generator(engine.device).manual_seed(0))
    graphs = dict[Size, Replay]()
    for size in list_sizes(engine, plan.min_keys):
        if is_stopped.is_set():
            raise GraphsUnavailable("loading was stopped")
        with torch.inference_mode(False), torch.no_grad():  # a capture's own tensors would stay marked as inference's
            graphs[size] = capture(lambda n_rows=size[0], n_keys=size[1]: engine.advance_on_device(n_rows, n_keys))
        check_step(engine, plan, size, graphs[size])
    with computing():
        engine.empty()
    engine.graphs.update(graphs)


def check_step(engine: GraphEngine, plan: Plan, size: Size, replay: Replay) -> None:
    """Raise GraphsUnavailable where a captured step gives other logits than a plain one, CheckpointError where weights are not numbers."""
    error = measure_error(engine, plan, size, replay)
    if not error <= plan.tolerance:
        what = f"{size[0]} rows and {size[1]} keys of the {plan.stage} stage"
        raise GraphsUnavailable(f"logits of {what} are off by {error:.1e} of their size, where {plan.tolerance:.0e} is allowed")


@computing()
def measure_error(engine: GraphEngine, plan: Plan, size: Size, replay: Replay, turn: int = 0) -> float:
    """Return how far a captured step's logits are from a plain one's, relative to their size, of the same tokens after the same keys.

    Not what is drawn from them is compared: where two candidates are close, two sound computations draw differently. `turn`:
    chooses the tokens. Raises: CheckpointError where it is the weights that are not numbers.
    """
    (n_rows, n_keys), vocabulary = size, plan.model.config.input_vocab_size
    tokens = [(7 * row + n_keys + n_rows + 1009 * turn) % vocabulary for row in range(n_rows)]  # others than at this place before
    positions = [max(0, n_keys - 1 - row) for row in range(n_rows)]
    kept, engine.graphs = engine.graphs, {size: replay}
    try:
        captured = logits_of(engine, engine.step(tokens, positions))
    finally:
        engine.graphs = kept
    plain = logits_of(engine, Engine.step(engine, tokens, positions))
    check_weights(plan.model, plan.stage, captured, plain)
    return float((captured - plain).norm() / plain.norm())


def logits_of(engine: Engine, hidden: Tensor) -> Tensor:
    """Return all logits of hidden states, in float32."""
    return engine.head(hidden, 0, engine.model.config.output_vocab_size).float()


def run_apart(work: Callable[[threading.Event], T]) -> T:
    """Return what `work` returns, run on a thread of its own: what is thrown into the calling one waits until that has ended.

    `work` is told by an event that it is to end soon.
    """
    made, failed = list[T](), list[BaseException]()
    has_begun, is_stopped, has_ended = threading.Event(), threading.Event(), threading.Event()

    def run() -> None:
        has_begun.set()
        try:
            made.append(work(is_stopped))
        except BaseException as error:  # handed to whoever waits
            failed.append(error)
        finally:
            has_ended.set()

    thrown: BaseException | None = None
    try:
        threading.Thread(target=run, name="bark-capture").start()
    except BaseException as error:  # a cancel, or Ctrl-C, with which the thread begins all the same; or there is no thread to be had
        thrown = error
        is_stopped.set()
        if not has_begun.wait(START_S):
            raise
    while not has_ended.is_set():
        try:
            has_ended.wait()
        except BaseException as error:  # as above
            thrown = error
            is_stopped.set()
    if thrown is not None:
        raise thrown
    if failed:
        raise failed[0]
    return made[0]


def describe(error: BaseException) -> str:
    """Return the first line of what an error says."""
    lines = [type(error).__name__]
    with suppress(Exception):
        lines = str(error).strip().splitlines() or lines
    return lines[0][:200]
