"""Whether a stage drafts: where it was asked for, is likely to gain, finds the memory for its weights in 8 bits, and is exact.

The weights are made for the first engine that is asked for, so that loading takes no longer. How far to draft, and whether
it is faster at all, the first steps tell (pace.py).
"""

from __future__ import annotations

import copy
import ctypes
import threading
import warnings
from dataclasses import replace

import torch
from torch import nn

from bark_core.engine.compile import NativeUnavailable
from bark_core.engine.loop import Engine
from bark_core.engine.memory import available_bytes
from bark_core.engine.modes import computing
from bark_core.engine.native import NativeEngine
from bark_core.engine.pace import MAX_TOKENS, Pace
from bark_core.engine.speculate import Draft, SpeculativeEngine
from bark_core.model.transformer import CausalGPT

LEAST_BYTES = 64 * 2**20
"""Weights of fewer bytes are read from the processor's caches, or soon enough: their steps are bound by other things."""

MEMORY_FACTOR = 4
"""How many times the memory that drafts take must be free for them to be made."""


class Speculation:
    """How one stage in fp32 drafts: what its engines share. `refusal` says why it does not, or is None."""

    def __init__(self, model: CausalGPT, library: ctypes.CDLL, is_asked: bool = True, pace: Pace | None = None) -> None:
        self._model, self._library, self._lock = model, library, threading.Lock()
        self._draft: Draft | None = None
        self.pace = pace or Pace()
        n_bytes = sum(each.weight.nbytes for each in model.modules() if isinstance(each, nn.Linear))
        self._needs_bytes = n_bytes // 4
        self.refusal: str | None = None
        if not is_asked:
            self.refusal = "it was switched off"
        elif n_bytes < LEAST_BYTES and pace is None:
            self.refusal = "the model is too small to gain by it"

    def make_engine(self, n_rows: int) -> Engine:
        """Return an engine that drafts, or one that does not where this is refused."""
        with self._lock:
            if self.refusal is None and self._draft is None:
                self._prepare()
        if self._draft is None:
            return NativeEngine(self._model, n_rows, self._library)
        return SpeculativeEngine(self._model, n_rows, self._library, self._draft, self.pace)

    def _prepare(self) -> None:
        free = available_bytes()
        if free is not None and free < MEMORY_FACTOR * self._needs_bytes:
            self.refusal = f"its weights in 8 bits take {self._needs_bytes / 1e6:.0f} MB, and only {free / 1e6:.0f} MB are free"
            return
        try:
            check_many(self._model, self._library)
            self._draft = Draft(self._model)
        except NativeUnavailable as error:
            self.refusal = str(error)
            warnings.warn(f"Decoding goes step by step, some one and a half times slower than it could: {error}.", stacklevel=2)

    def describe(self) -> str:
        """Return in a sentence's part whether this stage drafts, how far, and what it gains."""
        if self.refusal:
            return f"no drafts: {self.refusal}"
        n_tokens, gain = self.pace.best_gain()
        if not self.pace.n_drafted:
            return "drafts in 8 bits if they are faster, which the first steps will tell"
        if n_tokens == 1:
            return f"no drafts: in 8 bits they were no faster here, with {self.pace.share_right:.0%} of them right"
        return f"drafts in 8 bits, up to {n_tokens - 1} tokens ahead, {self.pace.share_right:.0%} of them right: {gain:.1f} × as fast as step by step"


@computing()
def check_many(model: CausalGPT, library: ctypes.CDLL) -> None:
    """Compare several positions of one slot in one step with as many steps, over the first layer, bit for bit. Raises: NativeUnavailable."""
    first = copy.copy(model)
    first._modules = {**model._modules, "h": nn.ModuleList([model.h[0]])}
    first.config = replace(model.config, n_layer=1)
    start, count = max(0, min(60, model.config.block_size - MAX_TOKENS)), MAX_TOKENS  # over the edge between two blocks of positions
    found = []
    for parts in ([[at] for at in range(start, start + count)], [[*range(start, start + count)]]):
        engine, made = NativeEngine(first, 1, library, start + count), list[torch.Tensor]()
        for positions in parts:
            hidden = engine.step_many(positions, positions, [0] * len(positions))
            made.append(torch.cat([hidden, engine.head(hidden, 1, model.config.output_vocab_size - 1)], dim=1))
        found.append((torch.cat(made), engine.cache.keys, engine.cache.values))
    if not all(torch.equal(one, other) for one, other in zip(*found, strict=True)):
        raise NativeUnavailable("several positions in one step of the kernel are not, bit for bit, as many steps")
