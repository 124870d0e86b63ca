"""The loop itself: who takes part in a step, when rows join and leave, and that closing it stops the work."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bark_core.config import GPTConfig
from bark_core.engine.loop import STOPPED, Batch, Engine, Row, decode
from bark_core.model.transformer import CausalGPT
from bark_core.types import SamplingOptions
from tests.near_ties import record_draws

CONFIG = GPTConfig(n_layer=1, n_head=2, n_embd=32, input_vocab_size=50, output_vocab_size=50, block_size=64)


class Counting(Row):
    """A row of a fixed number of steps; `first` is the first logit of its head."""

    def __init__(self, model: CausalGPT, name: int, n_steps: int, first: int = 0) -> None:
        super().__init__(torch.Generator().manual_seed(name))
        self.model, self.name, self.n_steps, self.first = model, name, n_steps, first
        self.drawn: list[int] = []

    def prompt(self) -> tuple[Tensor, int] | None:
        if self.drawn:
            return None
        self.position = 2 + self.name % 3
        return self.model.embed(torch.arange(3 + self.name % 3)), 0

    def head(self, ahead: int = 0) -> tuple[int, int]:
        del ahead
        return self.first, 20

    def accept(self, index: int) -> None:
        self.token = self.first + max(index, 0)
        self.position += 1
        self.drawn.append(index)
        self.done = len(self.drawn) == self.n_steps or index == STOPPED


@pytest.fixture(scope="module")
def model() -> CausalGPT:
    torch.manual_seed(2)
    return CausalGPT(CONFIG).requires_grad_(False)


def test_rows_join_and_leave_and_draw_as_if_alone(model: CausalGPT) -> None:
    lengths = [5, 2, 9, 1, 4, 3]
    alone = []
    for name, n in enumerate(lengths):
        row = Counting(model, name, n)
        with record_draws() as draws:
            assert len(list(decode(Engine(model, 1), [row], SamplingOptions(1.0), -1.0))) == n
        draws.check_margins()
        alone.append(row.drawn)
    rows = [Counting(model, name, n) for name, n in enumerate(lengths)]
    steps = [[row.name for row in stepped if isinstance(row, Counting)] for stepped in decode(Engine(model, 2), rows, SamplingOptions(1.0), -1.0)]
    assert [row.drawn for row in rows] == alone
    assert all(len(step) == 2 for step in steps[:10]), "a slot that is free is given away at once"
    assert len(steps) == 13


def test_rows_of_another_head_wait_their_turn(model: CausalGPT) -> None:
    rows = [Counting(model, 0, 2), Counting(model, 1, 3, first=10), Counting(model, 2, 1, first=10)]
    steps = [sorted(row.name for row in stepped if isinstance(row, Counting)) for stepped in decode(Engine(model, 3), rows, SamplingOptions(0), -1.0)]
    assert steps == [[0], [0], [1, 2], [1], [1]]


def test_only_the_last_logit_ends_and_only_where_it_may() -> None:
    certain = CausalGPT(CONFIG).requires_grad_(False)
    certain.lm_head.weight.zero_()
    for min_end_prob, expected in ((0.05, [STOPPED]), (0.051, 4), (-1.0, 4)):
        row = Counting(certain, 3, 4)
        for _ in decode(Engine(certain, 1), [row], SamplingOptions(0), min_end_prob):
            pass
        # All twenty logits are equal: 0.05 each, in float32 on both sides.
        assert row.drawn == expected or len(row.drawn) == expected


def test_closing_stops_the_work(model: CausalGPT) -> None:
    row = Counting(model, 0, 30)
    steps = decode(Engine(model, 1), [row], SamplingOptions(1.0), -1.0)
    for _ in range(3):
        next(steps)
    steps.close()
    assert len(row.drawn) == 3
    assert list(steps) == []


def test_nothing_to_do_is_nothing_done(model: CausalGPT) -> None:
    assert list(decode(Engine(model, 2), [], SamplingOptions(1.0))) == []


def test_no_grad_mode_leaks_between_steps(model: CausalGPT) -> None:
    for _ in decode(Engine(model, 1), [Counting(model, 0, 2)], SamplingOptions(1.0), -1.0):
        assert not torch.is_inference_mode_enabled()


def test_rows_of_many_kinds_share_a_batch_join_and_go_and_are_as_alone(model: CausalGPT) -> None:
    kinds = [(SamplingOptions(1.0), -1.0), (SamplingOptions(0), -1.0), (SamplingOptions(0.7, top_k=5), 0.05), (SamplingOptions(1.0), None)]
    alone = []
    for name, (options, limit) in enumerate(kinds):
        row = Counting(model, name, 12)
        for _ in decode(Engine(model, 1), [row], options, limit):
            pass
        alone.append(row.drawn)
    batch, rows = Batch(Engine(model, 3)), [Counting(model, name, 12) for name in range(len(kinds))]
    gone = Counting(model, 9, 12)
    for row, kind in zip(rows, kinds, strict=True):
        row.drawing = kind
        batch.add(row, is_urgent=row is rows[3])
        batch.add(gone) if row is rows[0] else batch.step()
    batch.drop(gone)
    while len(batch):
        batch.step()
    assert [row.drawn for row in rows] == alone
    assert 0 < len(gone.drawn) < 12 and batch.step() == []


def test_urgent_rows_do_not_wait_behind_others(model: CausalGPT) -> None:
    batch, rows = Batch(Engine(model, 1)), [Counting(model, name, 2) for name in range(4)]
    for row in rows:
        row.drawing = SamplingOptions(0), -1.0
        batch.add(row, is_urgent=row.name >= 2)
    order = []
    while len(batch):
        order += [row.name for row in batch.step() if isinstance(row, Counting)]
    assert order == [2, 2, 3, 3, 0, 0, 1, 1]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is given back on Linux only")
def test_slots_that_no_row_is_in_hold_no_memory() -> None:
    model, n_steps = CausalGPT(dataclasses.replace(CONFIG, block_size=400)).requires_grad_(False), 380
    for n_rows in (1, 3):
        engine = Engine(model, n_rows)
        for _ in decode(engine, [Counting(model, name, n_steps) for name in range(n_rows)], SamplingOptions(1.0), -1.0):
            assert float((engine.cache.keys[:, :, :3] != 0).float().mean()) > 0.9, "rows in their slots are kept"
        written = float((engine.cache.keys[:, :, :n_steps] != 0).float().mean())
        assert written < 0.2 if n_rows > 1 else written > 0.9, "whole pages of a freed slot read as zeros; one row keeps its own"


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="memory is counted on Linux only")
def test_a_cache_takes_no_memory_before_rows_come(model: CausalGPT) -> None:
    def count_resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    before = count_resident()
    cache = Engine(model, 20_000).cache
    n_bytes = cache.keys.nbytes + cache.values.nbytes
    assert count_resident() - before < n_bytes / 10 and n_bytes > 2e8
    assert cache.keys.data_ptr() % 64 == 0 and cache.keys.is_contiguous() and not cache.values[:, ::1000].any()
